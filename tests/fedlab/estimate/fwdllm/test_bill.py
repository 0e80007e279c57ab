"""FwdLLM's cost model agrees with its published minutes, and with its formula written a second time."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.errors import UserError
from fedlab.estimate.fwdllm.bill import FwdllmSlot, bill, evaluations_until
from fedlab.estimate.fwdllm.rounds import RoundsSegment

SLOT = FwdllmSlot(processor="npu")
# Seconds and parameters (AGNEWS, and of a further label) by backbone and method, typed here a second time.
SECONDS = {
    "distilbert-base": {"full": 6.939, "adapter": 4.1634, "bitfit": 4.1634, "fedadapter": 1.3878, "forward": 3.35942},
    "bert-base": {"full": 14.047, "adapter": 8.2235, "bitfit": 8.2235, "fedadapter": 2.055875, "forward": 6.91072},
    "albert-base": {"full": 17.526, "adapter": 10.5156, "bitfit": 10.5156, "fedadapter": 10, "forward": 6.73988},
    "roberta-large": {"full": 28.094, "adapter": 16.447, "bitfit": 16.447, "fedadapter": 5.48234, "forward": 13.82144},
}
PARAMETERS = {
    "distilbert-base": (66_365_956, 450_340, 54_532, 152_164, 450_340),
    "bert-base": (109_485_316, 897_604, 105_988, 152_164, 105_988),
    "albert-base": (11_686_660, 27_652, 13_188, 2_228, 13_188),
    "roberta-large": (354_314_244, 3_175_940, 275_460, 532_740, 275_460),
}
METHODS = ("full", "adapter", "bitfit", "fedadapter", "forward")


def rounds(*pairs: tuple[int, float]) -> list[RoundsSegment]:
    firsts = [1, *(last + 1 for last, _ in pairs)]
    return [RoundsSegment(first, last, each) for first, (last, each) in zip(firsts, pairs, strict=False)]


def minutes(evaluations: int, slot: FwdllmSlot, perturbations: float = 1) -> float:
    last = 1 + (evaluations - 1) * slot.evaluate_every
    return bill(rounds((last, perturbations)), slot).estimate.seconds / 60


@pytest.mark.parametrize(
    ("evaluations", "expected", "changes"),
    [
        (52, 21.9, {}),
        (52, 28.1, {"processor": "gpu"}),
        (7, 721.0, {"processor": "cpu", "method": "full"}),
        (51, 29.5, {"processor": "cpu", "method": "fedadapter"}),
        (21, 18.1, {"labels": 10, "batches": 18, "evaluate_every": 5}),
        (17, 115.3, {"labels": 10, "batches": 18, "evaluate_every": 5, "processor": "cpu", "method": "adapter"}),
        (78, 485.7, {"labels": 10, "batches": 18, "evaluate_every": 5, "processor": "cpu", "method": "fedavg"}),
        (37, 27.0, {"labels": 2, "batches": 65, "backbone": "albert-base"}),
        (28, 66449.5, {"labels": 2, "batches": 65, "backbone": "roberta-large", "method": "full", "processor": "cpu"}),
    ],
)
def test_published_minutes_follow_from_the_number_of_evaluations(evaluations, expected, changes):
    assert minutes(evaluations, replace(SLOT, **changes)) == pytest.approx(expected, rel=2e-3)


def test_a_segment_has_its_own_perturbations():
    # The artifact's schedule: 1 perturbation for 10 rounds, 3 for 3, 5 for 5, then 10; 17.38 minutes after 25 rounds.
    found = bill(rounds((10, 1), (13, 3), (18, 5), (25, 10)), SLOT)
    assert found.estimate.seconds / 60 == pytest.approx(17.38, rel=1e-3)
    assert [part.configuration["perturbations"] for part in found.estimate.by_segment] == [1, 3, 5, 10]


def test_pacing_bills_the_evaluations_of_a_client_as_their_mean():
    found = bill(rounds((24, 829 / (24 * 15))), SLOT)
    assert found.compute_seconds == pytest.approx(829 * 0.3085584)
    assert found.transfer_seconds == pytest.approx(24 * 15 * 4 * 450_340 / 1_310_720)


def test_traffic_of_rounds_without_an_evaluation_is_billed_in_energy_and_bytes_but_not_in_time():
    every, fifth = (bill(rounds((101, 1)), replace(SLOT, evaluate_every=each)) for each in (1, 5))
    assert (every.evaluations, fifth.evaluations) == (101, 21)
    transfers = 15 * 4 * 450_340 / 1_310_720
    assert every.estimate.seconds - fifth.estimate.seconds == pytest.approx(80 * transfers)
    assert every.estimate.joules == fifth.estimate.joules
    assert every.estimate.bytes_down == fifth.estimate.bytes_down == 101 * 15 * 4 * 450_340


def test_segments_share_the_evaluations_of_their_rounds():
    whole = bill(rounds((23, 2)), replace(SLOT, evaluate_every=5))
    parts = bill(rounds((3, 2), (6, 2), (10, 2), (11, 2), (23, 2)), replace(SLOT, evaluate_every=5))
    assert parts.estimate.seconds == pytest.approx(whole.estimate.seconds)
    assert parts.estimate.joules == pytest.approx(whole.estimate.joules)


def test_forward_sends_down_on_the_phone_and_both_ways_on_the_tx2():
    phone = bill(rounds((10, 1)), SLOT).estimate
    board = bill(rounds((10, 1)), replace(SLOT, device="jetson-tx2", processor="gpu")).estimate
    assert (phone.bytes_down, phone.bytes_up) == (10 * 15 * 4 * 450_340, 0)
    assert (board.bytes_down, board.bytes_up) == (10 * 15 * 4 * 450_340,) * 2


def test_int8_takes_a_third_of_the_seconds_and_half_of_the_bytes():
    whole, third = (bill(rounds((21, 1)), replace(SLOT, format=each)) for each in ("fp32", "int8"))
    assert third.compute_seconds == pytest.approx(whole.compute_seconds / 3)
    assert third.transfer_seconds == pytest.approx(whole.transfer_seconds / 2)
    assert third.estimate.bytes_down == whole.estimate.bytes_down // 2


def test_other_batch_sizes_are_scaled_and_said_to_be():
    usual, double = (bill(rounds((3, 1)), replace(SLOT, batch_size=each)) for each in (8, 16))
    assert double.compute_seconds == pytest.approx(2 * usual.compute_seconds)
    assert double.transfer_seconds == usual.transfer_seconds
    assert (usual.notes, double.notes) == ((), ("the seconds of a batch are scaled from a batch of 8",))


def test_the_seconds_do_not_depend_on_the_tokens_but_memory_does():
    short, long = (bill(rounds((3, 1)), replace(SLOT, sequence_length=each)).estimate for each in (64, 256))
    assert short.seconds == long.seconds
    assert short.peak_memory_bytes < long.peak_memory_bytes


def test_a_bandwidth_has_binary_prefixes_and_a_number_is_bytes_per_second():
    same = [bill(rounds((3, 1)), replace(SLOT, bandwidth=each)) for each in ("10Mbit/s", 1_310_720.0, "1.25MB/s")]
    assert len({found.estimate.seconds for found in same}) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processor": "npu", "method": "full"}, "no seconds of full on the npu"),
        ({"backbone": "bert-tiny"}, "--backbone"),
        ({"device": "rpi-5"}, "--device"),
        ({"bandwidth": "0Mbit/s"}, "bandwidth '0Mbit/s' is not usable"),
    ],
)
def test_what_has_no_figures_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        bill(rounds((1, 1)), replace(SLOT, **changes))


@pytest.mark.parametrize(
    ("last", "every", "count"), [(0, 5, 0), (1, 5, 1), (5, 5, 1), (6, 5, 2), (11, 5, 3), (7, 1, 7)]
)
def test_the_first_evaluation_comes_after_one_round(last, every, count):
    assert evaluations_until(last, every) == count


@st.composite
def cases(draw):
    backbone = draw(st.sampled_from(sorted(SECONDS)))
    method = draw(st.sampled_from(sorted(SECONDS[backbone])))
    labels = (
        draw(st.integers(3, 40).filter(lambda each: each != 10)) if method == "fedadapter" else draw(st.integers(1, 40))
    )
    if (backbone, method) == ("albert-base", "fedadapter"):
        labels = 4
    parts, last = [], 0
    for _ in range(draw(st.integers(1, 4))):
        last += draw(st.integers(1, 200))
        parts.append((last, draw(st.integers(1, 50)) if method == "forward" else 1))
    return {
        "backbone": backbone, "method": method, "labels": labels, "parts": parts,
        "batches": draw(st.integers(1, 200)), "every": draw(st.integers(1, 9)), "tx2": draw(st.booleans()),
        "megabits": draw(st.integers(1, 1000)),
    }  # fmt: skip


@given(cases())
def test_the_bill_is_the_formula_for_any_batches_labels_links_and_perturbations(case):
    seconds, count = (
        SECONDS[case["backbone"]][case["method"]],
        PARAMETERS[case["backbone"]][METHODS.index(case["method"])],
    )
    count += (case["labels"] - 4) * (1025 if case["backbone"] == "roberta-large" else 769)
    t = seconds / 5.8 if case["tx2"] else seconds
    n, e, last = case["batches"], case["every"], case["parts"][-1][0]
    c = 4 * count / (case["megabits"] * 1024**2 / 8)
    w = 1 if case["method"] == "forward" and not case["tx2"] else 2
    of_round = [next(v for until, v in case["parts"] if each <= until) for each in range(1, last + 1)]
    computing = sum(n * t * v for v in of_round)
    evaluated = [each for each in range(1, last + 1) if each % e == 1 % e]
    slot = FwdllmSlot(
        backbone=case["backbone"], method=case["method"], labels=case["labels"], batches=n, evaluate_every=e,
        device="jetson-tx2" if case["tx2"] else "pixel-7-pro", bandwidth=f"{case['megabits']}Mbit/s",
    )  # fmt: skip
    found = bill(rounds(*case["parts"]), slot)
    assert found.parameters == count
    assert found.estimate.seconds == pytest.approx(computing + w * n * c * len(evaluated))
    assert found.estimate.joules == pytest.approx(5.2817 * computing + 4 * w * n * c * last)
    assert found.estimate.bytes_down + found.estimate.bytes_up == 4 * count * n * w * last
    if set(of_round) == {1} and last % e == 1 % e:  # the artifact's time to the k-th evaluation
        k = len(evaluated)
        assert found.estimate.seconds == pytest.approx((n * t + w * n * c) + (k - 1) * (n * t * e + w * n * c))
