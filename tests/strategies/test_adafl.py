"""AdaFL runs trials of three groups side by side for equal simulated time and goes on from the most accurate."""

import functools
import operator
from collections import Counter
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from fedlab.billing.availability_wait import AvailabilityWait
from fedlab.billing.ledger import Ledger
from fedlab.billing.simulated import Bill
from fedlab.billing.timed_grid import TimedGrid
from fedlab.common.clock import VirtualClock
from fedlab.messages.flower_private import CLIENT_RAISED, error_reply
from fedlab.messages.orders import group_of, read_order, read_terms
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.replies import workload_record
from fedlab.models.families import EncoderSizes
from fedlab.models.peft.base import ModelSizes
from fedlab.models.peft.bottleneck import Bottleneck, initial_arrays
from fedlab.models.peft.lora import Lora
from fedlab.network.availability import always, schedule_of_times, scheduled
from fedlab.network.links import constant
from fedlab.server.checkpoint import load_tree, save_tree
from fedlab.server.context import Attached, Resumable, Searching, Server
from fedlab.server.example_limits import PartitionSizes
from fedlab.server.vetting_grid import VettingGrid, terms_of
from fedlab.workload.passes import bottleneck
from fedlab.workload.shape import ModelShape
from fedlab.workload.workload import Cost, Workload, training_passes
from strategies.adafl import AdaFL, clients_in_group

if TYPE_CHECKING:
    from fedlab.common.arrays import Arrays

BLOCKS = 4
SIZES = ModelSizes(
    encoder=EncoderSizes(
        shape=ModelShape(family="bert", blocks=BLOCKS, hidden=6, intermediate=1),
        vocabulary=1,
        positions=1,
        embedding={},
        projections={"q": (6, 6), "v": (6, 6)},
    ),
    labels=2,
)

PARTITIONS = {100 + partition: partition for partition in range(30)}


def workload_of(depth, width):
    return Workload(
        passes=training_passes(
            batches=1,
            batch_size=4,
            input_shape=(64,),
            model_blocks=BLOCKS,
            depth=depth,
            trained=bottleneck(width),
        ),
        num_examples=4,
    )


class Paced:
    """Bills every part of a model with `seconds(depth, width)` of work, 2 J, 100 bytes down and 10 up."""

    def __init__(self, seconds):
        self._seconds = seconds

    def device(self, partition_id):
        return "board"

    def bill(self, parts, terms):
        costs = [self._cost(part.workload) for part in parts]
        ends = {}
        for part, cost in zip(parts, costs, strict=True):
            ends[part.group] = max(ends.get(part.group, 0.0), part.start_seconds + cost.seconds)
        return [
            Bill(cost=cost, round_ends_seconds=ends[part.group], latency_provenance="measured")
            for part, cost in zip(parts, costs, strict=True)
        ]

    def _cost(self, work):
        return Cost(
            compute_seconds=self._seconds(work.trained_blocks, work.passes[-1].trained.width),
            download_seconds=0.0,
            upload_seconds=0.0,
            compute_joules=2.0,
            transfer_joules=0.0,
            bytes_down=100,
            bytes_up=10,
            peak_memory_bytes=0,
        )


