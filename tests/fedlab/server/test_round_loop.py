"""The round loop runs any strategy until it is told to stop, measures when it is told to, and fails with the reason."""

import random
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp.strategy import Strategy

from fedlab.billing.ledger import Ledger
from fedlab.common.clock import VirtualClock
from fedlab.data.class_measures import client_measures
from fedlab.data.metrics import Score
from fedlab.errors import RunFailedError
from fedlab.messages.flower_private import CLIENT_RAISED, error_reply
from fedlab.messages.orders import PREFILL, configuration_of, order_content, passed_configuration
from fedlab.messages.pack import from_record, to_record
from fedlab.models.families import EncoderSizes
from fedlab.models.peft.base import ModelSizes
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.results.records import ClientRecord
from fedlab.server.context import Server
from fedlab.server.divergence import DivergenceRule
from fedlab.server.round_loop import PASSES, RoundLoop, RunState, StopRule
from fedlab.workload.shape import ModelShape

SECONDS_A_ROUND = 10.0
CONFIGURATION = {"set": "bottleneck", "depth": 0, "width": 16}


SIZES = ModelSizes(
    encoder=EncoderSizes(
        shape=ModelShape(family="bert", blocks=4, hidden=8, intermediate=1), vocabulary=1, positions=1, embedding={}
    ),
    labels=2,
)


def state_after(server_round, **changed):
    """Return where a run of `Counting` stands after a round."""
    arrays = {"x": np.array([server_round], np.float32)}
    return RunState(**{"server_round": server_round, "arrays": arrays, "configuration": CONFIGURATION} | changed)


class Counting(Strategy):
    """Asks one node and adds one to its arrays; keeps what it was given. `keeps` are rounds that change nothing."""

    def __init__(self, *, keeps=(), nodes=(5,), evaluates=False, makes=np.float32):
        self.keeps, self.nodes, self.evaluates, self.makes = keeps, nodes, evaluates, makes
        self.rounds, self.draws, self.evaluations, self.configurations = [], [], [], []

    def configure_train(self, server_round, arrays, config, grid):
        self.rounds.append((server_round, config["server-round"]))
        self.configurations.append(passed_configuration(config))
        self.draws.append((random.random(), float(np.random.random())))
        self.arrays = from_record(arrays)
        content = order_content(arrays, server_round=server_round)
        return [Message(content, node, MessageType.TRAIN) for node in self.nodes]

    def aggregate_train(self, server_round, replies):
        assert list(replies)
        if server_round in self.keeps:
            return None, None
        return to_record({name: (array + 1).astype(self.makes) for name, array in self.arrays.items()}), None

    def configure_evaluate(self, server_round, arrays, config, grid):
        if not self.evaluates:
            return []
        self.evaluated = arrays
        self.configurations.append(passed_configuration(config))
        content = order_content(arrays, server_round=config["server-round"])
        return [Message(content, node, MessageType.EVALUATE) for node in self.nodes]

    def aggregate_evaluate(self, server_round, replies):
        self.evaluations += [(server_round, reply.content["metrics"]["x"]) for reply in replies]

    def summary(self):
        pass


class Searching(Counting):
    """A strategy with a trial under way, which ends only when it is told to conclude: the arrays are then 100."""

    configuration, trial, budget_seconds = {"set": "lora", "depth": 3, "rank": 8}, 2, 60.0

    def __init__(self, **options):
        super().__init__(**options)
        self.concluded = []

    def conclude(self, server_round):
        self.concluded.append(server_round)
        return to_record({"x": np.array([100.0], np.float32)})


