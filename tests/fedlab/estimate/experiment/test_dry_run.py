"""A planned run costs what the real one is then charged: to the last second, and to the headers' bytes."""

import math
from pathlib import Path

import flwr.serverapp.strategy
import pytest

from fedlab.config.schema import BackboneTable
from fedlab.devices.costmodel.operators import WEIGHT_BYTES
from fedlab.errors import UserError
from fedlab.estimate.experiment.dry_run import _small, dry_run
from fedlab.estimate.experiment.plan import plan_of
from fedlab.estimate.experiment.trial_outcomes import cheapest, dearest, following
from fedlab.estimate.trajectory import Segment
from fedlab.estimate.wire import TOLERANCE_BYTES
from fedlab.models.cnn.sizes import conv_sizes
from fedlab.workload.shape import REFERENCE_SHAPES
from fedlab.workload.weights import block_weights

FEDAVG = {"name": "fedavg", "options": {"clients_per_round": 3}}
ADAFL = {"name": "adafl", "options": {"clients_per_round": 6, "base_seconds": 0.02}}
PLANS = {
    "adapters": {"strategy": FEDAVG, "client": {"depth": 1}},
    "the head alone": {"strategy": FEDAVG, "client": {"depth": 0}},
    "no cache": {"strategy": FEDAVG, "client": {"depth": 1, "options": {"cache": False}}},
    "caches filled beforehand": {"strategy": FEDAVG, "client": {"depth": 1, "prefill": True}},
    "epochs cut short": {"strategy": FEDAVG, "client": {"depth": 1, "options": {"epochs": 3, "max_batches": 10}}},
    "everything": {"rounds": 1, "strategy": FEDAVG, "client": {"name": "full"}},
    "the top block": {"strategy": FEDAVG, "client": {"name": "freeze", "depth": 1}},
    "weights in int8": {
        "strategy": FEDAVG,
        "client": {"depth": 1},
        "backbone": {"name": "bert-tiny", "precision": "int8"},
        "fleet": {"devices": {"rpi-5": 1}},
    },
    "LoRA above weights in int4": {
        "strategy": FEDAVG,
        "client": {"trains": "lora", "depth": 2},
        "backbone": {"name": "bert-tiny", "precision": "int4"},
        "fleet": {"devices": {"rpi-5": 1, "jetson-orin-nano": 1}},
    },
    "codecs": {"strategy": FEDAVG, "client": {"depth": 2}, "codec": {"up": ["int8"], "down": ["int8"]}},
    "a codec up alone": {"strategy": FEDAVG, "client": {"name": "freeze", "depth": 1}, "codec": {"up": ["int8"]}},
    "Flower's own": {
        "strategy": {
            "name": "flwr.serverapp.strategy:FedAvg",
            "options": {"fraction_train": 0.5, "fraction_evaluate": 0.25},
        },
        "client": {"depth": 1},
    },
    "a deadline": {
        "strategy": {"name": "fedavg", "options": {"clients_per_round": 4, "deadline_seconds": 0.025}},
        "client": {"depth": 1},
    },
    "over-selection": {
        "strategy": {"name": "fedavg", "options": {"clients_per_round": 2, "over_selection": 2.0}},
        "client": {"depth": 1},
    },
    "dropouts": {
        "strategy": FEDAVG,
        "client": {"depth": 1},
        "availability": {"name": "bernoulli", "options": {"dropout": 0.3}},
    },
    "forward passes and seeds": {
        "strategy": {"name": "fwdllm", "options": {"clients_per_round": 3, "probes": 4, "pacing": "none"}},
        "client": {"name": "forward", "depth": 1},
    },
    "gradients of forward passes": {
        "strategy": {"name": "fedsgd", "options": {"clients_per_round": 3}},
        "client": {"name": "forward", "depth": 1, "options": {"probes": 2, "estimator": "one-sided"}},
    },
    "local steps of forward passes": {
        "strategy": FEDAVG,
        "client": {"name": "forward", "depth": 1, "options": {"max_batches": 2, "learning_rate": 0.001}},
    },
    "gradients": {
        "strategy": {"name": "fedsgd", "options": {"clients_per_round": 3}},
        "client": {"name": "backprop", "depth": 1},
    },
    "a busy server": {
        "strategy": FEDAVG,
        "client": {"depth": 2},
        "link": {"options": {"bandwidth": "100kB/s"}, "server_bandwidth_down": "150kB/s"},
    },
}