class Rehearsal:
    """A run of AdaFL whose clients add 1 to every array, whose rounds last `seconds(depth, width)`, and whose models
    are as good as `accuracy(depth, width)` says."""

    def __init__(
        self, memory_grid, *, start=(0, 8), seconds=None, accuracy=lambda depth, width: 0.0, fails=(), physics=None,
        availability=None, trains=None, **options,
    ):  # fmt: skip
        self.clock, self.trials, self.measured, self.asked = VirtualClock(), [], [], []
        self.server_round, self.ledger = 0, Ledger()
        self._accuracy, self._fails, self._trains = accuracy, fails, trains or (lambda order, partition: 1)
        initial = Bottleneck(depth=start[0], width=start[1])
        self.arrays: Arrays = initial_arrays(
            initial, blocks=BLOCKS, hidden=6, labels=2, generator=np.random.default_rng(1)
        )
        timed = TimedGrid(
            memory_grid(self._answer, PARTITIONS),
            clock=self.clock,
            physics=physics or Paced(seconds),
            availability_wait=AvailabilityWait(availability or always(), clock=self.clock, partitions=PARTITIONS),
            partitions=PARTITIONS,
            on_clients=self.ledger.bill,
        )
        self.strategy = AdaFL(**{"clients_per_round": 3} | options)
        self.grid = VettingGrid(
            timed,
            terms=terms_of(self.strategy),
            limits=PartitionSizes(lambda partition: 4, PARTITIONS),
            refuse=lambda node, reason: self.ledger.refuse(PARTITIONS[node], reason),
        )
        self.strategy.attach(
            Server(
                seed=11,
                clock=self.clock,
                sizes=SIZES,
                initial=initial,
                partitions=PARTITIONS,
                measure=self._measure,
                on_trial=self.trials.append,
                ledger=self.ledger,
            )
        )

    def round(self):
        """Run one round and return how many clients each group asked."""
        self.server_round += 1
        self.ledger.open()
        config = ConfigRecord({"server-round": self.server_round})
        orders = list(self.strategy.configure_train(self.server_round, to_record(self.arrays), config, self.grid))
        self.asked.append({group_of(order): [] for order in orders})
        for order in orders:
            self.asked[-1][group_of(order)].append(order)
        arrays, _ = self.strategy.aggregate_train(self.server_round, self.grid.send_and_receive(orders))
        self.arrays = self.arrays if arrays is None else from_record(arrays)
        return {group: len(members) for group, members in self.asked[-1].items()}

    def trial(self):
        """Run to the end of a trial and return its record."""
        before = len(self.trials)
        while len(self.trials) == before:
            self.round()
        return self.trials[-1]

    def _answer(self, message):
        order = read_order(message)
        if (order.group, order.server_round) in self._fails:
            return error_reply(message, CLIENT_RAISED, "ValueError: no")
        step = np.float32(self._trains(order, PARTITIONS[message.metadata.dst_node_id]))
        content = RecordDict(
            {
                "arrays": to_record({name: array + step for name, array in order.arrays.items()}),
                "metrics": MetricRecord({"num-examples": 4, "train-loss": 1.0}),
                "workload": workload_record(self._workload(order.configuration)),
            }
        )
        return Message(content, reply_to=message)

    def _workload(self, configuration):
        """Return the work of a client; at depth 0 width costs nothing, and all groups are of the same width."""
        depth = configuration["depth"]
        return workload_of(depth, configuration["width"] if depth else self.strategy.configuration["width"])

    def _measure(self, arrays, split, configuration):
        depth, width = configuration["depth"], configuration["width"]
        self.measured.append((split, depth, width))
        return self._accuracy(depth, width)


@pytest.fixture
def rehearse(memory_grid):
    return lambda **options: Rehearsal(memory_grid, **options)


def by_depth(depth, width):
    """Rounds of 6, 25, 61 ... seconds; a wider model takes a second more for each 8 units."""
    return {0: 6.0, 1: 7.0, 2: 25.0, 3: 61.0, 4: 100.0}[depth] + (width / 8 - 1)


def pair(configuration):
    """Return depth and width of adapters."""
    assert configuration["set"] == "bottleneck"
    return configuration["depth"], configuration["width"]


def configurations(trial):
    return {each.group: pair(each.configuration) for each in trial.candidates}


def rounds(trial):
    return {each.group: each.rounds for each in trial.candidates}


def test_it_takes_the_servers_side_searches_and_can_be_resumed(rehearse):
    strategy = rehearse(seconds=by_depth).strategy
    assert all(isinstance(strategy, protocol) for protocol in (Attached, Searching, Resumable))


def test_fifteen_clients_are_three_groups_of_five_different_ones(rehearse):
    assert AdaFL().clients_per_round == 15
    run = rehearse(seconds=by_depth, clients_per_round=15)
    assert run.round() == {"shallow": 5, "deep": 5, "wide": 5}
    nodes = [order.metadata.dst_node_id for orders in run.asked[0].values() for order in orders]
    assert len(set(nodes)) == 15


def test_groups_have_clients_of_their_own_in_every_round(rehearse):
    run = rehearse(seconds=by_depth, start=(1, 8), clients_per_round=15)
    for _ in range(4):
        run.round()
    shallow = [frozenset(order.metadata.dst_node_id for order in asked["shallow"]) for asked in run.asked]
    assert len(set(shallow)) == 4


def test_a_trial_compares_the_current_configuration_with_a_deeper_and_a_wider_one(rehearse):
    assert configurations(rehearse(seconds=by_depth, start=(1, 8)).trial()) == {
        "shallow": (1, 8),
        "deep": (2, 8),
        "wide": (1, 16),
    }


def test_from_depth_0_the_next_depth_is_2(rehearse):
    assert configurations(rehearse(seconds=by_depth).trial())["deep"] == (2, 8)