@pytest.fixture
def run(memory_grid):
    """Return a function that runs a loop; what happened comes back as attributes of the loop's bookkeeping."""

    def call(
        strategy, *, state=None, accuracy=lambda x, split: 0.0, answer=None, validation_every=1, test_every=1,
        log=None, ledger=None, evaluates=True, prefills=False, rule=None, passes=PASSES, client_scores=None,
        clients_every=0, **stop,
    ):  # fmt: skip
        clock = VirtualClock()
        log = log or Log()

        def reply(message):
            clock.advance(SECONDS_A_ROUND if message.metadata.message_type == MessageType.TRAIN else 0.0)
            x = float(from_record(message.content["arrays"])["x"][0]) if "x" in message.content["arrays"] else 0.0
            return Message(RecordDict({"metrics": MetricRecord({"x": x})}), reply_to=message)

        def measure(arrays, split, configuration):
            x = float(arrays["x"][0]) if "x" in arrays else 0.0
            log.measured.append((split, x))
            log.configurations.append(configuration)
            return accuracy(x, split)

        loop = RoundLoop(
            strategy=strategy,
            grid=memory_grid(answer or reply, strategy.nodes),
            server=Server(
                seed=3,
                clock=clock,
                sizes=SIZES,
                initial=Bottleneck(depth=0, width=8),
                partitions={node: at for at, node in enumerate(strategy.nodes)},
                measure=measure,
                on_trial=lambda trial: None,
                ledger=ledger or Ledger(),
                client_scores=client_scores,
            ),
            stop=StopRule(**stop),
            validation_every=validation_every,
            test_every=test_every,
            observer=log,
            save=log.save,
            wall_seconds=lambda: 1.25,
            evaluates=evaluates,
            clients_every=clients_every,
            prefills=prefills,
            divergence=rule or DivergenceRule(),
            passes=passes,
        )
        log.final = loop.run(state or state_after(0))
        return log

    return call


class Log:
    """What a loop did."""

    def __init__(self):
        self.records, self.saved, self.events, self.measured, self.clients = [], [], [], [], []
        self.final, self.lasts, self.configurations = None, [], []

    def save(self, state, *, next_is_last):
        self.saved.append(state)
        self.events.append(f"saved {state.server_round}")
        self.lasts.append(next_is_last)

    def on_clients(self, records):
        self.clients.append([record.partition_id for record in records])

    def on_round(self, record):
        self.records.append(record)
        self.events.append(f"told {record.server_round}")

    def rounds_with(self, field):
        return [record.server_round for record in self.records if getattr(record, field) is not None]


def test_it_stops_after_the_rounds(run):
    strategy = Counting()
    log = run(strategy, rounds=3)
    assert strategy.rounds == [(1, 1), (2, 2), (3, 3)]
    assert log.final.server_round == 3
    np.testing.assert_array_equal(log.final.arrays["x"], [3.0])


def test_it_stops_once_the_simulated_time_has_passed(run):
    log = run(Counting(), simulated_seconds=25.0)  # rounds of ten seconds
    assert [record.simulated_seconds for record in log.records] == [10.0, 20.0, 30.0]


def test_it_stops_when_validation_reaches_the_target(run):
    log = run(Counting(), accuracy=lambda x, split: x / 10 if split == "validation" else 0.0, target_accuracy=0.4)
    assert [record.validation_accuracy for record in log.records] == [0.1, 0.2, 0.3, 0.4]


def test_the_test_split_decides_nothing(run):
    log = run(Counting(), accuracy=lambda x, split: 1.0 if split == "test" else 0.0, target_accuracy=0.4, rounds=3)
    assert log.final.server_round == 3


@pytest.mark.parametrize(
    ("rules", "rounds"),
    [
        ({"rounds": 2, "simulated_seconds": 1000.0, "target_accuracy": 1.0}, 2),
        ({"rounds": 100, "simulated_seconds": 30.0, "target_accuracy": 1.0}, 3),
        ({"rounds": 100, "simulated_seconds": 1000.0, "target_accuracy": 0.5}, 5),
    ],
)
def test_whichever_rule_holds_first_ends_it(run, rules, rounds):
    assert run(Counting(), accuracy=lambda x, split: x / 10, **rules).final.server_round == rounds


def test_a_run_that_was_over_goes_no_further(run):
    over = state_after(3)
    log = run(Counting(), state=over, rounds=3)
    assert log.final is over
    assert log.records == []


def test_validation_every_counts_rounds_and_the_last_is_always_measured(run):
    log = run(Counting(), rounds=7, validation_every=3, test_every=1)
    assert log.rounds_with("validation_accuracy") == [3, 6, 7]
    assert log.rounds_with("test_accuracy") == [3, 6, 7]


def test_other_measures_are_recorded_beside_the_score_which_is_kept_as_a_plain_number(run):
    log = run(Counting(), accuracy=lambda x, split: Score.of(0.5, {"perplexity": 4.0}), rounds=1)
    (record,) = log.records
    assert record.measures == {"validation": {"perplexity": 4.0}, "test": {"perplexity": 4.0}}
    assert [type(each) for each in (record.validation_accuracy, record.test_accuracy)] == [float, float]
    assert type(log.final.best.validation_accuracy) is float


