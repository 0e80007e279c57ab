"""The script that makes the images by writer reads the files that MNIST and QMNIST publish."""

import gzip
import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "experiments" / "mnist_writers.py"
spec = importlib.util.spec_from_file_location("mnist_writers", SCRIPT)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


def write_idx(path, array):
    kind = {"uint8": 8, "int32": 12}[array.dtype.name]
    head = bytes([0, 0, kind, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(head + array.astype(array.dtype.newbyteorder(">")).tobytes()))


def test_images_get_the_label_and_the_writer_of_the_same_row_and_the_test_images_come_last(tmp_path):
    generator = np.random.default_rng(0)
    images = {"train": generator.integers(0, 256, (5, 28, 28), np.uint8), "t10k": np.ones((2, 28, 28), np.uint8)}
    labels = {
        "train": np.arange(40, dtype=np.int32).reshape(5, 8),
        "test": np.arange(80, 120, dtype=np.int32).reshape(5, 8),
    }
    for name, array in images.items():
        write_idx(tmp_path / f"{name}-images-idx3-ubyte.gz", array)
    for name, array in labels.items():
        write_idx(tmp_path / f"qmnist-{name}-labels-idx2-int.gz", array)

    columns = script.with_writers(tmp_path)

    assert np.array_equal(columns["image"], np.concatenate(list(images.values())))
    assert columns["label"].tolist() == [0, 8, 16, 24, 32, 80, 88]
    assert columns["writer"].tolist() == [2, 10, 18, 26, 34, 82, 90]
    assert columns["test"].tolist() == [False] * 5 + [True] * 2


@pytest.mark.parametrize("content", [b"", b"\0\0\x0d\x01", b"text"])
def test_another_file_is_refused_by_its_name(content, tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=r"x\.gz is no IDX file"):
        script.read_idx(tmp_path / "x.gz")