def test_a_depth_step_of_3_is_taken_as_it_is(rehearse):
    assert configurations(rehearse(seconds=by_depth, depth_step=3).trial())["deep"] == (3, 8)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ((BLOCKS, 8), {"shallow": (4, 8), "wide": (4, 16)}),
        ((1, 64), {"shallow": (1, 64), "deep": (2, 64)}),
        ((BLOCKS, 64), {"shallow": (4, 64)}),
        ((3, 60), {"shallow": (3, 60), "deep": (4, 60), "wide": (3, 64)}),
    ],
)
def test_depth_is_capped_at_the_blocks_and_width_at_64(rehearse, start, expected):
    run = rehearse(seconds=by_depth, start=start, clients_per_round=6)
    asked = run.round()
    assert configurations(run.trial()) == expected
    assert sum(asked.values()) == 6  # the clients of a group that is not there go to the others


def test_a_group_runs_the_whole_rounds_that_fit_into_the_interval(rehearse):
    trial = rehearse(seconds=by_depth, start=(1, 8), base_seconds=60.0, expand=4.0).trial()
    # 60 x (4 x 1 + 1) = 300 s: 300 / 7 = 42.9 rounds, 300 / 25 = 12, 300 / 8 = 37.5.
    assert trial.budget_seconds == 300.0
    assert rounds(trial) == {"shallow": 42, "deep": 12, "wide": 37}


def test_rounds_that_fill_the_interval_exactly_all_fit_whatever_floats_make_of_their_sum(rehearse):
    trial = rehearse(seconds=lambda depth, width: 0.1, base_seconds=1.0).trial()
    assert functools.reduce(operator.add, [0.1] * 10) != 1.0  # sum() of Python 3.12 and later rounds once, at the end
    assert rounds(trial) == {"shallow": 10, "deep": 10, "wide": 10}


def test_a_group_whose_round_outlasts_the_interval_still_runs_one(rehearse):
    run = rehearse(seconds=lambda depth, width: 70.0 if depth else 6.0, base_seconds=60.0)
    trial = run.trial()
    assert rounds(trial) == {"shallow": 10, "deep": 1, "wide": 10}
    assert (trial.ended_seconds, run.clock.now()) == (70.0, 70.0)


def test_a_trial_lasts_its_interval_though_no_group_fills_it(rehearse):
    run = rehearse(seconds=lambda depth, width: 25.0, base_seconds=60.0)
    trial = run.trial()
    assert rounds(trial) == {"shallow": 2, "deep": 2, "wide": 2}
    assert (trial.started_seconds, trial.ended_seconds, run.clock.now()) == (0.0, 60.0, 60.0)
    assert run.trial().started_seconds == 60.0


def test_a_trial_lasts_until_the_group_that_stays_has_had_its_least_rounds(rehearse):
    # The others have as long: 6 x 7 s for rounds of 25 s and of 8 s.
    trial = rehearse(seconds=by_depth, start=(1, 8), base_seconds=0.1, min_rounds=6).trial()
    assert trial.budget_seconds == pytest.approx(0.5)
    assert rounds(trial) == {"shallow": 6, "deep": 1, "wide": 5}
    assert trial.ended_seconds == 42.0


def test_the_least_rounds_leave_a_longer_interval_as_it_is(rehearse):
    alike = {"seconds": by_depth, "start": (1, 8), "base_seconds": 60.0}
    assert rehearse(**alike, min_rounds=6).trial() == rehearse(**alike).trial()


def test_a_group_that_is_ahead_waits_for_the_one_that_stays(rehearse):
    run = rehearse(
        seconds=lambda depth, width: 20.0 if depth > 1 else 10.0, start=(1, 8), base_seconds=0.1, min_rounds=4
    )
    asked = [run.round() for _ in range(5)]
    assert [sorted(each) for each in asked] == [
        ["deep", "shallow", "wide"],
        ["shallow"],
        ["shallow", "wide"],
        ["shallow", "wide"],
        ["deep", "wide"],
    ]
    assert (len(run.trials), run.clock.now()) == (1, 40.0)


def test_a_group_that_has_no_time_left_is_not_asked_again(rehearse):
    run = rehearse(
        seconds=by_depth, base_seconds=60.0, clients_per_round=15
    )  # deep: 60 / 25 = 2 rounds, the others: 10
    asked = [run.round() for _ in range(10)]
    assert asked[:2] == [{"shallow": 5, "deep": 5, "wide": 5}] * 2
    assert asked[2:] == [{"shallow": 5, "wide": 5}] * 8
    assert len(run.trials) == 1


def test_a_candidate_tells_what_it_spent(rehearse):
    trial = rehearse(seconds=by_depth, base_seconds=60.0, clients_per_round=15).trial()
    deep = next(each for each in trial.candidates if each.group == "deep")
    assert (deep.rounds, deep.seconds) == (2, 50.0)
    assert (deep.joules, deep.bytes_down, deep.bytes_up) == (20.0, 1000, 100)  # 2 rounds of 5 clients


