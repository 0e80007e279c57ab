"""Images are decoded from what a column has, and what is no image of the right size is named and counted."""

import io

import datasets
import numpy as np
import pytest
from PIL import Image

from fedlab.config.schema import TaskTable
from fedlab.data.pixels import read_pixels
from fedlab.errors import UserError

GREY = np.arange(6, dtype=np.uint8).reshape(2, 3)
COLOUR = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)

WIDE = np.arange(30, dtype=np.uint8).reshape(3, 2, 5)


def png(pixels, mode=None):
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(file, "PNG")
    return file.getvalue()


def read(values, features=None, **keys):
    dataset = datasets.Dataset.from_dict({"image": values}, features=features)
    return read_pixels(dataset, "image", TaskTable(kind="image", **keys), "train")


def of_files(*encoded):
    return [{"bytes": each, "path": f"cat/{number}.png"} for number, each in enumerate(encoded)]


def test_grey_images_have_one_channel_and_others_three():
    (grey,) = read(of_files(png(GREY)))
    (colour,) = read(of_files(png(COLOUR)))
    assert grey.tolist() == [GREY.tolist()]
    assert (colour == COLOUR.transpose(2, 0, 1)).all()
    (palette,) = read(of_files(png(COLOUR, "P")))
    assert palette.shape == (3, 2, 3)


def test_encoded_bytes_alone_are_images_and_nothing_is_none():
    grey, nothing = read([png(GREY), None])
    assert (grey == GREY).all()
    assert nothing is None


def test_a_column_that_declares_images_is_read():
    features = datasets.Features({"image": datasets.Image()})
    (colour,) = read(of_files(png(COLOUR)), features)
    assert (colour == COLOUR.transpose(2, 0, 1)).all()


@pytest.mark.parametrize(
    ("array", "expected"),
    [(GREY, GREY[None]), (COLOUR, COLOUR.transpose(2, 0, 1)), (WIDE, WIDE)],
)
def test_arrays_are_images_with_channels_behind_or_before(array, expected):
    feature = (datasets.Array2D if array.ndim == 2 else datasets.Array3D)(array.shape, "uint8")
    found = read([array, array], datasets.Features({"image": feature}))
    assert len(found) == 2
    assert (found[1] == expected).all()
    assert found[1].dtype == np.uint8


def test_an_image_that_cannot_be_read_is_named_and_all_are_counted():
    cut, garbage = png(COLOUR)[:40], b"no image"
    with pytest.raises(UserError, match=r"split 'train': 2 of 3 images cannot be read, the first is cat/1.png \(.+\)$"):
        read(of_files(png(COLOUR), cut, garbage))


def test_an_image_of_another_size_is_named_and_all_are_counted():
    others = png(GREY), png(COLOUR.transpose(1, 0, 2).copy())
    with pytest.raises(
        UserError,
        match=r"split 'train': 2 of 4 images are not 3 x 2 x 3 \(channels, height, width\) as cat/0.png: the first is"
        r" cat/2.png, 1 x 2 x 3",
    ):
        read(of_files(png(COLOUR), png(COLOUR), *others))
    with pytest.raises(
        UserError, match=r"1 of 1 images are not 1 x 28 x 28 .* as task.image_shape: the first is cat/0"
    ):
        read(of_files(png(COLOUR)), image_shape=[1, 28, 28])


def test_images_with_other_channels_than_grey_or_colour_are_refused():
    with pytest.raises(UserError, match=r"1 of 1 images cannot be read, .*is of mode RGBA, expected grey or RGB"):
        read(of_files(png(COLOUR, "RGBA")))


def test_what_is_no_image_is_refused():
    with pytest.raises(
        UserError, match=r"task.image = 'image': has 'a text' in split 'train', expected encoded images"
    ):
        read(["a text"])
    with pytest.raises(UserError, match=r"has values of type float32 in split 'train', expected uint8"):
        read([GREY / 255], datasets.Features({"image": datasets.Array2D(GREY.shape, "float32")}))
    with pytest.raises(UserError, match=r"has arrays of 2 x 3 x 5, expected height x width, with 1 or 3 channels"):
        read([np.zeros((2, 3, 5), np.uint8)], datasets.Features({"image": datasets.Array3D((2, 3, 5), "uint8")}))
