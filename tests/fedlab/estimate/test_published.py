"""The artifact's arithmetic is reproduced to its published hours."""

from pathlib import Path

import pytest

from fedlab.devices.profile import load_profile
from fedlab.estimate.published import parameters, published_rules
from fedlab.estimate.slot import Estimate, Slot, estimate
from fedlab.estimate.trajectory import Segment
from fedlab.network.links import constant
from fedlab.workload.shape import REFERENCE_SHAPES

PUBLISHED_FULL = (0.6, 7.7, 14.8, 21.9, 29.0, 36.0, 43.1, 50.2, 57.3, 64.4, 71.5, 78.6, 109.5)


def billed(
    trajectory, device="jetson-tx2", *, method="full", codec="none", family="bert", bandwidth="1MB/s", **changes
) -> Estimate:
    options = {"batches": 29, "batch_size": 4, "sequence_length": 256} | changes
    slot = Slot(
        method=method,
        shape=REFERENCE_SHAPES[family],
        profile=load_profile(device, Path()),
        link=constant(bandwidth),
        **options,
    )
    return estimate([Segment(*entry) for entry in trajectory], slot, published_rules(method, family, codec))


@pytest.mark.parametrize(
    ("device", "codec", "hours"),
    [
        ("jetson-tx2", "none", 43.95175),
        ("jetson-nano", "none", 46.2935),
        ("rpi-4b", "none", 88.445),  # 171 x (29 x 34 + 876) s
        ("jetson-tx2", "int8", 12.74425),
    ],
)
def test_full_fine_tuning_on_20news_takes_the_published_hours(device, codec, hours):
    assert billed([(171, 12, 8)], device, codec=codec).seconds / 3600 == pytest.approx(hours, rel=1e-9)


def test_the_published_energy_is_12_watts_computing_and_4_communicating():
    assert billed([(171, 12, 8)]).joules == pytest.approx(171 * (12 * 49.3 + 4 * 876))


def test_cached_adapters_move_the_rounded_parameters_twice():
    # 10 rounds of the head, 80 kB each way, then 5 rounds at (2, 8), 45,000 parameters and 180 kB each way.
    whole = billed([(10, 0, 8), (15, 2, 8)], method="adapter")
    head, deeper = whole.by_segment
    assert head.seconds == pytest.approx(10 * (29 * 0.02 + 0.16))
    assert deeper.seconds == pytest.approx(5 * (29 * 0.18 + 0.36))
    assert whole.bytes_down == whole.bytes_up == 10 * 80_000 + 5 * 180_000


def test_width_moves_bytes_but_takes_no_time_to_compute():
    narrow, wide = (billed([(1, 2, width)], method="adapter") for width in (8, 64))
    assert wide.bytes_down == 4 * (20_000 + 2 * 100_000)
    assert wide.seconds - narrow.seconds == pytest.approx(2 * 4 * (220_000 - 45_000) / 1e6)


def test_texts_of_64_tokens_take_a_quarter():
    # AG News: 30 batches at depth 2 of layer freezing, INT4 both ways: 5.22 + 14.8 s.
    found = billed([(281, 2, 0)], method="freeze", codec="int4", batches=30, sequence_length=64)
    assert found.seconds == pytest.approx(281 * (30 * 0.174 + 2 * 4 * 14.8 / 8))


def test_bandwidth_divides_the_transfers_alone():
    assert billed([(1, 12, 0)], bandwidth="0.1MB/s").seconds == pytest.approx(29 * 1.7 + 8760)


def test_a_width_between_the_steps_is_billed_in_proportion():
    assert parameters("adapter", "bert", 1, 7) == 20_000 + 12_500 * 7 / 8
    assert billed([(1, 1, 7)], method="adapter").bytes_up == round(4 * (20_000 + 10_937.5))


@pytest.mark.parametrize(("depth", "millions"), list(enumerate(PUBLISHED_FULL)))
def test_whole_blocks_have_the_published_parameters(depth, millions):
    assert parameters("freeze", "bert", depth, 8) == round(millions * 1e6)
    assert billed([(1, depth, 8)], method="freeze").bytes_up == round(millions * 1e6) * 4


def test_the_whole_of_distilbert_is_its_published_size():
    whole = billed([(1, 6, 8)], family="distilbert")
    assert whole.bytes_down == 67_000_000 * 4
    assert whole.seconds == pytest.approx(29 * 0.91 + 2 * 268, rel=1e-3)


def test_distilbert_with_the_cache_is_a_twentieth_of_the_rpis_figures():
    assert billed([(1, 2, 8)], method="adapter", family="distilbert").seconds == pytest.approx(29 * 5.7 / 20 + 0.36)