def test_the_last_round_has_the_measures_of_each_label_on_the_test_split(run):
    labels = {"a": {"f1": 0.5, "examples": 3}}
    log = run(Counting(), accuracy=lambda x, split: Score.of(0.5, {}, labels if split == "test" else {}), rounds=3)
    assert [record.labels for record in log.records] == [{}, {}, labels]


def test_the_scores_of_clients_are_recorded_as_often_as_asked_and_at_the_end(run):
    scores = np.array([0.0, 1.0, 0.5, 0.5])
    log = run(Counting(), client_scores=lambda arrays, configuration: scores, clients_every=2, rounds=5)
    assert [record.server_round for record in log.records if "clients" in record.measures] == [2, 4, 5]
    assert log.records[1].measures["clients"] == client_measures(scores)


def test_test_every_counts_validations_and_the_last_is_always_measured(run):
    log = run(Counting(), rounds=10, validation_every=2, test_every=2)
    assert log.rounds_with("validation_accuracy") == [2, 4, 6, 8, 10]
    assert log.rounds_with("test_accuracy") == [4, 8, 10]


@pytest.mark.parametrize(("test_every", "tests"), [(0, 1), (1, 6), (2, 3), (4, 2), (6, 1)])
def test_the_test_set_is_measured_no_more_often_than_asked(run, test_every, tests):
    log = run(Counting(), rounds=6, test_every=test_every)
    assert [split for split, _ in log.measured].count("test") == tests == len(log.rounds_with("test_accuracy"))


def test_the_model_measured_is_the_one_the_round_made(run):
    assert run(Counting(), rounds=2).measured == [
        ("validation", 1.0),
        ("test", 1.0),
        ("validation", 2.0),
        ("test", 2.0),
    ]


def test_a_round_that_changes_nothing_is_not_measured(run):
    log = run(Counting(keeps=(1, 3)), rounds=4)
    assert log.rounds_with("validation_accuracy") == [2, 4]
    assert log.measured == [("validation", 1.0), ("test", 1.0), ("validation", 2.0), ("test", 2.0)]


def test_a_round_that_measures_the_same_accuracy_again_still_says_so(run):
    same = 0.5
    log = run(Counting(), rounds=3, accuracy=lambda x, split: same)
    assert log.rounds_with("test_accuracy") == [1, 2, 3]


def test_the_configuration_is_the_runs_own_where_the_strategy_does_not_search(run):
    record = run(Counting(), rounds=1).records[0]
    assert record.configuration == {"set": "bottleneck", "depth": 0, "width": 16}
    assert (record.trial, record.budget_seconds, record.wall_seconds) == (None, None, 1.25)


def test_a_model_is_measured_and_kept_with_its_configuration(run):
    log = run(Counting(), rounds=1)
    assert log.configurations == [CONFIGURATION] * 2
    assert log.final.configuration == CONFIGURATION


def test_where_the_strategy_searches_the_configuration_is_its_own(run):
    log = run(Searching(), rounds=1)
    assert log.configurations == [Searching.configuration] * 2
    assert log.final.configuration == Searching.configuration


def test_a_strategy_is_handed_the_configuration_of_the_model(run):
    strategy = Counting(evaluates=True)
    run(strategy, rounds=1)
    assert strategy.configurations == [CONFIGURATION] * 2


def test_a_round_is_told_before_it_is_saved(run):
    assert run(Counting(), rounds=2).events == ["told 1", "saved 1", "told 2"]


def test_the_round_before_the_last_is_saved_as_such_and_the_last_is_not(run):
    log = run(Counting(), rounds=3)
    assert [state.server_round for state in log.saved] == [1, 2]
    assert log.lasts == [False, True]


def test_a_run_that_goes_on_after_all_is_the_one_that_was_to_be_longer(run):
    options = {"accuracy": lambda x, split: x / 10, "validation_every": 2, "test_every": 2}
    whole, short = run(Counting(), rounds=5, **options), run(Counting(), rounds=3, **options)
    longer = run(Counting(), state=short.saved[-1], rounds=5, **options)

    def accuracies(records):
        return [(record.server_round, record.validation_accuracy, record.test_accuracy) for record in records]

    assert accuracies(short.records)[2] != accuracies(whole.records)[2]  # the last round is always measured
    assert accuracies([*short.records[:2], *longer.records]) == accuracies(whole.records)