def test_the_most_accurate_group_wins_and_all_go_on_from_its_configuration_and_weights(rehearse):
    run = rehearse(seconds=by_depth, accuracy=lambda depth, width: depth / 10)
    before = run.arrays
    trial = run.trial()
    assert (trial.winner, *pair(trial.configuration)) == ("deep", 2, 8)
    assert pair(run.strategy.configuration) == (2, 8)
    # The deep group ran two rounds, in each of which every client added 1.
    np.testing.assert_allclose(run.arrays["head.weight"], before["head.weight"] + 2, rtol=1e-6)
    np.testing.assert_array_equal(run.arrays["block.3.up.weight"], np.full((6, 8), 2.0))

    run.round()
    asked = {group: read_order(members[0]) for group, members in run.asked[-1].items()}
    assert {group: order.configuration for group, order in asked.items()} == {
        "shallow": {"set": "bottleneck", "depth": 2, "width": 8},
        "deep": {"set": "bottleneck", "depth": 3, "width": 8},
        "wide": {"set": "bottleneck", "depth": 2, "width": 16},
    }
    orders = {group: order.arrays for group, order in asked.items()}
    for arrays in orders.values():
        np.testing.assert_array_equal(arrays["head.weight"], run.arrays["head.weight"])
        np.testing.assert_array_equal(arrays["block.3.down.weight"][:8], run.arrays["block.3.down.weight"])
        np.testing.assert_array_equal(arrays["block.3.up.weight"][:, :8], run.arrays["block.3.up.weight"])
    np.testing.assert_array_equal(orders["wide"]["block.3.up.weight"][:, 8:], 0.0)
    np.testing.assert_array_equal(orders["deep"]["block.1.up.weight"], 0.0)


def merging(rehearse, merged, won):
    """Return a run's arrays before and after a trial that deep wins, and its record; 3 measures, then the merged."""
    scores = iter([0.1, won, 0.1, merged])
    run = rehearse(seconds=by_depth, accuracy=lambda depth, width: next(scores), base_seconds=60.0, merge_groups=True)
    before = run.arrays
    return before, run.trial(), run.arrays


def test_the_groups_models_are_merged_into_the_winners_configuration_if_that_is_more_accurate(rehearse):
    before, trial, after = merging(rehearse, merged=0.6, won=0.5)
    assert (trial.winner, *pair(trial.configuration), trial.merged_accuracy) == ("deep", 2, 8, 0.6)
    assert rounds(trial) == {"shallow": 10, "deep": 2, "wide": 10}  # at depth 0 width costs nothing
    # Every round adds 1, and models weigh as many rounds as they have: (10 x 10 + 2 x 2 + 10 x 10) / 22.
    np.testing.assert_allclose(after["head.weight"], before["head.weight"] + 204 / 22, rtol=1e-5)
    np.testing.assert_array_equal(after["block.3.up.weight"], np.full((6, 8), 2.0))  # deep's alone


def test_a_merged_model_that_is_no_better_than_the_winner_is_left(rehearse):
    before, trial, after = merging(rehearse, merged=0.5, won=0.5)
    assert trial.merged_accuracy == 0.5
    np.testing.assert_allclose(after["head.weight"], before["head.weight"] + 2, rtol=1e-5)


def test_groups_are_merged_only_if_asked_for(rehearse):
    assert rehearse(seconds=by_depth).trial().merged_accuracy is None


def test_all_clients_of_a_group_start_a_round_from_its_average(rehearse):
    run = rehearse(seconds=by_depth, clients_per_round=6)
    head = run.arrays["head.weight"]
    run.round()
    run.round()
    for members in run.asked[1].values():
        for order in members:
            np.testing.assert_allclose(read_order(order).arrays["head.weight"], head + 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("accuracies", "winner"),
    [
        ({"shallow": 0.5, "deep": 0.5, "wide": 0.5}, "shallow"),
        ({"shallow": 0.4, "deep": 0.5, "wide": 0.5}, "wide"),
        ({"shallow": 0.5, "deep": 0.5, "wide": 0.4}, "shallow"),
        ({"shallow": 0.9, "deep": 0.95, "wide": 0.1}, "deep"),
        ({"shallow": 0.1, "deep": 0.09, "wide": 0.099}, "shallow"),
    ],
)
def test_the_most_accurate_wins_and_a_tie_goes_to_the_cheaper(rehearse, accuracies, winner):
    groups = {(1, 8): "shallow", (2, 8): "deep", (1, 16): "wide"}
    run = rehearse(seconds=by_depth, start=(1, 8), accuracy=lambda *config: accuracies[groups[config]])
    trial = run.trial()
    assert trial.winner == winner
    assert {each.group: each.validation_accuracy for each in trial.candidates} == accuracies


