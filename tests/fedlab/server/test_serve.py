"""The server's side of a run: what it writes, and that a run cut off anywhere ends with the same numbers."""

import json
from dataclasses import replace

import flwr.serverapp.strategy
import numpy as np
import pytest
from flwr.app import Message, MessageType, RecordDict
from safetensors.numpy import load_file, save_file

from fedlab.common.clock import VirtualClock
from fedlab.config.file import experiment_from
from fedlab.errors import RunFailedError
from fedlab.messages.clipping import clipped
from fedlab.messages.kept_model import lacking_reply
from fedlab.messages.orders import read_order
from fedlab.messages.pack import from_record
from fedlab.messages.probes import arrays_of, read_step
from fedlab.messages.replies import EvaluateReport, TrainReport, evaluate_reply, train_reply
from fedlab.messages.seed_pool import read_pool
from fedlab.models.families import EncoderSizes
from fedlab.models.peft.base import ModelSizes
from fedlab.models.peft.bottleneck import Bottleneck, array_shapes
from fedlab.models.peft.whole_blocks import TopBlocks
from fedlab.results.digests import compare_runs, digest_arrays, verify_run
from fedlab.results.folder import RunFolder, create
from fedlab.results.recorder import Recorder
from fedlab.server.assemble import assemble
from fedlab.server.bench import Bench
from fedlab.server.serve import World, serve
from fedlab.workload.passes import bottleneck
from fedlab.workload.shape import ModelShape
from fedlab.workload.workload import Workload, forward_passes, training_passes

SHAPE = ModelShape(family="bert", blocks=4, hidden=12, intermediate=24)
LABELS = 3
EMBEDDING = {"words": (9, 12), "positions": (5, 12), "token_type": (12,), "norm_weight": (12,), "norm_bias": (12,)}
SIZES = ModelSizes(
    encoder=EncoderSizes(shape=SHAPE, vocabulary=9, positions=5, embedding=EMBEDDING), labels=LABELS, pooler=True
)
PARTITIONS = {40 + partition: partition for partition in range(8)}
FLOWERS = "flwr.serverapp.strategy:"
HALF = {"fraction_train": 0.5, "fraction_evaluate": 0.25}
TRIALS = {"clients_per_round": 6, "base_seconds": 0.004}  # some rounds each: see the test of the trials below
LATE = {"over_selection": 1.3, "deadline_seconds": 0.02, "late": "carry"}
SLOW = {"name": "per_client", "options": {"bandwidths": ["2MB/s", "1MB/s", "100kB/s", "50kB/s"]}}
STRATEGIES = {
    "adafl": {"name": "adafl", "options": TRIALS},
    "fedavg": {"name": "fedavg", "options": {"clients_per_round": 3}},
    "adafl-late": {"name": "adafl", "options": TRIALS | LATE},
    "fedavg-late": {"name": "fedavg", "options": {"clients_per_round": 4} | LATE},
    "FedAdam": {"name": f"{FLOWERS}FedAdam", "options": HALF},
    "FedAvgM": {"name": f"{FLOWERS}FedAvgM", "options": HALF | {"server_momentum": 0.9}},
}
LONG = ("Bulyan", "QFedAvg")  # half a minute each, in loops of Flower's
EXPORTED = [
    pytest.param(name, marks=pytest.mark.slow) if name in LONG else name
    for name in sorted(set(flwr.serverapp.strategy.__all__) - {"Result", "Strategy", "FedXgbBagging"})
]


class Cut(BaseException):
    """A run's sudden end."""


class Watcher:
    """Notes what a run tells, and cuts it off at the end of a round, before that round's checkpoint."""

    def __init__(self, cut_at=None):
        self.cut_at, self.told = cut_at, []

    def on_clients(self, records):
        self.told.append(("clients", len(records)))

    def on_round(self, record):
        self.told.append(("round", record.server_round))
        if record.server_round == self.cut_at:
            raise Cut

    def on_trial(self, record):
        self.told.append(("trial", record.trial))

    def on_step(self, record):
        self.told.append(("step", record.step))

    def on_message(self, text, detail=None):
        self.told.append(("message", text))


