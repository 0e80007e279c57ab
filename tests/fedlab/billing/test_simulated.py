"""The bills of clients that work side by side: stages, energy, memory, absence, deadlines, and a shared server."""

from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.billing.costs import charge
from fedlab.billing.simulated import Participation, SimulatedPhysics
from fedlab.config.schema import FleetTable
from fedlab.devices.fleet import build_fleet
from fedlab.errors import UserError
from fedlab.messages.round_terms import RoundTerms
from fedlab.network.links import constant, per_client
from fedlab.workload.passes import WHOLE, bottleneck
from fedlab.workload.shape import ModelShape
from fedlab.workload.workload import Workload, forward_passes, training_passes


def work(batches=5, *, depth=2, cached=0):
    return Workload(
        passes=training_passes(
            batches=batches,
            cached_batches=cached,
            batch_size=4,
            input_shape=(64,),
            model_blocks=4,
            depth=depth,
            trained=bottleneck(8),
        ),
        num_examples=4 * batches,
    )


def part(partition_id=0, batches=5, *, down=3000, up=1000, group="", start=0.0, leaves=inf, workload=None, depth=2):
    """Return a part of 3 s download, 10 s of work and 1 s upload, of a client that stays."""
    return Participation(
        workload=(workload or work(batches, depth=depth)) if start < leaves else None,
        partition_id=partition_id,
        server_round=1,
        bytes_down=down,
        bytes_up=up,
        group=group,
        start_seconds=start,
        leaves_seconds=leaves,
    )


@pytest.fixture
def bill(plain_physics):
    """Return a function that bills parts on plain boards and a link of 1 kB/s, on the same terms for all groups."""

    def call(*parts, boards=None, link=None, server=None, **terms):
        physics = plain_physics(boards, clients=8, link=link, **(server or {}))
        return physics.bill(parts, {each.group: RoundTerms(**terms) for each in parts})

    return call


def stages(bill):
    return bill.cost.download_seconds, bill.cost.compute_seconds, bill.cost.upload_seconds


def test_a_part_is_download_work_and_upload_one_after_the_other(bill):
    (one,) = bill(part())
    assert stages(one) == (3.0, 10.0, 1.0)
    assert (one.cost.bytes_down, one.cost.bytes_up, one.cost.peak_memory_bytes) == (3000, 1000, 30_000)
    assert (one.cost.compute_joules, one.cost.transfer_joules, one.cost.idle_joules) == (100.0, 16.0, 0.0)
    assert (one.round_ends_seconds, one.latency_provenance, one.dropout, one.reason, one.done) == (
        14.0,
        "measured",
        None,
        None,
        1.0,
    )


def test_one_client_by_itself_costs_what_charge_says(bill, plain_board):
    (one,) = bill(part())
    assert one.cost == charge(
        work(),
        profile=plain_board(),
        link=constant(1000.0),
        shape=plain_board.shape,
        bytes_down=3000,
        bytes_up=1000,
        partition_id=0,
        server_round=1,
    )


def test_who_is_done_waits_for_the_slowest_at_the_boards_idle_power(bill):
    short, long = bill(part(0, 5), part(1, 8))
    assert (short.cost.idle_seconds, short.cost.idle_joules) == (6.0, 6.0)
    assert (long.cost.idle_seconds, long.cost.idle_joules) == (0.0, 0.0)
    assert short.cost.joules == 100 + 16 + 6


def test_groups_do_not_wait_for_each_other(bill):
    short, long = bill(part(0, 5, group="shallow"), part(1, 8, group="deep"))
    assert short.cost.idle_seconds == 0.0
    assert (short.round_ends_seconds, long.round_ends_seconds) == (14.0, 20.0)


def test_a_round_begins_where_its_group_stands(bill):
    early, late = bill(part(0, group="shallow", start=100.0), part(1, group="deep", start=200.0))
    assert (early.round_ends_seconds, late.round_ends_seconds) == (114.0, 214.0)


def test_the_link_is_asked_for_each_transfer_at_the_second_it_starts(bill):
    asked = []

    class Noting:
        def transfer_seconds(self, num_bytes, *, direction, partition_id, server_round, start_seconds):
            asked.append((num_bytes, direction, partition_id, server_round, start_seconds))
            return 3.0

    bill(part(2, start=50.0), link=Noting())
    assert asked == [(3000, "down", 2, 1, 50.0), (1000, "up", 2, 1, 63.0)]


def test_the_server_shares_its_line_down_and_up(bill):
    both = bill(part(0), part(1), server={"server_down_bytes_per_second": 1000.0, "server_up_bytes_per_second": 500.0})
    assert [stages(each) for each in both] == [(6.0, 10.0, 4.0)] * 2