def test_trials_are_judged_on_the_validation_split_alone(rehearse):
    run = rehearse(seconds=by_depth, start=(1, 8))
    run.trial()
    run.trial()
    assert Counter(run.measured) == {("validation", 1, 8): 2, ("validation", 2, 8): 2, ("validation", 1, 16): 2}


def test_the_search_climbs_as_long_as_climbing_pays(rehearse):
    run = rehearse(
        seconds=lambda depth, width: 30.0, accuracy=lambda depth, width: depth + width / 1000, base_seconds=60.0
    )
    path = [(trial.winner, *pair(trial.configuration)) for trial in (run.trial() for _ in range(4))]
    assert path == [("deep", 2, 8), ("deep", 3, 8), ("deep", 4, 8), ("wide", 4, 16)]
    budgets = [trial.budget_seconds for trial in run.trials]
    assert budgets == [60.0, 540.0, 780.0, 1020.0]  # 60 x (4 d + 1) at depths 0, 2, 3, 4
    assert [trial.trial for trial in run.trials] == [1, 2, 3, 4]
    assert run.clock.now() == 2400.0


def test_a_group_that_gets_no_reply_ends_its_trial_there_and_the_others_go_on(rehearse):
    run = rehearse(seconds=by_depth, fails={("deep", 2)}, accuracy=lambda depth, width: depth / 10)
    trial = run.trial()
    assert rounds(trial) == {"shallow": 10, "deep": 1, "wide": 10}
    np.testing.assert_array_equal(run.arrays["block.3.up.weight"], np.full((6, 8), 1.0))  # as after its one round


def test_a_group_that_never_gets_a_reply_is_judged_as_it_started(rehearse):
    run = rehearse(seconds=by_depth, start=(1, 8), fails={("wide", 1)})
    wide = next(each for each in run.trial().candidates if each.group == "wide")
    assert (wide.rounds, wide.seconds, wide.joules, wide.bytes_up) == (0, 0.0, 0.0, 0)


def test_a_trial_cut_off_by_the_end_of_the_run_is_judged_where_it_stands(rehearse):
    run = rehearse(seconds=by_depth, accuracy=lambda depth, width: depth / 10, base_seconds=60.0)
    run.round()
    run.round()
    run.round()
    arrays = from_record(run.strategy.conclude(3))
    (trial,) = run.trials
    assert (trial.server_round, trial.winner, *pair(trial.configuration)) == (3, "deep", 2, 8)
    assert rounds(trial) == {"shallow": 3, "deep": 2, "wide": 3}
    assert (trial.ended_seconds, run.clock.now()) == (50.0, 50.0)  # deep was furthest; nobody waits for the 60 s
    np.testing.assert_array_equal(arrays["block.3.up.weight"], np.full((6, 8), 2.0))


def test_between_trials_there_is_nothing_to_conclude(rehearse):
    run = rehearse(seconds=by_depth)
    run.trial()
    assert run.strategy.conclude(run.server_round) is None
    assert len(run.trials) == 1


def test_configuration_trial_and_budget_are_those_of_the_last_round(rehearse):
    run = rehearse(seconds=by_depth, accuracy=lambda depth, width: depth / 10)
    assert (run.strategy.trial, run.strategy.budget_seconds) == (None, None)
    run.trial()
    assert (run.strategy.trial, run.strategy.budget_seconds) == (1, 60.0)
    run.round()
    assert (run.strategy.trial, run.strategy.budget_seconds) == (2, 540.0)
    assert pair(run.strategy.configuration) == (2, 8)


@pytest.mark.parametrize("interrupted_after", [3, 10, 11, 25])
def test_a_run_restored_from_a_checkpoint_goes_on_identically(rehearse, tmp_path, interrupted_after):
    options = {"seconds": by_depth, "accuracy": lambda depth, width: depth / 10 + width / 1000}
    whole, first, rest = (rehearse(**options) for _ in range(3))
    for _ in range(40):
        whole.round()
    for _ in range(interrupted_after):
        first.round()
    save_tree(tmp_path / "checkpoint", {"strategy": first.strategy.state(), "clock": first.clock.state()})

    tree = load_tree(tmp_path / "checkpoint")
    rest.strategy.restore(tree["strategy"])
    rest.clock.restore(tree["clock"])
    rest.arrays, rest.server_round = first.arrays, interrupted_after
    for _ in range(40 - interrupted_after):
        rest.round()

    assert [asdict(trial) for trial in first.trials + rest.trials] == [asdict(trial) for trial in whole.trials]
    assert len(whole.trials) >= 2
    assert rest.clock.state() == whole.clock.state()
    assert rest.strategy.configuration == whole.strategy.configuration
    assert list(rest.arrays) == list(whole.arrays)
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(rest.arrays[name], array)