WORK = Workload(
    passes=training_passes(
        batches=2, batch_size=4, input_shape=(16,), model_blocks=SHAPE.blocks, depth=1, trained=bottleneck(8)
    ),
    num_examples=8,
)
AXES = {"depth": SHAPE.blocks, "width": 1}  # of sets that do not have them


def answer(message):
    """Train by adding what round and partition say; evaluate by the mean of the arrays."""
    order = read_order(message)
    partition = PARTITIONS[message.metadata.dst_node_id]
    batch = {"batches": 2 + partition, "batch_size": 4, "input_shape": (16,), "model_blocks": SHAPE.blocks}
    depth, width = (int(order.configuration.get(axis, number)) for axis, number in AXES.items())
    training = training_passes(depth=depth, trained=bottleneck(width), **batch)
    trains = message.metadata.message_type == MessageType.TRAIN
    work = Workload(passes=training if trains else forward_passes(**batch), num_examples=8 + partition)
    if not trains:
        return evaluate_reply(message, EvaluateReport(num_examples=8 + partition, accuracy=0.5, workload=work))
    step = np.float32(0.01 * (partition - 3) * order.server_round)
    arrays = {name: array * np.float32(0.9) + step for name, array in order.arrays.items()}
    loss = 1.0 / (1 + partition)
    report = TrainReport(arrays=arrays, num_examples=8 + partition, train_loss=loss, workload=work)
    return train_reply(message, clipped(order, report))


def keep(message):
    """Train nothing: send back the model that came."""
    report = TrainReport(arrays=read_order(message).arrays, num_examples=8, train_loss=1.0, workload=WORK)
    return train_reply(message, report)


def measure(arrays, split, configuration=None):
    """Return a figure below one that depends on every array."""
    total = sum(float(np.abs(array).sum()) for array in arrays.values())
    return total % 1.0 if split == "validation" else (total / 2) % 1.0


def pretrained(names):
    """Return weights of these names, each with a number of its own in it."""
    shapes = TopBlocks(depth=SHAPE.blocks).shapes(SIZES)
    return {name: np.full(shapes[name], number, np.float32) for number, name in enumerate(names)}


@pytest.fixture
def serve_into(memory_grid, tmp_path, monkeypatch):
    """Return a function that runs, or goes on with, an experiment in a folder; nothing is plotted, to save time."""
    monkeypatch.setattr("fedlab.results.write.plot_accuracy", lambda *_, **__: None)
    monkeypatch.setattr("fedlab.results.write.try_report", lambda *_: None)

    def call(name, strategy, *, observers=(), answer=answer, depth=1, resume=False, **keys):
        named = STRATEGIES[strategy] if isinstance(strategy, str) else strategy
        table = {"rounds": 7, "strategy": named, "client": {"depth": depth}, "seed": 3}
        table["task"] = {"partition": {"clients": len(PARTITIONS)}}
        experiment = experiment_from(table | keys, "test")
        path = tmp_path / name
        folder = RunFolder(path) if resume else create(path)
        folder.write_experiment(experiment)
        assembled = assemble(experiment)
        bench = Bench(
            sizes=SIZES,
            measure=measure,
            export=lambda arrays, trained, place: (
                place.mkdir(exist_ok=True),
                (place / "told.json").write_text(json.dumps([trained.configuration, sorted(arrays)])),
            ),
            pretrained=pretrained,
        )
        world = World(
            grid=memory_grid(answer, PARTITIONS),
            partitions=PARTITIONS,
            clock=VirtualClock(),
            physics=assembled.physics(SHAPE),
        )
        recorder = Recorder(folder)
        return folder, serve(assembled, bench, world, folder=folder, recorder=recorder, observers=observers)

    return call


