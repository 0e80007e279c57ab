"""Tasks of images: splits, labels, partitions and report, from each kind of source."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fedlab.config.schema import TaskTable
from fedlab.data.load import load_task
from fedlab.data.task import SPLITS
from fedlab.errors import UserError

NATURAL = {"scheme": "natural", "column": "writer"}


@pytest.fixture
def task_of(tmp_path):
    def load(data, **keys):
        partition = keys.pop("partition", {"clients": 2})
        table = TaskTable(kind="image", data=str(data), partition=partition, **keys)
        folder = tmp_path / "cache"
        return load_task(table, tokenizer=None, seed=0, cache_folder=folder, resolve=tmp_path.joinpath)

    return load


@pytest.fixture
def folders(tmp_path):
    """Write images of two labels, 8 for training and 2 for the test, whose one pixel says what they are."""
    for split, count in (("train", 8), ("test", 2)):
        for number in range(count):
            path = tmp_path / "images" / split / ("even", "odd")[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 6, 3), number, np.uint8)).save(path)
    return tmp_path / "images"


def test_folders_of_images_become_splits_of_pixels_and_labels(task_of, folders):
    task = task_of(folders, validation=0.25)
    assert task.label_names == ("even", "odd")
    assert [len(getattr(task, split)) for split in SPLITS] == [6, 2, 2]
    assert task.train.input_shape == (3, 4, 6)
    for split in SPLITS:
        images = getattr(task, split)
        assert (images.pixels[:, 0, 0, 0] % 2 == images.labels).all()
    assert task.report.images.shape == [3, 4, 6]
    assert task.report.images.num_labels == 2
    assert {split: each.examples for split, each in task.report.splits.items()} == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }


def test_a_column_names_the_clients_and_one_seed_gives_one_task(task_of, stripes):
    task = task_of(stripes, partition=NATURAL)
    assert len(task.partitions) == 5
    assert sum(map(len, task.partitions)) == len(task.train) == 144
    assert task.test.pixels.shape == (40, 1, 16, 16)
    assert task.report.clients.labels == ["0", "1"]
    again = task_of(stripes, partition=NATURAL)  # from the cache
    assert again.digest == task.digest
    assert again.images == task.images
    assert np.array_equal(again.train.pixels, task.train.pixels)
    assert task_of(stripes, partition=NATURAL, mean=[0.5], std=[0.5]).digest != task.digest


@pytest.mark.parametrize("scheme", ["iid", "dirichlet", "pathological"])
def test_labels_are_skewed_over_clients_as_those_of_texts(task_of, stripes, scheme):
    classes = {"classes_per_client": 1} if scheme == "pathological" else {}
    task = task_of(stripes, partition={"scheme": scheme, "clients": 4, **classes})
    assert len(task.partitions) == 4
    labels = [set(task.train.labels[part].tolist()) for part in task.partitions]
    assert [len(each) for each in labels] == [1] * 4 if scheme == "pathological" else all(labels)


def test_parquet_with_encoded_images_is_read_with_the_names_of_its_labels(task_of, folders, tmp_path):
    files = sorted((folders / "train").rglob("*.png"))
    images = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    about = {
        "info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}
    }
    table = pa.table({"image": images, "label": [int(file.stem) % 2 for file in files]})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(about)}), tmp_path / "train.parquet")
    task = task_of(tmp_path / "train.parquet")
    assert task.label_names == ("no", "yes")
    assert (task.train.pixels[:, 0, 0, 0] % 2 == task.train.labels).all()


def test_images_that_occur_twice_are_counted(task_of, folders):
    copy = folders / "test" / "odd" / "again.png"
    copy.write_bytes((folders / "train" / "odd" / "1.png").read_bytes())
    duplicates = task_of(folders, validation=0.01).report.duplicates
    assert duplicates["test"]["train"] + duplicates["test"]["validation"] == 3  # and 0.png and 1.png of both splits


def test_a_limit_and_a_test_limit_hold_for_images(task_of, stripes):
    task = task_of(stripes, limit=50, test_limit=7, validation=0.2)
    assert [len(getattr(task, split)) for split in SPLITS] == [40, 10, 7]


def test_splits_of_different_sizes_are_refused(task_of, folders):
    for file in (folders / "test").rglob("*.png"):
        Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(file)
    with pytest.raises(
        UserError, match=r"split 'test': has images of 3 x 5 x 5 .*, and the training split of 3 x 4 x 6"
    ):
        task_of(folders)


def test_a_label_that_is_out_of_range_is_refused(task_of, tmp_path):
    images, labels = np.zeros((6, 2, 2), np.uint8), np.array([0, 1, 0, 1, 0, 7])
    np.savez(tmp_path / "data.npz", image=images, label=labels, test=np.arange(6) >= 4)
    with pytest.raises(UserError, match="label '7' in split 'test' is not in the set: accepted: 0, 1"):
        task_of(tmp_path / "data.npz")


def test_a_missing_column_is_refused_with_those_that_are_there(task_of, stripes):
    for key, column in (("image", "pixels"), ("label", "digit")):
        with pytest.raises(
            UserError, match=f"task.{key}: no column '{column}' in split '[a-z]+': .*accepted: image, la"
        ):
            task_of(stripes, **{key: column})
    with pytest.raises(UserError, match=r"task.partition.column: no column 'author'"):
        task_of(stripes, partition={"scheme": "natural", "column": "author"})


def test_a_corrupt_file_is_refused_by_its_name(task_of, folders):
    (folders / "train" / "odd" / "3.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(UserError, match=r"split 'train': 1 of 8 images cannot be read, the first is \S+/odd/3.png"):
        task_of(folders)