def test_uploads_that_do_not_meet_have_the_line_to_themselves(bill):
    first, second = bill(part(0, 5), part(1, 8), server={"server_up_bytes_per_second": 1000.0})
    assert (stages(first), stages(second)) == ((3.0, 10.0, 1.0), (3.0, 16.0, 1.0))


def test_a_client_whose_work_cannot_be_of_the_model_is_refused_and_pays_for_its_messages(bill):
    beyond = forward_passes(batches=3, batch_size=4, input_shape=(64,), model_blocks=5)
    refused, other = bill(part(0, workload=Workload(passes=beyond, num_examples=12)), part(1))
    assert (refused.dropout, refused.done, refused.latency_provenance) == ("refused", 0.0, "")
    assert refused.reason == "workload: blocks is 0 to 4, expected some of 0 to 3: the model's"
    assert stages(refused) == (3.0, 0.0, 1.0)
    assert (refused.cost.joules, other.dropout) == (16.0 + refused.cost.idle_seconds, None)


def test_a_client_that_did_nothing_computes_for_nothing(bill):
    (idle,) = bill(part(workload=Workload(passes=(), num_examples=1)))
    assert (stages(idle), idle.dropout) == ((3.0, 0.0, 1.0), None)
    assert (idle.cost.compute_joules, idle.cost.peak_memory_bytes, idle.latency_provenance) == (0.0, 0, "")


def test_each_processor_is_paid_for_at_its_power_until_the_work_is_cut_off(bill, plain_board):
    board = plain_board()
    gpu = replace(board.processor(), name="gpu", computing_watts=100.0)
    board = replace(board, processors={"default": board.processor(), "gpu": gpu})
    batch = {"batch_size": 4, "input_shape": (64,), "model_blocks": 4}
    passes = (*forward_passes(batches=2, **batch), *forward_passes(batches=3, processor="gpu", **batch))
    both = part(workload=Workload(passes=passes, num_examples=12))
    (whole,) = bill(both, boards=[board])
    (cut,) = bill(both, boards=[board], deadline_seconds=3.0 + 4.0 + 1.5)  # the GPU has come so far
    assert whole.cost.compute_joules == 10 * 4.0 + 100 * 6.0
    assert cut.cost.compute_joules == 10 * 4.0 + 100 * 1.5
    assert (whole.energy_provenance, cut.done) == ("assumed", 0.55)


def test_work_that_does_not_fit_costs_its_download_and_nobody_waits_for_more(bill, plain_board):
    boards = [plain_board("small", memory_bytes=25_000), plain_board()]
    small, other = bill(part(0, 5), part(1, 1), boards=boards)
    assert stages(small) == (3.0, 0.0, 0.0)
    assert (small.dropout, small.done, small.latency_provenance) == ("memory", 0.0, "")
    assert small.reason == "out of memory: depth 2 needs 30.0 kB, small has 25.0 kB"
    assert (small.cost.bytes_down, small.cost.bytes_up, small.cost.peak_memory_bytes) == (3000, 0, 0)
    assert (small.cost.joules, small.cost.idle_seconds) == (12.0, 0.0)
    assert other.round_ends_seconds == 6.0


def on_a_phone(passes, *, memory_limit=True):
    """Return the bill of a batch of RoBERTa-large, 8 texts of 256 tokens, on a phone of 8 GB."""
    table = FleetTable(devices={"pixel-7-pro": 1.0}, memory_limit=memory_limit)
    shape = ModelShape(family="roberta", blocks=24, hidden=1024, intermediate=4096)
    physics = SimulatedPhysics(fleet=build_fleet(table, 1, 0, Path()), link=constant("10Mbit/s"), shape=shape)
    made = passes(batches=1, batch_size=8, input_shape=(256,), model_blocks=24)
    one = part(workload=Workload(passes=made, num_examples=8))
    return physics.bill([one], {"": RoundTerms()})[0]


def test_full_fine_tuning_of_roberta_large_drops_out_on_a_phone_of_8_gb_and_forward_passes_do_not():
    full = partial(training_passes, depth=24, trained=WHOLE)
    perturbation = [
        on_a_phone(partial(forward_passes, processor=processor, format=each, held_values=355_000_000))
        for processor, each in (("default", "fp32"), ("gpu", "fp32"), ("npu", "fp16"), ("npu", "int8"))
    ]
    dropped = on_a_phone(full)
    assert dropped.dropout == "memory"
    assert "out of memory: " in dropped.reason
    assert "pixel-7-pro has 8.00 GB" in dropped.reason
    assert {one.dropout for one in perturbation} == {None}
    assert max(one.cost.peak_memory_bytes for one in perturbation) < 4e9  # inference, and 1.4 GB of trained values
    assert on_a_phone(full, memory_limit=False).dropout is None