def curve(*accuracies):
    """Return the accuracy on validation, round by round: the arrays of `Counting` are the round's number."""
    return lambda x, split: accuracies[int(x) - 1]


def test_the_best_model_by_validation_is_kept_the_first_of_equals(run):
    final = run(Counting(), accuracy=curve(0.1, 0.4, 0.4, 0.3), rounds=4).final
    assert (final.best.server_round, final.best.validation_accuracy) == (2, 0.4)
    assert final.best.arrays["x"].tolist() == [2.0]
    assert final.best.configuration == CONFIGURATION
    assert final.arrays["x"].tolist() == [4.0]


def test_a_run_stops_after_as_many_validations_without_a_better_one_as_its_patience(run):
    log = run(Counting(), accuracy=curve(0.1, 0.4, 0.3, 0.2, 0.9), patience=2, rounds=5)
    assert log.final.server_round == 4
    assert log.rounds_with("test_accuracy")[-1] == 4  # the last round is tested, whatever ends the run


def test_patience_counts_validations_not_rounds(run):
    log = run(Counting(), accuracy=curve(0, 0.4, 0, 0.3, 0, 0.2, 0, 0), validation_every=2, patience=2, rounds=8)
    assert log.final.server_round == 6


def test_a_strategy_that_never_evaluates_is_given_no_model_to_evaluate(run, monkeypatch):
    packed = []
    monkeypatch.setattr("fedlab.server.round_loop.to_record", lambda arrays: packed.append(1) or to_record(arrays))
    strategy = Counting(evaluates=True)
    run(strategy, evaluates=False, rounds=3)
    assert (strategy.evaluations, len(packed)) == ([], 3)  # once a round, to be trained


def test_a_run_gone_on_with_from_a_saved_state_ends_as_the_whole_run(run):
    options = {"accuracy": lambda x, split: x / 10, "rounds": 5, "validation_every": 2, "test_every": 2}
    whole = run(Counting(), **options)
    strategy = Counting()
    rest = run(strategy, state=whole.saved[1], **options)
    assert strategy.rounds == [(3, 3), (4, 4), (5, 5)]
    assert rest.rounds_with("test_accuracy") == [4, 5]
    assert [record.validation_accuracy for record in rest.records] == [None, 0.4, 0.5]
    unlike = {"arrays": 0, "best": 0}  # arrays are not compared by ==
    assert vars(rest.final) | unlike == vars(whole.final) | unlike
    assert rest.final.best.server_round == whole.final.best.server_round == 5
    np.testing.assert_array_equal(rest.final.arrays["x"], whole.final.arrays["x"])


def test_a_strategys_draws_from_the_global_generators_depend_on_seed_and_round_alone(run):
    whole, rest = Counting(), Counting()
    log = run(whole, rounds=4)
    random.seed(99)
    run(rest, state=log.saved[1], rounds=4)
    assert len(set(whole.draws)) == 4
    assert rest.draws == whole.draws[2:]


def test_a_trial_under_way_is_concluded_where_the_run_stops(run):
    strategy = Searching(keeps=(1, 2, 3))
    log = run(strategy, rounds=3)
    assert strategy.concluded == [3]
    np.testing.assert_array_equal(log.final.arrays["x"], [100.0])
    assert log.measured == [("validation", 100.0), ("test", 100.0)]


def test_a_trial_that_ends_with_the_run_is_not_concluded_twice(run):
    strategy = Searching(keeps=(1, 2))
    run(strategy, rounds=3)
    assert strategy.concluded == []


def test_a_searching_strategy_tells_configuration_trial_and_budget(run):
    record = run(Searching(), rounds=1).records[0]
    assert record.configuration == {"set": "lora", "depth": 3, "rank": 8}
    assert (record.trial, record.budget_seconds) == (2, 60.0)


def test_federated_evaluation_measures_the_model_the_round_made(run):
    strategy = Counting(evaluates=True)
    run(strategy, rounds=2)
    assert strategy.evaluations == [(1, 1.0), (2, 2.0)]


def test_a_model_made_in_double_precision_travels_in_single(run):
    strategy = Counting(evaluates=True, makes=np.float64)
    log = run(strategy, rounds=2)
    assert strategy.evaluated["x"].dtype == strategy.arrays["x"].dtype == log.final.arrays["x"].dtype == np.float32


