"""Folders of images and .npz files are columns, by split."""

import numpy as np
import pytest
from PIL import Image

from fedlab.data.sources.image_files import holds_label_folders, read_image_folders, read_npz
from fedlab.errors import UserError


@pytest.fixture
def write_images(tmp_path):
    def write(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)
        return tmp_path

    return write


def labels(datasets):
    return {split: dataset["label"][:] for split, dataset in datasets.items()}


def test_folders_of_labels_are_the_training_split(write_images):
    path = write_images("cat/a.png", "cat/b.jpg", "train/c.JPEG")  # a vehicle: its folder has no folders
    found = read_image_folders(path)
    assert labels(found) == {"train": ["cat", "cat", "train"]}
    assert found["train"]["image"][0]["path"].endswith("cat/a.png")
    assert holds_label_folders(path)


def test_folders_of_splits_hold_folders_of_labels(write_images):
    path = write_images("train/cat/a.png", "train/dog/deep/b.png", "val/dog/c.png", "test/cat/d.png")
    assert labels(read_image_folders(path)) == {"train": ["cat", "dog"], "validation": ["dog"], "test": ["cat"]}
    assert holds_label_folders(path)


def test_a_folder_beside_splits_that_is_none_is_refused(write_images):
    path = write_images("train/cat/a.png", "other/cat/b.png")
    with pytest.raises(UserError, match=r"other: is no folder of a split, expected train, validation, test"):
        read_image_folders(path)


def test_a_file_that_is_no_image_is_named(write_images):
    path = write_images("cat/a.png")
    (path / "cat" / "notes.txt").write_text("")
    with pytest.raises(UserError, match=r"notes.txt: is no image, expected .png, .jpg, .jpeg"):
        read_image_folders(path)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "cat").mkdir()
    assert not holds_label_folders(tmp_path)
    with pytest.raises(UserError, match="has no images: expected label/file or split/label/file"):
        read_image_folders(tmp_path)


def saved(path, **arrays):
    np.savez(path / "data.npz", **arrays)
    return path / "data.npz"


IMAGES = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)


def test_truth_values_named_for_a_split_say_which_rows_are_its(tmp_path):
    marks = np.array([False, True, False, False, True, False])
    found = read_npz(saved(tmp_path, image=IMAGES, label=np.arange(6), writer=np.arange(6), test=marks))
    assert labels(found) == {"train": [0, 2, 3, 5], "test": [1, 4]}
    assert found["test"].column_names == ["image", "label", "writer"]
    assert np.array_equal(found["test"].with_format("numpy")["image"][:], IMAGES[marks])


def test_arrays_that_are_named_for_splits_are_their_columns(tmp_path):
    file = saved(tmp_path, x_train=IMAGES, y_train=np.arange(6), x_test=IMAGES[:2], y_test=np.arange(2))
    found = read_npz(file)
    assert {split: (len(each), each.column_names) for split, each in found.items()} == {
        "train": (6, ["x", "y"]),
        "test": (2, ["x", "y"]),
    }


def test_arrays_without_names_of_splits_are_the_training_split(tmp_path):
    colours = np.zeros((2, 4, 4, 3), np.uint8)
    found = read_npz(saved(tmp_path, image=colours, label=np.array(["cat", "dog"])))
    assert labels(found) == {"train": ["cat", "dog"]}


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"image": IMAGES, "label": np.arange(5)}, "expected arrays of one length, found image 6, label 5"),
        ({"image": np.zeros((2, 2, 2, 2, 2)), "label": np.arange(2)}, "has arrays that cannot be columns"),
        ({"image": np.float32(1)}, "expected arrays of one length|has arrays that cannot be columns"),
    ],
)
def test_arrays_that_cannot_be_columns_are_refused(tmp_path, arrays, said):
    with pytest.raises(UserError, match=said):
        read_npz(saved(tmp_path, **arrays))


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    (tmp_path / "data.npz").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"data.npz: not an .npz file of arrays"):
        read_npz(tmp_path / "data.npz")
    np.savez(tmp_path / "data.npz", image=np.array([{}], object))
    with pytest.raises(UserError, match=r"data.npz: not an .npz file of arrays"):
        read_npz(tmp_path / "data.npz")