def timeless(summary):
    return {key: value for key, value in summary.items() if key not in ("wall_seconds", "run_dir")}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_cut_off_before_a_checkpoint_ends_with_the_same_numbers(serve_into, strategy):
    whole, summary = serve_into("whole", strategy)
    with pytest.raises(Cut):
        serve_into("cut", strategy, observers=[Watcher(cut_at=6)])
    resumed, resumed_summary = serve_into("cut", strategy, resume=True)

    assert timeless(resumed_summary) == timeless(summary)
    assert compare_runs(whole, resumed) == []
    assert resumed.final.read_bytes() == whole.final.read_bytes()
    verify_run(resumed)


STEPPING = {
    "fwdllm, repeated": {"probes": 2, "threshold": 1e6, "most_cycles": 3, "steps_per_cohort": 2},
    "fwdllm, guided": {"probes": 2, "pacing": "none", "sampling_ratio": 0.5, "optimizer": "momentum"},
    "fedsgd": {"learning_rate": 0.1, "optimizer": "adam"},
    "fedkseed": {"pool": 6},
}


class Measuring:
    """Clients that keep the model they were sent, and answer scalars or gradients that depend on it."""

    def __init__(self):
        self.kept = {}

    def __call__(self, message):
        node, partition = message.metadata.dst_node_id, PARTITIONS[message.metadata.dst_node_id]
        model = self.kept[node] = arrays_of(message) or self.kept[node]
        order, pool = read_step(message), read_pool(message)
        level = sum(float(array.sum()) for array in model.values()) + 0.1 * partition
        kind, arrays = "scalars", {"d": np.full(6, 0.01 * level, np.float32)}
        if pool is None and order.probes:
            arrays = {"d": np.array([(seed % 7 - 3) * level for seed in order.seeds(3, partition)], np.float32)}
        elif pool is None:
            kind, arrays = "gradient", {name: array + np.float32(level) for name, array in model.items()}
        return train_reply(
            message, TrainReport(arrays=arrays, num_examples=8, train_loss=level, workload=WORK, kind=kind)
        )


@pytest.mark.parametrize("cut_at", [2, 6])
@pytest.mark.parametrize("name", STEPPING)
def test_a_run_of_steps_cut_off_before_a_checkpoint_ends_with_the_same_numbers(serve_into, name, cut_at):
    named = {"name": name.partition(",")[0], "options": {"clients_per_round": 3} | STEPPING[name]}
    client = {"name": "backprop" if name == "fedsgd" else "forward", "depth": 1}
    keys = {"answer": Measuring(), "client": client, "checkpoint": {"every": 1}}
    whole, summary = serve_into("whole", named, **keys)
    with pytest.raises(Cut):
        serve_into("cut", named, observers=[Watcher(cut_at=cut_at)], **keys)
    resumed, resumed_summary = serve_into("cut", named, resume=True, **keys)

    assert timeless(resumed_summary) == timeless(summary)
    assert summary["client_failures"] == 0
    assert compare_runs(whole, resumed) == []
    assert (whole.path / "steps.jsonl").exists() == name.startswith("fwdllm")


class Deployed(Measuring):
    """Such clients as a resumed server finds them: they keep the model of the last step they were asked for."""

    def __init__(self):
        super().__init__()
        self.steps, self.lacked = {}, 0

    def __call__(self, message):
        node, step = message.metadata.dst_node_id, read_step(message).step
        if arrays_of(message) is None and self.steps.get(node) != step:
            self.lacked += 1
            return lacking_reply(message)
        self.steps[node] = step
        return super().__call__(message)