def test_a_round_in_which_every_client_fails_ends_the_run_with_the_reason(run):
    def answer(message):
        return error_reply(message, CLIENT_RAISED, "ValueError: no memory left")

    with pytest.raises(RunFailedError, match=r"round 1: none of 2 clients replied: ValueError: no memory left"):
        run(Counting(nodes=(5, 6)), answer=answer, rounds=3)


def test_a_round_in_which_one_client_of_two_fails_goes_on(run):
    def answer(message):
        if message.metadata.dst_node_id == 5:
            return error_reply(message, CLIENT_RAISED, "ValueError: no")
        return Message(RecordDict(), reply_to=message)

    assert run(Counting(nodes=(5, 6)), answer=answer, rounds=2).final.server_round == 2


def test_a_round_in_which_nobody_answers_in_time_ends_the_run(run):
    with pytest.raises(RunFailedError, match="round 1: none of 1 clients replied: nothing came back in time"):
        run(Counting(), answer=lambda message: None, rounds=3)


def test_a_strategy_that_asks_nobody_ends_the_run(run):
    with pytest.raises(RunFailedError, match="round 1: the strategy asked no client"):
        run(Counting(nodes=()), rounds=3)


def bill(partition_id, dropout=None):
    return ClientRecord(
        server_round=1, group="train", partition_id=partition_id, device="board", configuration={}, num_examples=1,
        batches=1, train_loss=None, compute_seconds=1.0, download_seconds=0.0, upload_seconds=0.0, joules=1.0,
        bytes_down=1, bytes_up=1, peak_memory_bytes=1, error=dropout, dropout=dropout,
    )  # fmt: skip


class Keeping(Counting):
    """Keeps its model, whatever comes."""

    def aggregate_train(self, server_round, replies):
        return None, None


@pytest.mark.parametrize(("dropout", "passes"), [("gone", PASSES), ("late", PASSES), ("refused", (*PASSES, "refused"))])
def test_a_round_whose_clients_were_lost_to_what_may_pass_is_not_the_runs_end(run, dropout, passes):
    ledger = Ledger()

    def answer(message):
        ledger.bill([bill(0, dropout)])
        return error_reply(message, CLIENT_RAISED, "was gone")

    log = run(Keeping(), answer=answer, ledger=ledger, passes=passes, rounds=3)
    assert [record.groups[0].failures for record in log.records] == [1, 1, 1]
    assert log.final.arrays["x"][0] == 0.0


def test_a_round_whose_replies_are_all_refused_ends_the_run_with_the_reason(run):
    ledger = Ledger()

    def answer(message):
        ledger.bill([bill(0, "refused")])
        return error_reply(message, CLIENT_RAISED, "num-examples is 0, expected 1 or more")

    with pytest.raises(RunFailedError, match="round 1: none of 1 clients replied: num-examples is 0"):
        run(Keeping(), answer=answer, ledger=ledger, rounds=3)


def test_where_all_replies_are_not_finite_the_reason_says_what_to_lower(run):
    ledger = Ledger()

    def answer(message):
        ledger.bill([bill(0, "refused")])
        return error_reply(message, CLIENT_RAISED, "the metric 'train-loss' is nan, expected finite numbers")

    with pytest.raises(RunFailedError, match=r"is nan, expected finite numbers; lower client\.options\.learning_rate"):
        run(Keeping(), answer=answer, ledger=ledger, rounds=3)


class Refusing(Keeping):
    """Turns away the work of its clients: of all in the second round, of one in the first."""

    def __init__(self, ledger):
        super().__init__(nodes=(5, 6))
        self._ledger = ledger

    def aggregate_train(self, server_round, replies):
        for partition_id in range(server_round):
            self._ledger.refuse(partition_id, "is 30.1 from the sent model, at most 10 is accepted")
        return None, None


def test_a_round_of_which_the_strategy_can_use_no_work_ends_the_run_with_the_reason(run):
    ledger, log = Ledger(), Log()

    def answer(message):
        ledger.bill([bill(message.metadata.dst_node_id - 5)])
        return Message(RecordDict(), reply_to=message)

    with pytest.raises(RunFailedError) as caught:
        run(Refusing(ledger), answer=answer, ledger=ledger, log=log, rounds=3)
    assert str(caught.value) == (
        "round 2: the work of none of 2 clients can be used: is 30.1 from the sent model, at most 10 is accepted"
    )
    assert [record.server_round for record in log.records] == [1]
    assert log.clients == [[0, 1], [0, 1]]  # what is known of a round that breaks off is told


