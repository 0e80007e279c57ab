"""A slot's rounds are billed by the physics, its first at a new depth in full, and totals are the sums of segments."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.devices.profile import load_profile
from fedlab.errors import UserError
from fedlab.estimate.slot import Rules, Slot, Traffic, estimate
from fedlab.estimate.trajectory import Segment
from fedlab.network.links import constant
from fedlab.workload.shape import REFERENCE_SHAPES

SLOT = Slot(
    method="adapter",
    shape=REFERENCE_SHAPES["bert"],
    profile=load_profile("jetson-tx2", Path()),
    link=constant("1MB/s"),
    batches=29,
    batch_size=4,
    sequence_length=256,
)
FREE = Rules(traffic=lambda depth, width: Traffic(0, 0), fills_cache=False, latency_width=32)
FILLED = replace(FREE, fills_cache=True)


def seconds(trajectory, rules=FREE, **changes) -> float:
    return estimate([Segment(*entry) for entry in trajectory], replace(SLOT, **changes), rules).seconds


def test_a_trajectory_is_the_sum_of_its_segments():
    rules = replace(FREE, traffic=lambda depth, width: Traffic(1_000_000 * (depth + 1), 500_000))
    whole = estimate([Segment(10, 0, 8), Segment(15, 2, 8)], SLOT, rules)
    head, deeper = whole.by_segment
    assert (head.first_round, head.last_round, head.rounds) == (1, 10, 10)
    assert (deeper.first_round, deeper.last_round, deeper.rounds) == (11, 15, 5)
    assert head.seconds == pytest.approx(10 * (29 * 0.02 + 1.5))
    assert deeper.seconds == pytest.approx(5 * (29 * 0.18 + 3.5))
    assert whole.seconds == head.seconds + deeper.seconds
    assert (whole.bytes_down, whole.bytes_up) == (10 * 1_000_000 + 5 * 3_000_000, 15 * 500_000)
    assert whole.joules == pytest.approx(12 * 29 * (10 * 0.02 + 5 * 0.18) + 4 * (10 * 1.5 + 5 * 3.5))
    assert whole.peak_memory_bytes == 900_000_000


@pytest.mark.parametrize(
    ("method", "configuration"),
    [
        ("adapter", {"set": "bottleneck", "depth": 2, "width": 8}),
        ("adapter-nocache", {"set": "bottleneck", "depth": 2, "width": 8}),
        ("freeze", {"set": "blocks", "depth": 2}),
        ("full", {"set": "everything"}),
    ],
)
def test_a_segment_names_what_its_method_trains(method, configuration):
    (segment,) = estimate([Segment(10, 2, 8)], replace(SLOT, method=method), FREE).by_segment
    assert segment.configuration == configuration


def test_forward_passes_hold_the_pairs_that_they_perturb_in_float32():
    phone = replace(SLOT, method="forward", profile=load_profile("pixel-7-pro", Path()))
    small, large = (estimate([Segment(1, 12, rank)], phone, FREE).peak_memory_bytes for rank in (1, 9))
    assert large - small == 4 * 12 * 2 * 8 * (768 + 768)  # in 12 blocks, beside q and v, of 8 ranks more


def test_the_first_round_at_a_new_depth_runs_every_block_of_every_batch():
    assert seconds([(10, 2, 8)], FILLED) == pytest.approx(29 * (0.63 + 9 * 0.18))
    assert seconds([(10, 2, 8)]) == pytest.approx(29 * 10 * 0.18)


def test_a_wider_adapter_keeps_the_cache_and_another_depth_loses_it():
    same = seconds([(10, 2, 8), (20, 2, 16)], FILLED)
    assert same == pytest.approx(29 * (0.63 + 19 * 0.18))
    back = seconds([(10, 2, 8), (20, 3, 8), (30, 2, 8)], FILLED)
    assert back == pytest.approx(29 * (0.63 + 9 * 0.18 + 0.66 + 9 * 0.27 + 0.63 + 9 * 0.18))


def test_filling_the_cache_takes_the_memory_of_every_block():
    filled, free = (estimate([Segment(10, 2, 8)], SLOT, rules).peak_memory_bytes for rules in (FILLED, FREE))
    assert (filled, free) == (1_300_000_000, 900_000_000)


def test_a_single_round_at_each_depth_is_never_cached():
    assert seconds([(1, 2, 8), (2, 3, 8)], FILLED) == pytest.approx(29 * (0.63 + 0.66))


@pytest.mark.parametrize("rules", [FREE, FILLED])
def test_without_a_cache_every_batch_runs_every_block(rules):
    assert seconds([(10, 2, 8)], rules, method="adapter-nocache") == pytest.approx(10 * 29 * 0.63)


@pytest.mark.parametrize("depth", [0, 2, 12, 99])
def test_full_trains_all_blocks_whatever_the_trajectory_says(depth):
    assert seconds([(3, depth, 0)], FILLED, method="full") == pytest.approx(3 * 29 * 1.7)


def test_freezing_trains_the_top_blocks():
    assert seconds([(3, 2, 0)], FILLED, method="freeze") == pytest.approx(3 * 29 * 0.696)
    assert seconds([(3, 12, 0)], FILLED, method="freeze") == pytest.approx(3 * 29 * 1.7)


def test_wider_adapters_take_longer_unless_all_are_timed_alike():
    own = replace(FREE, latency_width=None)
    assert seconds([(1, 2, 64)], own) > seconds([(1, 2, 32)], own) == seconds([(1, 2, 32)])
    assert seconds([(1, 2, 64)]) == seconds([(1, 2, 8)])


def test_time_is_linear_in_batches_and_tokens():
    assert seconds([(1, 2, 8)], batches=58) == pytest.approx(2 * seconds([(1, 2, 8)]))
    assert seconds([(1, 2, 8)], sequence_length=64) == pytest.approx(seconds([(1, 2, 8)]) / 4)


@pytest.mark.parametrize(
    ("method", "trajectory", "message"),
    [
        ("adapter", (5, 13, 8), "depth 13 up to round 5, expected 0 to 12"),
        ("freeze", (5, 13, 8), "depth 13 up to round 5"),
        ("adapter", (5, 2, 0), "width 0 up to round 5, expected 1 or more"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(method, trajectory, message):
    with pytest.raises(UserError, match=message):
        seconds([trajectory], method=method)


configurations = st.tuples(st.integers(0, 12), st.integers(1, 64))


@given(st.lists(st.tuples(st.integers(1, 30), configurations), min_size=1, max_size=6), st.integers(0, 10))
def test_rounds_add_up_however_a_stretch_of_one_configuration_is_cut(parts, cut):
    rules = Rules(traffic=lambda depth, width: Traffic(1000 * (depth + 1) * width, 7), fills_cache=True)
    segments, last = [], 0
    for rounds, (depth, width) in parts:
        last += rounds
        segments.append(Segment(last, depth, width))
    first = segments[0]
    halves = [Segment(cut, first.depth, first.width)] if 0 < cut < first.last_round else []
    whole, cut_up = estimate(segments, SLOT, rules), estimate([*halves, *segments], SLOT, rules)
    assert cut_up.seconds == pytest.approx(whole.seconds)
    assert (cut_up.bytes_down, cut_up.bytes_up) == (whole.bytes_down, whole.bytes_up)
    assert sum(part.rounds for part in whole.by_segment) == last


@given(configurations, st.integers(1, 50), st.integers(1, 50))
def test_more_rounds_never_cost_less(configuration, rounds, more):
    assert seconds([(rounds + more, *configuration)], FILLED) >= seconds([(rounds, *configuration)], FILLED)