def test_a_resumed_server_sends_the_model_again_to_nodes_that_have_kept_a_later_one(serve_into):
    named = {"name": "fwdllm", "options": {"clients_per_round": 3} | STEPPING["fwdllm, repeated"]}
    keys = {"client": {"name": "forward", "depth": 1}, "checkpoint": {"every": 2}}
    whole, summary = serve_into("whole", named, answer=Deployed(), **keys)
    nodes = Deployed()
    with pytest.raises(Cut):  # in the second step; the checkpoint is of round 2, within the first
        serve_into("cut", named, answer=nodes, observers=[Watcher(cut_at=4)], **keys)
    assert nodes.lacked == 0
    resumed, resumed_summary = serve_into("cut", named, answer=nodes, resume=True, **keys)

    assert nodes.lacked == 3
    assert resumed_summary["arrays_digest"] == summary["arrays_digest"]
    assert [replace(each, bytes_down=0, bytes_up=0) for each in resumed.steps()] == [
        replace(each, bytes_down=0, bytes_up=0) for each in whole.steps()
    ]
    sent_again = [each for each in resumed.clients() if each.group == "resent"]
    assert [each.server_round for each in sent_again] == [3, 3, 3]
    assert resumed.rounds()[2].notes == ["3 clients had not kept the model, and were sent it again"]
    assert resumed_summary["client_failures"] == 0
    assert resumed_summary["simulated_seconds"] == pytest.approx(
        sum(group.seconds for each in resumed.rounds() for group in each.groups)
    )


@pytest.mark.parametrize("name", EXPORTED)
def test_every_strategy_of_flowers_package_runs_and_cut_off_ends_with_the_same_numbers(
    serve_into, flowers_strategy, name
):
    strategy = flowers_strategy(name)
    whole, summary = serve_into("whole", strategy, rounds=4)
    with pytest.raises(Cut):
        serve_into("cut", strategy, observers=[Watcher(cut_at=4)], rounds=4)
    resumed, resumed_summary = serve_into("cut", strategy, resume=True, rounds=4)

    assert timeless(resumed_summary) == timeless(summary)
    assert compare_runs(whole, resumed) == []
    assert summary["client_failures"] == 0
    assert {record.validation_accuracy for record in whole.rounds()} != {None}  # each round made a model
    verify_run(resumed)


@pytest.mark.parametrize("strategy", ["adafl", "adafl-late", "fedavg", "FedAdam", "FedAvgM"])
@pytest.mark.parametrize("first", [1, 2, 5])
def test_a_finished_run_that_goes_on_to_more_rounds_equals_one_that_was_never_shorter(serve_into, strategy, first):
    keys = {"evaluation": {"validation_every": 2, "test_every": 2}}
    whole, summary = serve_into("whole", strategy, **keys)
    longer, _ = serve_into("longer", strategy, rounds=first, **keys)
    longer.summary_file.unlink()
    _, longer_summary = serve_into("longer", strategy, resume=True, **keys)

    assert timeless(longer_summary) == timeless(summary)
    assert compare_runs(whole, longer) == []
    for name in ("final.safetensors", "best.safetensors", "best/told.json"):
        assert (longer.path / name).read_bytes() == (whole.path / name).read_bytes()
    verify_run(longer)


def test_the_best_model_is_kept_beside_the_last_and_is_that_of_the_records(serve_into):
    folder, summary = serve_into("run", "adafl")
    measured = {record.server_round: record for record in folder.rounds() if record.validation_accuracy is not None}
    best = max(measured.values(), key=lambda record: record.validation_accuracy)
    assert summary["best"] == {
        "round": best.server_round,
        "validation_accuracy": best.validation_accuracy,
        "accuracy": best.test_accuracy,
    }
    assert measure(load_file(folder.best), "validation") == best.validation_accuracy
    assert summary["best_arrays_digest"] == digest_arrays(load_file(folder.best))
    assert json.loads((folder.best_model / "told.json").read_text())[0] == best.configuration


def test_where_the_best_model_is_the_last_both_are_the_same_files(serve_into):
    folder, summary = serve_into("run", "fedavg", rounds=1)
    assert summary["best"]["round"] == 1
    assert folder.best.samefile(folder.final)
    assert (folder.best_model / "told.json").samefile(folder.adapter / "told.json")


def test_a_best_model_that_was_changed_is_found(serve_into):
    folder, _ = serve_into("run", "fedavg", rounds=2)
    save_file({"x": np.ones(2)}, folder.best)
    with pytest.raises(RunFailedError, match=r"best\.safetensors is not what the run wrote"):
        verify_run(folder)