def test_an_npu_refuses_a_format_that_it_lacks_and_a_backward_pass():
    with pytest.raises(UserError, match="no tables or rates for fp32 on the processor 'npu', accepted: fp16, int8"):
        on_a_phone(partial(forward_passes, processor="npu"))
    trains = partial(training_passes, depth=2, trained=bottleneck(8), processor="npu", format="fp16")
    with pytest.raises(UserError, match="runs forward passes alone"):
        on_a_phone(trains)


def test_a_round_lasts_until_the_last_has_said_that_it_has_no_room(bill, plain_board):
    (one,) = bill(part(0), boards=[plain_board(memory_bytes=1)])
    assert one.round_ends_seconds == 3.0


@pytest.mark.parametrize(
    ("leaves", "expected", "moved", "done"),
    [
        (1.0, (1.0, 0.0, 0.0), (1000, 0), 0.0),
        (7.0, (3.0, 4.0, 0.0), (3000, 0), 0.4),
        (13.5, (3.0, 10.0, 0.5), (3000, 500), 1.0),
    ],
)
def test_one_that_goes_away_costs_what_it_did_until_then(bill, leaves, expected, moved, done):
    (one,) = bill(part(leaves=leaves))
    assert stages(one) == expected
    assert (one.cost.bytes_down, one.cost.bytes_up) == moved
    assert one.cost.joules == 10 * expected[1] + 4 * (expected[0] + expected[2])
    assert (one.dropout, one.done, one.round_ends_seconds) == ("gone", done, leaves)
    assert one.reason == f"went away after {leaves:.{1 if leaves > 10 else 2}f} s"


def test_one_that_leaves_when_it_is_done_is_done(bill):
    (one,) = bill(part(leaves=14.0))
    assert one.dropout is None


def test_one_that_was_gone_at_the_start_costs_nothing(bill):
    (one,) = bill(part(start=5.0, leaves=5.0))
    assert (one.cost.seconds, one.cost.joules, one.cost.bytes_down, one.cost.bytes_up) == (0.0, 0.0, 0, 0)
    assert (one.dropout, one.reason, one.round_ends_seconds) == ("gone", "was gone at the start", 5.0)


def test_one_that_is_gone_takes_no_share_of_the_servers_line(bill):
    gone, there = bill(part(0, leaves=0.0), part(1), server={"server_down_bytes_per_second": 1000.0})
    assert (gone.dropout, stages(there)) == ("gone", (3.0, 10.0, 1.0))


def test_late_work_is_lost_and_costs_what_was_done_at_the_deadline(bill):
    fast, slow = bill(part(0, 1), part(1, 8), deadline_seconds=11.0)
    assert (fast.dropout, fast.cost.idle_seconds) == (None, 5.0)
    assert (slow.dropout, stages(slow)) == ("late", (3.0, 8.0, 0.0))
    assert slow.reason == "late: not done when the round was over, after 11.0 s"
    assert (slow.cost.bytes_up, slow.done, slow.cost.late_seconds) == (0, 0.5, 0.0)
    assert fast.round_ends_seconds == slow.round_ends_seconds == 11.0


def test_late_work_that_is_carried_is_done_and_charged_whole(bill):
    _, slow = bill(part(0, 1), part(1, 8), deadline_seconds=11.0, late="carry")
    assert (slow.dropout, stages(slow), slow.cost.late_seconds) == (None, (3.0, 16.0, 1.0), 9.0)
    assert (slow.cost.idle_seconds, slow.cost.bytes_up, slow.round_ends_seconds) == (0.0, 1000, 11.0)


def test_the_first_so_many_count_and_the_rest_is_late(bill):
    bills = bill(part(0, 8), part(1, 1), part(2, 5), wait_for=2)
    assert [each.dropout for each in bills] == ["late", None, None]
    assert {each.round_ends_seconds for each in bills} == {14.0}


def test_those_that_finish_with_the_last_that_counts_count_too(bill):
    assert [each.dropout for each in bill(part(0, 5), part(1, 5), part(2, 6), wait_for=1)] == [None, None, "late"]