def planned(experiment, judge=cheapest):
    return dry_run(plan_of(experiment, batches=None, labels=2), judge)


SLOW = ("Bulyan", "QFedAvg")  # ten seconds each, in loops of Flower's
EXPORTED = [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
    for name in sorted(set(flwr.serverapp.strategy.__all__) - {"Result", "Strategy", "FedXgbBagging"})
]
WHO = ("server_round", "group", "partition_id", "device", "configuration")
WORK = ("passes", "batches", "cached_batches")


def assert_same(ours, real):
    """Compare record by record: whoever took part did the same for the same time, headers apart."""
    assert len(ours.clients) == len(real.clients)
    for mine, theirs in zip(ours.clients, real.clients, strict=True):
        for what in (*WHO, *WORK):
            assert getattr(mine, what) == getattr(theirs, what), what
        assert (mine.dropout, mine.latency_provenance) == (theirs.dropout, theirs.latency_provenance)
        assert mine.compute_seconds == pytest.approx(theirs.compute_seconds, rel=1e-6)
        assert mine.peak_memory_bytes == theirs.peak_memory_bytes
        if mine.dropout is None:
            assert abs(mine.bytes_down - theirs.bytes_down) <= 2 * TOLERANCE_BYTES
            assert abs(mine.bytes_up - theirs.bytes_up) <= TOLERANCE_BYTES
    assert ours.rounds[-1].simulated_seconds == pytest.approx(real.rounds[-1].simulated_seconds, rel=0.01)


@pytest.mark.parametrize("name", EXPORTED)
def test_every_strategy_of_flowers_package_is_planned(experiment_of, flowers_strategy, name):
    done = planned(experiment_of(rounds=3, strategy=flowers_strategy(name), client={"depth": 1}))

    assert [record.server_round for record in done.rounds] == [1, 2, 3]
    assert not [record.error for record in done.clients if record.error]
    assert all(record.bytes_up > 0 and record.joules > 0 for record in done.clients)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_what_the_run_is_charged(experiment_of, run_for_real, name):
    experiment = experiment_of(**{"rounds": 3} | PLANS[name])
    real = run_for_real(experiment)
    ours = planned(experiment)
    assert_same(ours, real)
    assert len(ours.rounds) == experiment.rounds
    assert not ours.searches
    lost = {record.dropout for record in ours.clients} - {None}
    assert lost == {"a deadline": {"late"}, "over-selection": {"late"}, "dropouts": {"gone"}}.get(name, set())


IMAGES = {"strategy": FEDAVG, "client": {"name": "full"}, "backbone": {"name": "lenet"}}
PHONES = {"devices": {"snapdragon-888": 1, "snapdragon-750g": 1}}


@pytest.mark.parametrize("codecs", [[], ["int8"]], ids=["fp32", "int8"])
def test_a_plan_of_images_is_what_the_run_is_charged(experiment_of, run_for_real, stripes, codecs):
    natural = {"scheme": "natural", "column": "writer"}
    task = {"kind": "image", "data": str(stripes), "partition": natural}
    experiment = experiment_of(rounds=2, task=task, fleet=PHONES, codec={"up": codecs}, **IMAGES)
    real = run_for_real(experiment)
    assert_same(planned(experiment), real)
    weights = 20 * 25 + 50 * 20 * 25 + 500 * 50 + 2 * 500  # of a LeNet for 16 x 16 pixels and two labels
    for record in real.clients:
        assert abs(record.bytes_up - (1 if codecs else 4) * weights) < 2500
        assert record.passes[1]["trained"] == {"kind": "whole"}
    assert real.summary["rounds"] == 2


