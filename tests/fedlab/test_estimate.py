"""The artifact's arithmetic is reproduced to its published hours."""

from pathlib import Path

import pytest

from fedlab.devices import load_profile
from fedlab.errors import UserError
from fedlab.estimate import Estimate, estimate, parameters
from fedlab.links import constant

PUBLISHED_FULL = (0.6, 7.7, 14.8, 21.9, 29.0, 36.0, 43.1, 50.2, 57.3, 64.4, 71.5, 78.6, 109.5)


def estimated(trajectory, device: str = "jetson-tx2", **changes) -> Estimate:
    options = {"method": "full", "codec": "none", "backbone": "bert-base", "batches": 29, "sequence_length": 256}
    return estimate(
        trajectory,
        **(options | changes),
        profile=load_profile(device, Path()),
        link=constant("1MB/s"),
        batch_size=4,
    )


@pytest.mark.parametrize(
    ("device", "codec", "hours"),
    [
        ("jetson-tx2", "none", 43.95),
        ("jetson-nano", "none", 46.29),
        ("rpi-4b", "none", 88.445),  # 171 x (29 x 34 + 876) s; published as 88.45
        ("jetson-tx2", "int8", 12.74),
    ],
)
def test_full_fine_tuning_on_20news_takes_the_published_hours(device, codec, hours):
    assert estimated([(171, 12, 8)], device, codec=codec).seconds / 3600 == pytest.approx(hours, abs=0.005)


def test_a_trajectory_is_the_sum_of_its_segments():
    # 10 rounds of the head, 80 kB each way, then 5 rounds at (2, 8), 45,000 parameters and 180 kB each way.
    whole = estimated([(10, 0, 8), (15, 2, 8)], method="adapter")
    head, deeper = whole.by_segment
    assert (head.rounds, deeper.rounds) == (10, 5)
    assert head.seconds == pytest.approx(10 * (29 * 0.02 + 0.16))
    assert deeper.seconds == pytest.approx(5 * (29 * 0.18 + 0.36))
    assert whole.seconds == head.seconds + deeper.seconds
    assert whole.bytes_down == whole.bytes_up == 10 * 80_000 + 5 * 180_000
    assert whole.joules == pytest.approx(12 * 29 * (10 * 0.02 + 5 * 0.18) + 4 * (1.6 + 1.8))
    assert whole.peak_memory_bytes == 900_000_000


def test_without_cache_every_batch_runs_every_block():
    assert estimated([(1, 2, 8)], method="adapter-nocache").seconds == pytest.approx(29 * 0.63 + 0.36)


def test_width_moves_bytes_but_takes_no_time_to_compute():
    narrow, wide = (estimated([(1, 2, width)], method="adapter") for width in (8, 64))
    assert wide.bytes_down == 4 * (20_000 + 2 * 100_000)
    assert wide.seconds - narrow.seconds == pytest.approx(2 * 4 * (220_000 - 45_000) / 1e6)


def test_int4_divides_traffic_by_eight():
    assert estimated([(1, 2, 8)], method="freeze", codec="int4").bytes_up == 14_800_000 * 4 // 8


@pytest.mark.parametrize(("depth", "millions"), list(enumerate(PUBLISHED_FULL)))
def test_whole_blocks_have_the_published_parameters(depth, millions):
    assert parameters("freeze", "bert", depth, 8) == round(millions * 1e6)


def test_the_whole_of_distilbert_is_its_published_size():
    whole = estimated([(1, 6, 8)], backbone="distilbert-base")
    assert whole.bytes_down == 67_000_000 * 4
    assert whole.seconds == pytest.approx(29 * 0.91 + 2 * 268)


@pytest.mark.parametrize(
    "trajectory", [[], [(0, 0, 8)], [(5, 0, 8), (5, 2, 8)], [(1, 13, 8)], [(1, -1, 8)], [(1, 2, 0)]]
)
def test_a_trajectory_that_cannot_be_is_refused(trajectory):
    with pytest.raises(UserError, match=r"^trajectory: .*expected"):
        estimated(trajectory)