def test_the_score_of_the_first_model_is_kept_and_changes_nothing_else(serve_into):
    plain, summary = serve_into("plain", "fedavg", rounds=3)
    keys = {"rounds": 3, "evaluation": {"start": True}}
    with pytest.raises(Cut):
        serve_into("cut", "fedavg", observers=[Watcher(cut_at=2)], **keys)
    scored, scored_summary = serve_into("cut", "fedavg", resume=True, **keys)

    first, _ = serve_into("untrained", "fedavg", answer=keep, rounds=1)  # its last model is the first one
    assert scored_summary.pop("start") == {
        split: {"accuracy": measure(load_file(first.final), split)} for split in ("validation", "test")
    }
    assert timeless(scored_summary) == timeless(summary)
    assert compare_runs(plain, scored) == []


def test_the_start_is_scored_by_default_where_a_model_answers_before_it_is_trained():
    def scores(kind, **evaluation):
        table = {"rounds": 1, "task": {"kind": kind}, "evaluation": evaluation}
        return experiment_from(table, "test").scores_start

    assert [scores(kind) for kind in ("classification", "tagging")] == [False, False]
    assert [scores(kind) for kind in ("next-token", "prompt")] == [True, True]
    assert scores("classification", start=True)
    assert not scores("prompt", start=False)


def test_a_run_out_of_patience_ends_and_resumes_the_same(serve_into):
    keys = {"rounds": 60, "evaluation": {"patience": 2}}
    whole, summary = serve_into("whole", "fedavg", **keys)
    assert summary["best"]["round"] == summary["rounds"] - 2 < 58
    with pytest.raises(Cut):
        serve_into("cut", "fedavg", observers=[Watcher(cut_at=summary["rounds"])], **keys)
    resumed, resumed_summary = serve_into("cut", "fedavg", resume=True, **keys)
    assert timeless(resumed_summary) == timeless(summary)
    assert compare_runs(whole, resumed) == []


def test_a_run_whose_power_fails_resumes_from_a_round_it_had_kept_and_ends_with_the_same_numbers(
    serve_into, lossy_disk, tmp_path
):
    keys = {"rounds": 3, "checkpoint": {"every": 1}}
    whole, summary = serve_into("whole", "adafl", **keys)
    for fails_at in range(4, 400, 9):
        root = tmp_path / f"disk-{fails_at}"
        root.mkdir()
        left, failed = lossy_disk(
            root,
            lambda: serve_into(f"{root.name}/run", "adafl", **keys),  # noqa: B023
            fails_at=fails_at,
        )
        for place in left:
            resumed = RunFolder(place / "run")
            if not resumed.rounds_file.exists():  # the folder itself was not kept yet
                continue
            if resumed.summary() is None:
                serve_into(f"{place.name}/run", "adafl", resume=True, **keys)
            assert timeless(resumed.summary()) == timeless(summary)
            assert compare_runs(whole, resumed) == []
            verify_run(resumed)
        if not failed:
            break
    assert fails_at > 40
    assert all(RunFolder(place / "run").summary() is not None for place in left)


@pytest.mark.parametrize("strategy", ["adafl-late", "fedavg-late", "FedAvgM"])
def test_a_run_whose_clients_drop_out_or_come_late_ends_with_the_same_numbers_too(serve_into, strategy):
    world = {"link": SLOW, "availability": {"name": "bernoulli", "options": {"dropout": 0.2}}}
    whole, summary = serve_into("whole", strategy, **world)
    with pytest.raises(Cut):
        serve_into("cut", strategy, observers=[Watcher(cut_at=5)], **world)
    resumed, resumed_summary = serve_into("cut", strategy, resume=True, **world)

    assert timeless(resumed_summary) == timeless(summary)
    assert compare_runs(whole, resumed) == []
    assert summary["dropouts"]["gone"] > 0
    assert (summary["late"] > 0) == strategy.endswith("late")
    verify_run(resumed)


