"""Make `mnist-writers/mnist.npz`: MNIST's images, each with the writer that QMNIST found for it.

    python experiments/mnist_writers.py FOLDER $FEDLAB_DATA/mnist-writers/mnist.npz

FOLDER holds MNIST's images (`train-images-idx3-ubyte.gz` and `t10k-images-idx3-ubyte.gz`) and the labels of QMNIST
(`qmnist-train-labels-idx2-int.gz` and `qmnist-test-labels-idx2-int.gz` of github.com/facebookresearch/qmnist).
"""

import gzip
import sys
from pathlib import Path

import numpy as np

_TYPES = {8: ">u1", 12: ">i4"}  # of the numbers, by the third byte of an IDX file
_LABEL, _WRITER = 0, 2  # columns of QMNIST's labels
_IMAGES = ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz")
_LABELS = ("qmnist-train-labels-idx2-int.gz", "qmnist-test-labels-idx2-int.gz")


def read_idx(path: Path) -> np.ndarray:
    """Return the array in a gzipped IDX file; raises ValueError if it is none."""
    content = gzip.decompress(path.read_bytes())
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES:
        raise ValueError(f"{path} is no IDX file of bytes or integers")
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4)
    return np.frombuffer(content, _TYPES[content[2]], offset=4 + 4 * content[3]).reshape(shape)


def with_writers(folder: Path) -> dict[str, np.ndarray]:
    """Return the columns image, label, writer and test, the training images first.

    QMNIST has 60,000 test labels, of which MNIST's test images are the first 10,000.
    """
    images = [read_idx(folder / name) for name in _IMAGES]
    labels = [read_idx(folder / name)[: len(part)] for name, part in zip(_LABELS, images, strict=True)]
    test = np.repeat([False, True], [len(part) for part in images])
    columns = np.concatenate(labels).astype(np.int64)
    return {"image": np.concatenate(images), "label": columns[:, _LABEL], "writer": columns[:, _WRITER], "test": test}


if __name__ == "__main__":
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    target.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(target, **with_writers(source))