def run_with_losses(run, losses, *, log=None, **options):
    """Run rounds whose clients report these training losses."""
    ledger, left = Ledger(), list(losses)

    def answer(message):
        ledger.bill([replace(bill(0), train_loss=left.pop(0))])
        return Message(RecordDict(), reply_to=message)

    return run(Counting(), answer=answer, ledger=ledger, log=log, rounds=len(losses), **options)


def test_a_loss_that_explodes_ends_the_run_at_that_round_with_what_to_lower(run):
    log = Log()
    with pytest.raises(RunFailedError) as caught:
        run_with_losses(run, [2.0, 1.5, 9.8e6, 1.0], log=log)
    assert str(caught.value) == (
        "round 3: training diverges: the loss is 9.8e+06 after 1.5; lower client.options.learning_rate; "
        "on_divergence = 'warn' would go on"
    )
    assert [record.server_round for record in log.records] == [1, 2, 3]
    assert [state.server_round for state in log.saved] == [1, 2]  # resumed, it says so again


def test_a_run_that_is_to_go_on_says_once_that_training_diverges(run):
    log = run_with_losses(run, [2.0, 9.8e6, 9.9e6, 9.7e6], rule=DivergenceRule(action="warn"))
    assert [len(record.notes) for record in log.records] == [0, 1, 0, 0]
    assert log.final.diverged


def test_a_resumed_run_knows_the_lowest_loss_before(run):
    state = run_with_losses(run, [0.5]).final
    with pytest.raises(RunFailedError, match=r"the loss is 200 after 0\.5"):
        run_with_losses(run, [200.0, 1.0], state=state)


class Breaking(Counting):
    """Makes a model that is not finite."""

    def aggregate_train(self, server_round, replies):
        return to_record({"x": np.array([np.nan], np.float32)}), None


@pytest.mark.parametrize("action", ["stop", "warn"])
def test_a_model_that_is_not_finite_ends_the_run_in_any_case(run, action):
    with pytest.raises(RunFailedError, match=r"round 1: training diverges: the new model is not finite \(x\); lower"):
        run(Breaking(), rule=DivergenceRule(action=action), rounds=3)


def test_a_round_for_which_no_board_has_the_memory_ends_the_run(run):
    ledger, log = Ledger(), Log()

    def answer(message):
        ledger.bill([bill(0, "memory")])
        return error_reply(message, CLIENT_RAISED, "out of memory: depth 12 needs 5.30 GB")

    with pytest.raises(RunFailedError, match="out of memory: depth 12 needs"):
        run(Counting(), answer=answer, ledger=ledger, log=log, rounds=3)
    assert log.clients == [[0]]  # what is known of a round that breaks off is told


def test_what_the_strategy_remarks_is_recorded_with_its_round(run):
    ledger = Ledger()

    class Remarking(Keeping):
        def aggregate_train(self, server_round, replies):
            ledger.fail("train", "too few")
            return None, None

    def answer(message):
        ledger.bill([bill(0)])
        return Message(RecordDict(), reply_to=message)

    log = run(Remarking(), answer=answer, ledger=ledger, rounds=2)
    assert [record.notes for record in log.records] == [["train: too few"]] * 2
    assert [[group.failed for group in record.groups] for record in log.records] == [[True], [True]]


@pytest.fixture
def kinds_asked(run):
    """Return a function that runs a loop, and returns the type of each message and what it says is trained."""

    def call(**options):
        asked = []

        def answer(message):
            kind = message.metadata.message_type
            asked.append((kind, dict(configuration_of(message))) if kind == PREFILL else kind)
            return Message(RecordDict(), reply_to=message)

        run(Counting(nodes=(5, 6)), answer=answer, **options)
        return asked

    return call


def test_caches_are_filled_before_the_first_round_and_only_then(kinds_asked):
    filled = (PREFILL, {"set": "bottleneck", "depth": 0, "width": 16})
    assert kinds_asked(rounds=3, prefills=True) == [filled] * 2 + [MessageType.TRAIN] * 6


def test_a_resumed_run_fills_no_caches_in_advance(kinds_asked):
    assert kinds_asked(state=state_after(1), rounds=3, prefills=True) == [MessageType.TRAIN] * 4


def test_unless_asked_to_a_run_fills_no_caches_in_advance(kinds_asked):
    assert kinds_asked(rounds=2) == [MessageType.TRAIN] * 4