def test_the_totals_of_a_run_are_the_sums_of_its_records(serve_into):
    folder, summary = serve_into("run", "fedavg-late", link=SLOW)
    clients, rounds = folder.clients(), folder.rounds()
    for what in ("joules", "idle_joules", "bytes_down", "bytes_up"):
        assert summary[what] == pytest.approx(sum(getattr(each, what) for each in clients))
    for record in rounds:
        mine = [each for each in clients if each.server_round == record.server_round]
        assert sum(group.joules for group in record.groups) == pytest.approx(sum(each.joules for each in mine))
    assert summary["simulated_seconds"] == pytest.approx(sum(group.seconds for r in rounds for group in r.groups))


def test_flowers_own_strategies_wait_until_there_are_as_many_clients_as_they_need(serve_into, tmp_path):
    trace = tmp_path / "there.csv"
    rows = [f"{partition},{60 * partition},100000" for partition in range(8)]  # one more each minute
    trace.write_text("\n".join(["partition_id,on_seconds,off_seconds", *rows]) + "\n")
    folder, _ = serve_into("run", "FedAvgM", rounds=1, availability={"name": "trace", "options": {"path": str(trace)}})
    assert sorted(each.partition_id for each in folder.clients() if each.group == "train") == [0, 1]
    assert folder.rounds()[0].simulated_seconds > 60.0


def test_the_trials_of_these_runs_take_several_rounds_and_the_cut_falls_inside_one(serve_into):
    folder, _ = serve_into("run", "adafl")
    assert [record.trial for record in folder.rounds()] == [1, 1, 1, 1, 2, 2, 2]


def test_a_run_cut_off_in_its_first_round_starts_over(serve_into):
    whole, summary = serve_into("whole", "adafl")
    with pytest.raises(Cut):
        serve_into("cut", "adafl", observers=[Watcher(cut_at=1)])
    resumed, resumed_summary = serve_into("cut", "adafl", resume=True)
    assert timeless(resumed_summary) == timeless(summary)
    assert compare_runs(whole, resumed) == []


def test_a_run_cut_off_twice_ends_with_the_same_numbers_too(serve_into):
    whole, summary = serve_into("whole", "adafl")
    for cut_at, resume in ((3, False), (6, True)):
        with pytest.raises(Cut):
            serve_into("cut", "adafl", observers=[Watcher(cut_at=cut_at)], resume=resume)
    resumed, resumed_summary = serve_into("cut", "adafl", resume=True)
    assert timeless(resumed_summary) == timeless(summary)
    assert compare_runs(whole, resumed) == []


def test_another_seed_gives_another_run(serve_into):
    first, _ = serve_into("first", "adafl")
    second, _ = serve_into("second", "adafl", seed=4)
    assert compare_runs(first, second)


def test_the_folder_of_a_run_holds_what_its_summary_says(serve_into):
    folder, summary = serve_into("run", "adafl")
    rounds, clients = folder.rounds(), folder.clients()
    assert folder.summary() == summary
    assert summary["status"] == "finished"
    assert summary["rounds"] == len(rounds) == 7
    assert summary["bytes_down"] == sum(each.bytes_down for each in clients) > 0
    assert summary["joules"] == sum(each.joules for each in clients) > 0
    assert summary["simulated_seconds"] == rounds[-1].simulated_seconds
    assert summary["accuracy"] == rounds[-1].test_accuracy == measure(load_file(folder.final), "test")
    assert summary["arrays_digest"] == digest_arrays(load_file(folder.final))


def test_the_final_arrays_have_the_final_configuration_and_are_exported_with_it(serve_into):
    folder, summary = serve_into("run", "adafl")
    axes = {axis: number for axis, number in summary["configuration"].items() if axis != "set"}
    config = Bottleneck(**axes)
    arrays = load_file(folder.final)
    expected = array_shapes(config, blocks=SHAPE.blocks, hidden=SHAPE.hidden, labels=LABELS)
    assert {name: array.shape for name, array in arrays.items()} == expected
    told = json.loads((folder.adapter / "told.json").read_text())
    assert told == [config.configuration, sorted(expected)]