FORMATS = {
    "integers": {
        "client": {"name": "integer", "options": {"processor": "dsp", "epochs": 2}},
        "strategy": {"name": "q-fedupdate", "options": {"clients_per_round": 3}},
    },
    "mixed precision": {"client": {"name": "mixed-precision", "options": {"algorithm": "octo", "processor": "dsp"}}},
    "emulated on the CPU": {
        "client": {
            "name": "mixed-precision",
            "options": {"algorithm": "chunk-fp8", "learning_rate": [[0, 0.1]], "max_batches": 2},
        }
    },
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_plan_of_images_in_the_formats_of_an_algorithm_is_what_the_run_is_charged(
    experiment_of, run_for_real, stripes, name
):
    task = {"kind": "image", "data": str(stripes), "partition": {"scheme": "natural", "column": "writer"}}
    experiment = experiment_of(rounds=2, task=task, fleet=PHONES, **IMAGES | FORMATS[name])
    real, ours = run_for_real(experiment), planned(experiment)
    assert_same(ours, real)
    assert sum(each.joules for each in ours.clients) == pytest.approx(real.summary["joules"], rel=0.01)
    wanted = "fp32" if name == "emulated on the CPU" else "int8"
    assert {each.get("format", "fp32") for record in real.clients for each in record.passes} == {wanted}


@pytest.mark.parametrize(("network", "most"), [("vgg-small", 100), ("resnet34", 300)])
def test_what_plans_of_images_average_is_small_and_has_the_arrays_of_the_network(network, most):
    sizes = conv_sizes(BackboneTable(name=network), (3, 32, 32), 10, base=Path())
    small = _small(sizes).encoder
    assert list(small.shapes()) == list(sizes.shapes())
    assert sum(math.prod(shape) for shape in small.shapes().values()) < most
    assert small.shape.blocks == sizes.shape.blocks


def test_integers_are_planned_with_strategies_that_send_them_and_without_codecs(experiment_of, stripes):
    task = {"kind": "image", "data": str(stripes), "partition": {"scheme": "natural", "column": "writer"}}
    keys = {"rounds": 1, "task": task, "fleet": PHONES, **IMAGES, **FORMATS["integers"]}
    with pytest.raises(UserError, match=r"expected a strategy that sends them, such as q-fedavg"):
        planned(experiment_of(**keys | {"strategy": FEDAVG}))
    with pytest.raises(UserError, match=r"^codec: no estimate is made of codecs for the int8 messages"):
        planned(experiment_of(**keys, codec={"up": ["int8"]}))


def test_a_plan_of_images_that_are_not_read_needs_their_shape(experiment_of):
    task = {"kind": "image", "data": "anybody/images", "format": "hub"}
    about = {"rounds": 1, "fleet": PHONES, **IMAGES}
    plan = plan_of(experiment_of(task=task | {"image_shape": [1, 28, 28]}, **about), batches=2, labels=10)
    assert (plan.work.input_shape, plan.sizes.shape.parameters) == ((1, 28, 28), 430_500)
    with pytest.raises(UserError, match=r"task.image_shape is missing: --batches does not read images"):
        plan_of(experiment_of(task=task, **about), batches=2, labels=10)


def test_weights_in_fewer_bits_take_less_memory_and_boards_without_the_format_are_refused(experiment_of):
    def peak(precision, board):
        plan = {
            "rounds": 1,
            "strategy": FEDAVG,
            "client": {"trains": "lora", "depth": 1},
            "backbone": {"name": "bert-base", "precision": precision},
            "fleet": {"devices": {board: 1}},
        }
        return max(each.peak_memory_bytes for each in planned(experiment_of(**plan)).clients)

    fp32, int8, int4 = (peak(precision, "rpi-5") for precision in ("fp32", "int8", "int4"))
    assert fp32 > int8 > int4
    matrices = 12 * block_weights(REFERENCE_SHAPES["bert"])
    assert int8 - int4 == pytest.approx(matrices * (1 - WEIGHT_BYTES["int4"]), abs=2)
    with pytest.raises(UserError, match="jetson-tx2: no tables or rates for int8 on the processor 'default', accepted"):
        peak("int8", "jetson-tx2")


def test_seconds_are_exact_where_no_bytes_are_moved(experiment_of, run_for_real):
    free = {"options": {"bandwidth": "1e9GB/s"}}
    experiment = experiment_of(rounds=6, strategy=FEDAVG, client={"depth": 1}, link=free)
    ours, real = planned(experiment), run_for_real(experiment)
    for mine, theirs in zip(ours.rounds, real.rounds, strict=True):
        assert mine.simulated_seconds == pytest.approx(theirs.simulated_seconds, rel=1e-6)
    assert sum(each.joules for each in ours.clients) == pytest.approx(real.summary["joules"], rel=1e-6)


@pytest.mark.parametrize(
    ("judge", "measure"),
    [
        (cheapest, lambda arrays, split, at: 0.0),
        (dearest, lambda arrays, split, at: float(len(arrays)) + sum(array.size for array in arrays.values()) / 1e9),
    ],
    ids=["cheapest", "dearest"],
)
def test_a_search_costs_what_it_is_charged_when_its_trials_end_as_assumed(experiment_of, run_for_real, judge, measure):
    experiment = experiment_of(rounds=7, strategy=ADAFL, client={"depth": 0})
    ours, real = planned(experiment, judge), run_for_real(experiment, measure)
    assert_same(ours, real)
    assert ours.searches
    assert [(trial.winner, trial.configuration) for trial in ours.trials] == [
        (trial.winner, trial.configuration) for trial in real.trials
    ]


def test_with_caches_filled_beforehand_no_round_is_longer_for_want_of_one(experiment_of):
    alike = {"rounds": 12, "strategy": FEDAVG}
    without, filled = (planned(experiment_of(**alike, client={"depth": 1, "prefill": on})) for on in (False, True))
    fill = [record for record in filled.clients if record.group == "prefill"]
    assert sorted(record.partition_id for record in fill) == list(range(8))
    assert {record.server_round for record in fill} == {1}
    assert all(each.cached_batches == each.batches for each in filled.clients if each.group == "train")
    trained = [[group.seconds for record in run.rounds for group in record.groups[-1:]] for run in (filled, without)]
    assert all(mine <= other for mine, other in zip(*trained, strict=True))
    assert sum(trained[0]) < sum(trained[1])
    fill_seconds = max(record.compute_seconds for record in fill)
    assert filled.rounds[-1].simulated_seconds == pytest.approx(sum(trained[0]) + fill_seconds, rel=0.01)


def test_the_dearest_way_costs_more_than_the_cheapest(experiment_of):
    experiment = experiment_of(rounds=12, strategy=ADAFL, client={"depth": 0})
    low, high = (planned(experiment, judge).rounds[-1] for judge in (cheapest, dearest))
    assert low.configuration == {"set": "bottleneck", "depth": 0, "width": 8}
    assert high.configuration["depth"] == 2
    assert high.configuration["width"] > 8
    assert low.simulated_seconds < high.simulated_seconds


def test_a_search_follows_a_trajectory(experiment_of):
    experiment = experiment_of(rounds=15, strategy=ADAFL, client={"depth": 0})
    ours = planned(experiment, following([Segment(4, 0, 8), Segment(30, 2, 24)]))
    configurations = [(record.configuration["depth"], record.configuration["width"]) for record in ours.rounds]
    assert configurations[0] == (0, 8)
    assert configurations[-1] == (2, 24)


def test_a_run_by_the_clock_ends_when_that_says_so(experiment_of):
    experiment = experiment_of(simulated_hours=0.001, strategy=FEDAVG, client={"depth": 1})
    rounds = planned(experiment).rounds
    assert rounds[-2].simulated_seconds < 3.6 <= rounds[-1].simulated_seconds


def test_an_accuracy_alone_does_not_say_when_to_stop(experiment_of):
    with pytest.raises(UserError, match="nothing is trained: give --set rounds=N"):
        planned(experiment_of(target_accuracy=0.9, strategy=FEDAVG))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"client": {"depth": 3}}, r"client\.depth = 3: the encoder has 2 blocks"),
        ({"strategy": {"name": "fedavg", "options": {"clients_per_round": 9}}}, r"clients_per_round = 9: more than"),
        ({"client": {"options": {"learnig_rate": 1}}}, "did you mean 'learning_rate'"),
        ({"client": {"name": "clients.adapter:adapter"}}, "is not known until it runs"),
        ({"fleet": {"devices": {"jetson-tx3": 1}}}, "unknown device 'jetson-tx3'"),
    ],
)
def test_what_a_run_would_refuse_a_plan_refuses(experiment_of, keys, message):
    with pytest.raises(UserError, match=message):
        planned(experiment_of(rounds=2, **{"strategy": FEDAVG} | keys))


def test_more_rounds_than_can_be_planned_are_refused_before_the_first(experiment_of):
    with pytest.raises(UserError, match=r"^rounds = 1000000: an estimate plans at most 100000"):
        planned(experiment_of(rounds=10**6, strategy=FEDAVG))


def test_a_clock_that_hardly_moves_does_not_plan_for_ever(experiment_of, monkeypatch):
    monkeypatch.setattr("fedlab.estimate.experiment.dry_run._MOST_ROUNDS", 3)
    with pytest.raises(UserError, match=r"^simulated_hours: 3 rounds take "):
        planned(experiment_of(simulated_hours=1e6, strategy=FEDAVG))