def test_of_lora_the_groups_are_deeper_and_of_a_higher_rank_and_it_goes_on_after_a_checkpoint(memory_grid):
    start = Lora(depth=1, rank=2, alpha=4, targets="q,v")
    options = {"clients_per_round": 3, "width_step": 3, "max_width": 64, "base_seconds": 1.0, "merge_groups": True}
    run, again = (
        LoraRehearsal(memory_grid, start=start, accuracy=lambda depth, rank: rank / 100, **options) for _ in range(2)
    )

    trial = run.trial()
    again.round()
    tree = again.strategy.state()
    again.strategy.restore(tree)

    named = {each.group: (each.configuration["depth"], each.configuration["rank"]) for each in trial.candidates}
    assert named == {"shallow": (1, 2), "deep": (2, 2), "wide": (1, 5)}
    assert trial.configuration == {"set": "lora", "depth": 1, "rank": 5, "alpha": 4, "targets": "q,v"}
    grown = Lora(depth=1, rank=5, alpha=4, targets="q,v").shapes(SIZES)
    assert {name: array.shape for name, array in run.arrays.items()} == grown
    run.trial()
    ranks = [each.configuration["rank"] for each in run.trials[-1].candidates if each.group == "wide"]
    assert ranks == [6]  # the matrices of this model have no higher rank
    assert again.strategy.state() == tree


class LoraRehearsal(Rehearsal):
    """A rehearsal whose clients train LoRA."""

    def __init__(self, memory_grid, *, start, accuracy, **options):
        super().__init__(memory_grid, seconds=lambda depth, size: 1.0, accuracy=accuracy, **options)
        self.arrays = start.initial(SIZES, np.random.default_rng(1), lambda names: {})
        server = replace(self.strategy.server, initial=start)
        self.strategy.attach(server)

    def _workload(self, configuration):
        return workload_of(configuration["depth"], configuration["rank"])

    def _measure(self, arrays, split, configuration):
        return self._accuracy(configuration["depth"], configuration["rank"])


def test_growth_is_drawn_anew_in_every_trial(rehearse):
    run = rehearse(seconds=by_depth, start=(1, 8))
    run.trial()
    first_of_second_trial = len(run.asked)
    run.round()
    orders = [run.asked[at]["deep"][0] for at in (0, first_of_second_trial)]
    first, second = (read_order(order).arrays["block.2.down.weight"] for order in orders)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    "option",
    [
        {"clients_per_round": 0},
        {"base_seconds": 0.0},
        {"min_rounds": 0},
        {"min_gain": -0.01},
        {"min_gain": 1.0},
        {"expand": -1.0},
        {"depth_step": 0},
        {"width_step": 0},
        {"max_width": -8},
    ],
)
def test_an_option_that_is_not_positive_is_refused_by_name(option):
    (name,) = option
    with pytest.raises(ValueError, match=name):
        AdaFL(**option)


@pytest.mark.parametrize(("clients", "expected"), [(3, [1, 1, 1]), (7, [3, 2, 2]), (8, [3, 3, 2]), (15, [5, 5, 5])])
def test_clients_are_dealt_to_the_groups_in_turn(clients, expected):
    assert [clients_in_group(index, groups=3, clients=clients) for index in range(3)] == expected


def test_fewer_clients_than_groups_are_refused():
    with pytest.raises(ValueError, match=r"clients_per_round: 2 .* 3 groups"):
        AdaFL(clients_per_round=2)


@pytest.fixture
def rehearse_on(rehearse, plain_board, plain_physics):
    """Return a function that rehearses on boards that take 2 s a round, but those of `slow` partitions 20 s."""

    def call(*, slow=(), memory_bytes=50_000, **options):
        boards = [
            plain_board(seconds_a_batch=20.0 if partition in slow else 2.0, memory_bytes=memory_bytes)
            for partition in range(30)
        ]
        return rehearse(physics=plain_physics(boards, link=constant(1e12)), **options)

    return call


def partitions_of(orders):
    return [PARTITIONS[order.metadata.dst_node_id] for order in orders]


