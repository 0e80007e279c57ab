"""Images are normalised by the training split, and augmented by keyed draws."""

import numpy as np

from fedlab.config.schema import TaskTable
from fedlab.data.pixel_scaling import (
    ImageTerms,
    PixelScaling,
    augmented,
    image_terms,
    image_terms_from,
    measured_scaling,
)

NOTHING = PixelScaling(mean=(0.0,), std=(1.0,))


def test_mean_and_deviation_are_those_of_each_channel():
    pixels = np.zeros((2, 2, 1, 2), np.uint8)
    pixels[:, 0] = [[[0, 255]], [[255, 0]]]
    pixels[:, 1] = 51
    assert measured_scaling(pixels) == PixelScaling(mean=(0.5, 0.2), std=(0.5, 1.0))  # a constant is left as it is


def test_a_task_that_gives_mean_and_deviation_is_normalised_by_these():
    given = TaskTable(kind="image", mean=[0.25], std=[0.5], augment=["crop"], crop_padding=2)
    terms = image_terms(given, np.zeros((1, 1, 2, 2), np.uint8))
    assert terms == ImageTerms(scaling=PixelScaling(mean=(0.25,), std=(0.5,)), crops=True, crop_padding=2)
    assert image_terms_from(terms.plain()) == terms


def test_an_image_is_flipped_left_to_right_in_about_half_of_the_draws():
    pixels = np.tile(np.array([[1, 2], [3, 4]], np.uint8), (400, 1, 1, 1))
    flipped = augmented(pixels, ImageTerms(scaling=NOTHING, flips=True), np.random.default_rng(0))
    sides = (flipped == pixels).all((1, 2, 3))
    assert (flipped[~sides] == pixels[0, :, :, ::-1]).all()
    assert 160 < sides.sum() < 240


def test_a_crop_is_a_window_of_the_padded_image():
    pixels = np.arange(1, 10, dtype=np.uint8).reshape(1, 1, 3, 3).repeat(300, 0)
    found = augmented(pixels, ImageTerms(scaling=NOTHING, crops=True, crop_padding=1), np.random.default_rng(0))
    padded = np.pad(pixels[0, 0], 1)
    windows = {padded[top : top + 3, left : left + 3].tobytes() for top in range(3) for left in range(3)}
    assert {each.tobytes() for each in found[:, 0]} == windows


def test_the_same_draws_give_the_same_images():
    pixels = np.random.default_rng(1).integers(0, 256, (5, 3, 8, 8)).astype(np.uint8)
    terms = ImageTerms(scaling=NOTHING, crops=True, crop_padding=4, flips=True)
    first, second, third = (augmented(pixels, terms, np.random.default_rng(seed)) for seed in (2, 2, 3))
    assert (first == second).all()
    assert (first != third).any()
    assert first.shape == pixels.shape