def test_a_trial_is_told_after_the_round_it_ends_with(serve_into):
    watcher = Watcher()
    folder, _ = serve_into("run", "adafl", observers=[watcher])
    kinds = [each for each in watcher.told if each[0] in ("round", "trial")]
    for trial in folder.trials():
        assert kinds[kinds.index(("trial", trial.trial)) - 1] == ("round", trial.server_round)


def test_the_rounds_of_a_trial_add_up_to_its_candidates(serve_into):
    folder, _ = serve_into("run", "adafl")
    for trial in folder.trials():
        parts = [part for record in folder.rounds() if record.trial == trial.trial for part in record.groups]
        for candidate in trial.candidates:
            mine = [part for part in parts if part.group == candidate.group]
            assert len(mine) == candidate.rounds
            assert sum(part.seconds for part in mine) == pytest.approx(candidate.seconds)
            assert sum(part.joules for part in mine) == pytest.approx(candidate.joules)
            assert sum(part.bytes_up for part in mine) == candidate.bytes_up


def test_the_first_model_is_the_one_the_client_table_names(serve_into):
    seen = []

    def watch(message):
        seen.append(read_order(message).configuration)
        return answer(message)

    serve_into("run", "fedavg", answer=watch, depth=2, rounds=1)
    assert seen == [Bottleneck(depth=2, width=8).configuration] * 3


@pytest.mark.parametrize(
    ("client", "depth", "trained"),
    [
        ({"name": "freeze", "depth": 2}, 2, {"set": "blocks", "depth": 2}),
        ({"name": "freeze"}, 0, {"set": "blocks", "depth": 0}),
        ({"name": "full"}, 4, {"set": "everything"}),
    ],
)
def test_whole_blocks_begin_with_the_pretrained_weights(serve_into, client, depth, trained):
    seen = []

    def watch(message):
        seen.append(read_order(message))
        return answer(message)

    folder, summary = serve_into("run", "fedavg", answer=watch, client=client, rounds=1)

    *names, weight, bias = TopBlocks(depth=depth).shapes(SIZES)
    arrays = seen[0].arrays
    assert seen[0].configuration == trained
    assert list(arrays) == [*names, weight, bias]
    assert all(np.array_equal(arrays[name], array) for name, array in pretrained(names).items())
    assert arrays["head.weight"].std() == pytest.approx(0.02, rel=0.5)
    assert summary["configuration"] == trained
    assert json.loads((folder.model / "told.json").read_text())[0] == trained


def test_the_same_seed_draws_the_head_of_whole_blocks_as_of_the_head_alone(serve_into):
    seen = []

    def watch(message):
        seen.append(from_record(message.content["arrays"])["head.weight"])
        return answer(message)

    serve_into("whole", "fedavg", answer=watch, client={"name": "full"}, rounds=1)
    serve_into("head", "fedavg", answer=watch, depth=0, rounds=1)
    assert all(np.array_equal(seen[0], each) for each in seen[1:])


def test_a_run_of_whole_blocks_cut_off_before_a_checkpoint_ends_with_the_same_numbers(serve_into):
    client = {"name": "freeze", "depth": 1}
    whole, summary = serve_into("whole", "FedAdam", client=client)
    with pytest.raises(Cut):
        serve_into("cut", "FedAdam", client=client, observers=[Watcher(cut_at=6)])
    resumed, resumed_summary = serve_into("cut", "FedAdam", client=client, resume=True)
    assert timeless(resumed_summary) == timeless(summary)
    assert compare_runs(whole, resumed) == []


def test_federated_evaluation_is_billed_as_a_group_of_its_own(serve_into):
    folder, _ = serve_into("run", "FedAdam", rounds=1)
    (record,) = folder.rounds()
    assert [(part.group, part.clients) for part in record.groups] == [("train", 4), ("evaluate", 2)]
    assert record.simulated_seconds == pytest.approx(sum(part.seconds for part in record.groups))