def test_of_each_group_more_are_asked_than_are_waited_for(rehearse):
    run = rehearse(seconds=by_depth, clients_per_round=16, over_selection=1.25)
    assert run.round() == {"shallow": 7, "deep": 7, "wide": 6}
    terms = {group: read_terms(orders[0]) for group, orders in run.asked[0].items()}
    assert {group: each.wait_for for group, each in terms.items()} == {"shallow": 6, "deep": 5, "wide": 5}


def test_a_deadline_holds_for_every_group(rehearse_on):
    run = rehearse_on(slow=range(30), deadline_seconds=7.0, base_seconds=60.0)
    run.round()
    assert {lane: run.clock.now(lane) for lane in run.clock.lanes()} == {"shallow": 7.0, "deep": 7.0, "wide": 7.0}
    assert {record.dropout for record in run.ledger.clients} == {"late"}


def test_a_group_that_lost_a_round_to_its_deadline_goes_on_while_it_has_time(rehearse_on):
    run = rehearse_on(slow=range(30), deadline_seconds=20.0 - 1e-6, base_seconds=60.0)
    before = run.arrays["head.weight"]
    trial = run.trial()
    assert (run.server_round, rounds(trial)) == (3, {"shallow": 0, "deep": 0, "wide": 0})
    assert [each.seconds for each in trial.candidates] == pytest.approx([60.0] * 3)
    np.testing.assert_array_equal(run.arrays["head.weight"], before)


def test_a_candidate_pays_for_work_that_is_lost(rehearse_on):
    trial = rehearse_on(slow=range(30), deadline_seconds=10.0, base_seconds=40.0).trial()
    # 4 rounds of one client that computes for 10 s at 10 W.
    assert [each.joules for each in trial.candidates] == pytest.approx([400.0] * 3)


def test_a_candidate_that_no_board_has_the_memory_for_is_judged_as_it_started(rehearse_on):
    run = rehearse_on(memory_bytes=20_000, base_seconds=10.0)  # for depth 0 and 1, not for 2
    trial = run.trial()
    assert rounds(trial) == {"shallow": 5, "deep": 0, "wide": 5}
    assert trial.winner == "shallow"


def slow_of_the_first_round(rehearse_on, group):
    """Return the partition that this group asks first."""
    run = rehearse_on()
    run.round()
    return partitions_of(run.asked[0][group])[0]


def test_late_work_is_averaged_into_the_next_round_after_it_has_come(rehearse_on):
    slow = slow_of_the_first_round(rehearse_on, "shallow")
    run = rehearse_on(
        slow={slow}, deadline_seconds=15.0, late="carry", base_seconds=60.0, start=(1, 8),
        trains=lambda order, partition: 3 if partition == slow else 1,
    )  # fmt: skip
    head = run.arrays["head.weight"]
    run.round()  # shallow's only client is not done after 15 s
    assert list(run.ledger.failed) == ["shallow"]
    run.round()  # at second 17 its work of the first round is still to come
    run.round()
    run.round()  # at second 21 it is there: (1 + 1 + 1 + 3) after the rounds before
    sent = [read_order(asked["shallow"][0]).arrays["head.weight"] for asked in run.asked]
    steps = [float(np.mean(each - head)) for each in sent]
    assert steps == pytest.approx([0, 0, 1, 2], abs=1e-6)
    after = run.strategy.state()["trial"]["groups"]["shallow"]["arrays"]["head.weight"]
    # The late model is 3 above the head it was sent, the other 1 above the last average: (3 + 3) / 2.
    assert float(np.mean(after - head)) == pytest.approx(3.0, abs=1e-6)
    assert run.strategy.state()["coming"] == []


def test_late_work_of_the_wide_group_is_not_averaged_into_another_whose_arrays_are_the_same(rehearse_on):
    slow = slow_of_the_first_round(rehearse_on, "wide")
    run = rehearse_on(
        slow={slow}, deadline_seconds=15.0, late="carry", base_seconds=60.0, start=(0, 8),
        trains=lambda order, partition: 3 if partition == slow else 1,
    )  # fmt: skip
    head = run.arrays["head.weight"]
    for _ in range(4):
        run.round()
    after = {name: each["arrays"]["head.weight"] for name, each in run.strategy.state()["trial"]["groups"].items()}
    assert after["shallow"].shape == after["wide"].shape  # at depth 0 there is a head and nothing else
    # Shallow's own clients add 1 in each round. Wide loses its first round, and then gets (1 + 1 + 1) and the late 3.
    assert [float(np.mean(after[name] - head)) for name in ("shallow", "wide")] == pytest.approx([4.0, 3.0], abs=1e-6)
    assert run.strategy.state()["coming"] == []


