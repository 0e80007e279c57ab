import math

import pytest

from fedlab.messages.measurements import Measures, Upload, from_fields, to_fields

FULL = Measures(
    compute_seconds=2.5,
    prepare_seconds=0.5,
    peak_memory_bytes=3_000_000,
    download_seconds=0.25,
    last_upload=Upload(num_bytes=1000, seconds=4.0),
)
BARE = Measures(compute_seconds=2.5, prepare_seconds=0.0, peak_memory_bytes=1)


@pytest.mark.parametrize("measures", [FULL, BARE], ids=["all", "without a network"])
def test_measures_come_back_as_they_were(measures):
    assert from_fields(to_fields(measures)) == measures


def test_an_upload_is_billed_at_the_speed_of_the_last():
    assert FULL.upload_seconds(500) == 2.0
    assert BARE.upload_seconds(500) == 0.0


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf, "much", None])
def test_nonsense_is_no_measure(wrong):
    assert from_fields(to_fields(FULL) | {"compute-seconds": wrong}) is None
    assert from_fields(to_fields(FULL) | {"download-seconds": wrong}) is None


def test_what_lacks_a_measure_is_none():
    assert from_fields({}) is None
    assert from_fields({"compute-seconds": 1.0}) is None