def test_a_run_whose_clients_report_no_workload_fails_with_the_reason(serve_into):
    with pytest.raises(RunFailedError, match="reported no workload"):
        serve_into("run", "fedavg", answer=lambda message: Message(RecordDict(), reply_to=message))


@pytest.mark.parametrize("every", [1, 3, 100])
def test_a_run_with_fewer_checkpoints_resumes_from_the_last_one_and_ends_with_the_same_numbers(serve_into, every):
    keys = {"checkpoint": {"every": every}}
    whole, summary = serve_into("whole", "adafl", **keys)
    with pytest.raises(Cut):
        serve_into("cut", "adafl", observers=[Watcher(cut_at=6)], **keys)
    watcher = Watcher()
    resumed, resumed_summary = serve_into("cut", "adafl", observers=[watcher], resume=True, **keys)

    assert next(number for what, number in watcher.told if what == "round") == {1: 6, 3: 4, 100: 2}[every]
    assert timeless(resumed_summary) == timeless(summary)
    assert compare_runs(whole, resumed) == []
    verify_run(resumed)


OBSERVERS = """
class Counts:
    told = []
    def on_start(self, run):
        self.told.append(("start", run.name))
    def on_round(self, record):
        self.told.append(("round", record.server_round))
    def on_trial(self, record):
        self.told.append(("trial", record.trial))
    def on_end(self, summary, files):
        self.told.append(("end", summary and summary["status"], sorted(path.name for path in files)))

class Fails:
    def on_round(self, record):
        raise ConnectionError("the server is down")
"""


@pytest.fixture
def tracked_by(tmp_path):
    """Return a function that gives the keys of an experiment which names an observer of this file."""
    (tmp_path / "own.py").write_text(OBSERVERS)
    return lambda *names: {"base_folder": str(tmp_path), "tracking": {"to": [f"own.py:{name}" for name in names]}}


def test_a_run_whose_tracker_fails_says_so_once_and_has_the_same_results(serve_into, tracked_by):
    whole, summary = serve_into("whole", "adafl")
    watcher = Watcher()
    tracked, tracked_summary = serve_into("tracked", "adafl", observers=[watcher], **tracked_by("Fails", "Counts"))

    (line,) = [text for what, text in watcher.told if what == "message" and "tracker" in str(text)]
    assert line == (
        "tracker own.py:Fails failed in on_round: ConnectionError: the server is down (own.py, line 15); it is told"
        " nothing more, and the run goes on"
    )
    assert tracked.log.read_text().count("own.py:Fails") == 1
    assert compare_runs(whole, tracked) == []
    assert tracked_summary["arrays_digest"] == summary["arrays_digest"]


def test_an_observer_that_the_experiment_names_is_told_from_the_start_to_the_results(serve_into, tracked_by):
    keys = tracked_by("Counts")
    folder, _ = serve_into("run", "adafl", rounds=2, **keys)
    told = assemble(experiment_from({"rounds": 2} | keys, "test")).trackers["own.py:Counts"].told
    assert told[0] == ("start", "run")
    assert [number for what, number, *_ in told if what == "round"] == [1, 2]
    assert [number for what, number, *_ in told if what == "trial"] == [each.trial for each in folder.trials()]
    (*_, (what, status, files)) = told
    assert (what, status) == ("end", "finished")
    assert {"experiment.toml", "summary.json", "rounds.jsonl", "adapter", "run.log"} <= set(files)


def test_an_observer_of_a_run_that_breaks_off_is_told_so_and_its_run_resumes(serve_into, tracked_by):
    keys = tracked_by("Counts")
    with pytest.raises(Cut):
        serve_into("run", "fedavg", observers=[Watcher(cut_at=6)], **keys)
    told = assemble(experiment_from({"rounds": 2} | keys, "test")).trackers["own.py:Counts"].told
    assert told[-1] == ("end", None, [])
    serve_into("run", "fedavg", resume=True, **keys)
    assert told[-1][:2] == ("end", "finished")
    assert {number for what, number, *_ in told if what == "round"} == {*range(1, 8)}