def test_a_client_that_is_still_at_work_is_not_asked_again(rehearse_on):
    run = rehearse_on(slow=range(30), deadline_seconds=5.0, late="carry", clients_per_round=9, base_seconds=1000.0)
    run.round()
    run.round()
    first, second = ({node for orders in asked.values() for node in partitions_of(orders)} for asked in run.asked)
    assert len(first) == len(second) == 9
    assert not first & second


def test_late_work_for_a_configuration_that_is_gone_is_lost_and_noted(rehearse_on):
    run = rehearse_on(
        slow=range(30), deadline_seconds=15.0, late="carry", base_seconds=15.0, accuracy=lambda depth, width: depth
    )
    assert run.trial().winner == "deep"
    run.round()  # the groups are now (2, 8), (3, 8) and (2, 16); the late work was for (0, 8), (2, 8) and (0, 16)
    assert next(iter(run.ledger.notes)) == "2 late updates are lost: no group has their configuration any more"


def test_a_run_restored_while_updates_are_on_their_way_goes_on_identically(rehearse_on, tmp_path):
    options = {"slow": range(0, 30, 2), "deadline_seconds": 9.0, "late": "carry", "clients_per_round": 6}
    whole, first, rest = (rehearse_on(**options) for _ in range(3))
    for _ in range(6):
        whole.round()
    for _ in range(2):
        first.round()
    assert first.strategy.state()["coming"]
    save_tree(tmp_path / "checkpoint", {"strategy": first.strategy.state(), "clock": first.clock.state()})
    tree = load_tree(tmp_path / "checkpoint")
    rest.strategy.restore(tree["strategy"])
    rest.clock.restore(tree["clock"])
    rest.arrays, rest.server_round = first.arrays, 2
    for _ in range(4):
        rest.round()
    assert rest.clock.state() == whole.clock.state()
    for group, found in rest.strategy.state()["trial"]["groups"].items():
        expected = whole.strategy.state()["trial"]["groups"][group]["arrays"]
        for name, array in expected.items():
            np.testing.assert_array_equal(found["arrays"][name], array)


def test_what_cannot_be_averaged_is_turned_away_and_the_round_goes_on(rehearse):
    bad = set(range(0, 30, 3))
    run = rehearse(
        seconds=by_depth,
        clients_per_round=15,
        trains=lambda order, partition: np.nan if partition in bad else 1,
    )
    run.round()
    refused = {record.partition_id for record in run.ledger.clients if record.dropout == "refused"}
    assert refused == bad & {record.partition_id for record in run.ledger.clients} != set()
    reasons = {record.error for record in run.ledger.clients if record.dropout == "refused"}
    assert all(reason.endswith("has values that are not finite") for reason in reasons)
    assert list(run.ledger.failed) == []
    for group in run.strategy.state()["trial"]["groups"].values():
        assert all(np.isfinite(array).all() for array in group["arrays"].values())


def test_a_group_with_too_few_updates_keeps_its_model_for_the_round(rehearse):
    run = rehearse(
        seconds=by_depth, clients_per_round=6, min_replies=2, max_update_norm=50.0, base_seconds=12.0,
        trains=lambda order, partition: 100 if order.group == "wide" else 1,
    )  # fmt: skip
    trial = run.trial()
    assert rounds(trial) == {"shallow": 2, "deep": 1, "wide": 0}
    assert list(run.ledger.notes) == ["wide: 0 updates to average, 2 needed: the model stays"]


def test_with_fewer_clients_than_groups_those_that_run_get_them(rehearse):
    run = rehearse(seconds=lambda depth, width: 6.0, base_seconds=12.0, availability=only({3, 8}))
    assert run.round() == {"shallow": 1, "deep": 1}
    assert run.round() == {"shallow": 1, "deep": 1}
    assert run.round() == {"wide": 2}
    assert rounds(run.trial()) == {"shallow": 2, "deep": 2, "wide": 2}


def only(partitions):
    """Return availability of these partitions alone, for ever."""
    return scheduled(
        [schedule_of_times([(0, 1e9)] if partition in partitions else [], None) for partition in range(30)]
    )


def test_a_trial_takes_the_clients_that_are_there(rehearse):
    run = rehearse(seconds=by_depth, clients_per_round=15, availability=only({1, 3, 5, 7}))
    run.round()
    asked = [partitions_of(orders) for orders in run.asked[0].values()]
    assert sorted(partition for each in asked for partition in each) == [1, 3, 5, 7]
    assert sorted(len(each) for each in asked) == [1, 1, 2]