def test_one_that_goes_away_after_the_deadline_was_late_before(bill):
    dropped, _ = bill(part(0, 8, leaves=15.0), part(1, 1), deadline_seconds=11.0)
    carried, _ = bill(part(0, 8, leaves=15.0), part(1, 1), deadline_seconds=11.0, late="carry")
    assert (dropped.dropout, stages(dropped)) == ("late", (3.0, 8.0, 0.0))
    assert (carried.dropout, stages(carried), carried.cost.late_seconds) == ("gone", (3.0, 12.0, 0.0), 4.0)


def test_clients_of_one_board_and_work_are_not_mixed_up_with_others(bill, plain_board):
    boards = [plain_board(), plain_board(seconds_a_batch=1.0), plain_board()]
    bills = bill(part(0, 5), part(1, 5), part(2, 7), boards=boards)
    assert [each.cost.compute_seconds for each in bills] == [10.0, 5.0, 14.0]


PARTS = st.lists(
    st.builds(
        lambda batches, depth, down, up, leaves: (batches, depth, down, up, leaves),
        st.integers(0, 40),
        st.integers(0, 4),
        st.integers(0, 10**6),
        st.integers(0, 10**6),
        st.just(inf) | st.floats(0, 1e4),
    ),
    min_size=1,
    max_size=6,
)
TERMS = st.fixed_dictionaries(
    {},
    optional={
        "deadline_seconds": st.floats(0.1, 1e4),
        "wait_for": st.integers(1, 6),
        "late": st.sampled_from(["drop", "carry"]),
    },
)
BANDWIDTHS = st.lists(st.floats(100, 1e6), min_size=1, max_size=6)


def parts_of(drawn):
    return [
        part(at, batches, depth=depth, down=down, up=up, leaves=leaves)
        for at, (batches, depth, down, up, leaves) in enumerate(drawn)
    ]


@given(drawn=PARTS, terms=TERMS, bandwidths=BANDWIDTHS, capacity=st.none() | st.floats(100, 1e7))
def test_nobody_that_counts_works_longer_than_the_round_lasts(plain_physics, drawn, terms, bandwidths, capacity):
    physics = plain_physics(clients=6, link=per_client(bandwidths), server_down_bytes_per_second=capacity)
    for each in physics.bill(parts_of(drawn), {"": RoundTerms(**terms)}):
        cost = each.cost
        if each.dropout is None and not cost.late_seconds:
            assert cost.seconds <= each.round_ends_seconds
        lasted = cost.seconds + cost.idle_seconds - cost.late_seconds
        assert lasted <= each.round_ends_seconds * (1 + 1e-9)
        assert min(vars(cost).values()) >= 0
        assert cost.idle_seconds == 0 or cost.late_seconds == 0


@given(drawn=PARTS, more=st.integers(1, 20), at=st.integers(0, 5))
def test_more_work_never_costs_less(plain_physics, drawn, more, at):
    parts = parts_of([(*each[:4], inf) for each in drawn])
    at %= len(parts)
    longer = parts_of([(*each[:4], inf) for each in drawn])
    longer[at] = part(at, drawn[at][0] + more, depth=drawn[at][1], down=drawn[at][2], up=drawn[at][3])
    before, after = (plain_physics(clients=6).bill(each, {}) for each in (parts, longer))
    assert after[at].cost.seconds > before[at].cost.seconds
    assert after[at].round_ends_seconds >= before[at].round_ends_seconds
    assert sum(each.cost.joules for each in after) > sum(each.cost.joules for each in before)


@given(drawn=PARTS, slow=st.floats(100, 1e5), factor=st.floats(1, 100))
def test_a_faster_link_never_costs_more(plain_physics, drawn, slow, factor):
    parts = parts_of([(*each[:4], inf) for each in drawn])
    before, after = (
        plain_physics(clients=6, link=constant(bandwidth)).bill(parts, {}) for bandwidth in (slow, slow * factor)
    )
    for old, new in zip(before, after, strict=True):
        assert new.cost.seconds <= old.cost.seconds
        assert new.round_ends_seconds <= old.round_ends_seconds
    assert sum(each.cost.joules for each in after) <= sum(each.cost.joules for each in before) * (1 + 1e-12)


@given(drawn=PARTS, capacity=st.floats(100, 1e6), factor=st.floats(1, 100))
def test_a_server_with_more_bandwidth_sends_to_nobody_more_slowly(plain_physics, drawn, capacity, factor):
    parts = parts_of(drawn)
    before, after = (
        plain_physics(clients=6, server_down_bytes_per_second=line).bill(parts, {})
        for line in (capacity, capacity * factor)
    )
    for old, new in zip(before, after, strict=True):
        assert new.cost.download_seconds <= old.cost.download_seconds * (1 + 1e-9)
