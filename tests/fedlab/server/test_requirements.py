"""What strategies need is stated by ours, read off the options of Flower's own, and checked before a run."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from flwr.serverapp import strategy as flower
from flwr.serverapp.strategy import Strategy

from fedlab.config.file import experiment_from
from fedlab.config.schema import BackboneTable
from fedlab.devices.fleet import build_fleet
from fedlab.errors import UserError
from fedlab.models.cnn.sizes import conv_sizes
from fedlab.server.requirements import (
    Requirements,
    StatesRequirements,
    check_boards,
    check_requirements,
    requirements_of,
)
from fedlab.workload.shape import REFERENCE_SHAPES, ModelShape
from strategies.adafl import AdaFL
from strategies.fedavg import FedAvg


class Bare(Strategy):
    """A strategy that says nothing of its needs."""

    def configure_train(self, server_round, arrays, config, grid):
        return []

    def aggregate_train(self, server_round, replies):
        return None, None

    configure_evaluate, aggregate_evaluate = configure_train, aggregate_train

    def summary(self):
        pass


class Evaluating(flower.FedAvg):
    """Asks clients to evaluate whatever the fraction."""

    def configure_evaluate(self, server_round, arrays, config, grid):
        return []


def test_a_strategy_of_ours_states_what_it_needs():
    assert all(isinstance(each, StatesRequirements) for each in (FedAvg(), AdaFL()))
    assert requirements_of(FedAvg(clients_per_round=7)) == Requirements(clients_per_round=7, evaluates=False)
    assert requirements_of(AdaFL(clients_per_round=6)) == Requirements(clients_per_round=6, grows=True, evaluates=False)


def test_a_strategy_derived_from_ours_that_evaluates_is_asked_to():
    class Derived(FedAvg):
        def configure_evaluate(self, server_round, arrays, config, grid):
            return []

    assert requirements_of(Derived()).evaluates


def test_flowers_own_wait_for_the_nodes_their_options_say():
    found = requirements_of(flower.FedAdam(min_available_nodes=3, min_train_nodes=5, min_evaluate_nodes=4))
    assert found == Requirements(min_available_nodes=3, waits_for=5)


@pytest.mark.parametrize(
    ("strategy", "evaluates"),
    [
        (flower.FedAvg(), True),
        (flower.FedAvg(fraction_evaluate=0.0), False),
        (flower.FedYogi(fraction_evaluate=0.0), False),
        (Evaluating(fraction_evaluate=0.0), True),
        (Bare(), True),
    ],
)
def test_a_strategy_never_evaluates_only_if_flower_itself_says_so(strategy, evaluates):
    assert requirements_of(strategy).evaluates == evaluates


def test_a_strategy_around_another_needs_what_that_needs():
    inner = flower.FedAvg(min_available_nodes=4, fraction_evaluate=0.0)
    around = flower.DifferentialPrivacyClientSideFixedClipping(inner, 1.0, 1.0, 4)
    assert requirements_of(around) == Requirements(min_available_nodes=4, waits_for=4, evaluates=True)


def test_a_strategy_that_says_nothing_needs_one_client_of_any_kind():
    assert requirements_of(Bare()) == Requirements()


def experiment(clients=5, **client):
    return experiment_from({"rounds": 1, "task": {"partition": {"clients": clients}}, "client": client}, "test")


@pytest.mark.parametrize("option", ["clients_per_round", "min_available_nodes"])
def test_more_clients_than_there_are_is_refused_by_the_name_of_the_option(option):
    check_requirements(Requirements(**{option: 5}), experiment())
    with pytest.raises(UserError, match=rf"strategy\.options\.{option} = 6: more than there are clients \(5\)"):
        check_requirements(Requirements(**{option: 6}), experiment())


def test_waiting_for_more_nodes_than_there_are_is_no_mistake():
    check_requirements(Requirements(waits_for=6), experiment())


@pytest.mark.parametrize("client", [{}, {"trains": "lora", "axes": {"rank": 4}}], ids=["bottleneck", "lora"])
def test_a_search_takes_clients_that_train_any_set_that_grows(client):
    check_requirements(Requirements(grows=True), experiment(**client))


@pytest.mark.parametrize("client", [{"name": "freeze"}, {"trains": "head"}, {"trains": "bias"}])
def test_a_search_refuses_clients_whose_set_cannot_grow(client):
    with pytest.raises(UserError, match="is for clients that train a set that grows, such as bottleneck or lora"):
        check_requirements(Requirements(grows=True), experiment(**client))


def test_clients_that_train_something_else_are_refused():
    check_requirements(Requirements(trains="bottleneck"), experiment(name="adapter"))
    with pytest.raises(UserError, match=r"client\.name = 'freeze': trains blocks, but the strategy 'adafl' is for"):
        check_requirements(Requirements(trains="bottleneck"), experiment(name="freeze", depth=1))


LLAMA = ModelShape(family="llama", blocks=2, hidden=64, intermediate=100, heads=4, vocabulary=500)


def check_board(board, precision, shape, **client):
    settings = {"rounds": 1, "fleet": {"devices": {board: 1}}, "backbone": {"precision": precision}, "client": client}
    experiment = experiment_from(settings, "test")
    check_boards(experiment, build_fleet(experiment.fleet, 4, 0, Path()), shape)


@pytest.mark.parametrize(
    ("board", "precision", "shape"),
    [
        ("jetson-tx2", "fp32", REFERENCE_SHAPES["bert"]),
        ("jetson-tx2", "bf16", REFERENCE_SHAPES["bert"]),  # billed in fp32
        ("rpi-5", "int8", REFERENCE_SHAPES["bert"]),
        ("jetson-orin-nano", "int4", REFERENCE_SHAPES["bert"]),
        ("jetson-orin-nano", "int8", LLAMA),
        ("jetson-orin-nano", "bf16", LLAMA),
    ],
)
def test_a_board_with_figures_for_the_precision_is_accepted(board, precision, shape):
    check_board(board, precision, shape)


def test_a_board_is_checked_for_the_processor_that_clients_are_billed_for():
    check_board("snapdragon-888", "int8", LLAMA, options={"processor": "npu"})
    with pytest.raises(UserError, match="no tables or rates for fp32 on the processor 'npu', accepted: int8"):
        check_board("snapdragon-888", "fp32", REFERENCE_SHAPES["bert"], options={"processor": "npu"})
    with pytest.raises(UserError, match="jetson-tx2: no processor 'npu', accepted: default"):
        check_board("jetson-tx2", "fp32", REFERENCE_SHAPES["bert"], options={"processor": "npu"})


@pytest.mark.parametrize("shape", [REFERENCE_SHAPES["bert"], LLAMA], ids=["encoder", "decoder"])
def test_a_board_without_figures_for_the_precision_is_refused_before_any_client_trains(shape):
    with pytest.raises(UserError) as refused:
        check_board("jetson-tx2", "int8", shape)
    assert str(refused.value) == (
        "device profile jetson-tx2: no tables or rates for int8 on the processor 'default', accepted: fp32"
    )


def test_what_a_client_of_ones_own_computes_with_is_not_known_before_it_runs():
    check_board("jetson-tx2", "int8", LLAMA, name="mine.py:Client")


LENET = conv_sizes(BackboneTable(name="lenet"), (1, 28, 28), 10, base=Path()).shape


def test_a_phone_with_figures_for_networks_for_images_is_accepted_and_a_board_without_is_refused():
    check_images = {"task": {"kind": "image"}, "backbone": {"name": "lenet"}, "client": {"name": "full"}}

    def check(board):
        experiment = experiment_from({"rounds": 1, "fleet": {"devices": {board: 1}}, **check_images}, "test")
        check_boards(experiment, build_fleet(experiment.fleet, 4, 0, Path()), LENET)

    check("snapdragon-888")
    with pytest.raises(UserError, match=r"device profile jetson-tx2: .*convolutional networks"):
        check("jetson-tx2")


@pytest.mark.parametrize(("processor", "said"), [("dsp", None), ("default", None), ("npu", "on the processor 'npu'")])
def test_integer_clients_need_a_board_with_int8_for_convolutions(processor, said):
    table = {
        "rounds": 1,
        "client": {"name": "integer", "options": {"processor": processor}},
        "fleet": {"devices": {"snapdragon-888": 1}},
    }
    integers = experiment_from(table, "test")
    with nullcontext() if said is None else pytest.raises(UserError, match=said):
        check_boards(integers, build_fleet(integers.fleet, 4, 0, Path()), LENET)


@pytest.mark.parametrize(
    ("algorithm", "processor", "said"),
    [
        ("octo", "dsp", None),
        ("chunk-fp8", "cpu", None),
        (
            "chunk-fp8",
            "dsp",
            "^client.options.algorithm: 'chunk-fp8' on the processor 'dsp' of snapdragon-888: weights are floats",
        ),
        ("octo", "npu", "on the processor 'npu'"),
        ("oct", "dsp", "^algorithm 'oct': expected one of"),
    ],
)
def test_a_processor_without_the_formats_of_an_algorithm_is_refused_before_any_client_trains(
    algorithm, processor, said
):
    options = {"algorithm": algorithm, "processor": processor}
    table = {
        "rounds": 1,
        "client": {"name": "mixed-precision", "options": options},
        "fleet": {"devices": {"snapdragon-888": 1}},
    }
    mixed = experiment_from(table, "test")
    with nullcontext() if said is None else pytest.raises(UserError, match=said):
        check_boards(mixed, build_fleet(mixed.fleet, 4, 0, Path()), LENET)


@pytest.mark.parametrize(("name", "option"), [("integer", "mu"), ("mixed-precision", "learning_rate")])
def test_a_schedule_past_the_last_round_is_refused(name, option):
    def check(pairs):
        table = {"rounds": 4, "client": {"name": name, "options": {option: pairs}}}
        check_requirements(Requirements(), experiment_from(table, "test"))

    check([[0, 2], [3, 1]])
    with pytest.raises(UserError) as refused:
        check([[0, 2], [4, 1]])
    assert str(refused.value).startswith(
        f"client.options.{option}: has a value from round 4 on, counted from 0, and ther"
    )
