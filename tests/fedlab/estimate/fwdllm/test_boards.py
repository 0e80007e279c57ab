"""FwdLLM's boards: each figure has a standing, and nothing is taken from another processor or format."""

import tomllib

import pytest

from fedlab.errors import UserError
from fedlab.estimate.fwdllm.boards import BilledBoard, billed_board, billed_boards, priced

PHONE = "pixel-7-pro"


def seconds(board, processor, method, backbone="distilbert-base", number_format="fp32") -> float:
    return priced(board, processor, number_format, method, backbone).seconds.value


def test_the_boards_are_the_phone_and_the_tx2():
    assert billed_boards() == ("jetson-tx2", PHONE)


@pytest.mark.parametrize("name", billed_boards())
def test_every_figure_says_where_it_comes_from(name):
    board = billed_board(name)
    for formats in board.processors.values():
        for entry in formats.values():
            figures = [figure for by_backbone in entry.seconds.values() for figure in by_backbone.values()]
            assert figures or entry.like.source
            assert all(figure.provenance == "published" or figure.source for figure in figures)


@pytest.mark.parametrize(
    ("backbone", "processor", "value"),
    [
        ("distilbert-base", "cpu", 3.35942),
        ("bert-base", "gpu", 0.7978),
        ("albert-base", "npu", 0.6384),
        ("roberta-large", "npu", 1.339808),
    ],
)
def test_a_perturbation_on_the_phone_takes_the_published_seconds(backbone, processor, value):
    assert seconds(PHONE, processor, "forward", backbone) == value


def test_int8_on_the_npu_takes_a_third_of_the_seconds_and_two_bytes_a_parameter():
    whole, third = (priced(PHONE, "npu", each, "forward", "bert-base") for each in ("fp32", "int8"))
    assert third.seconds.value == pytest.approx(whole.seconds.value / 3)
    assert (whole.parameter_bytes, third.parameter_bytes) == (4, 2)
    assert third.seconds.provenance.level == "assumed"


@pytest.mark.parametrize("method", ["full", "adapter", "bitfit", "fedadapter", "forward", "fedavg"])
def test_the_tx2_is_5_8_times_as_fast_as_the_phones_cpu_in_all_methods(method):
    for backbone in ("distilbert-base", "bert-base", "albert-base", "roberta-large"):
        expected = seconds(PHONE, "cpu", method, backbone) / 5.8
        assert seconds("jetson-tx2", "gpu", method, backbone) == pytest.approx(expected)


def test_the_standing_of_a_derived_figure_is_that_of_the_least_sure_of_its_sources():
    level = [
        priced("jetson-tx2", "gpu", "fp32", "full", backbone).seconds.provenance.level
        for backbone in ("bert-base", "roberta-large")
    ]
    assert level == ["published", "scaled"]


def test_default_is_the_processor_that_trains():
    assert seconds(PHONE, "default", "full") == seconds(PHONE, "cpu", "full")
    assert seconds("jetson-tx2", "default", "full") == seconds("jetson-tx2", "gpu", "full")


def test_fedavg_takes_the_seconds_of_adapters():
    assert seconds(PHONE, "cpu", "fedavg") == seconds(PHONE, "cpu", "adapter")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rpi-4b", "cpu", "fp32", "forward"), "--device: FwdLLM has no figures of 'rpi-4b': .*accepted: jetson-tx2"),
        ((PHONE, "dsp", "fp32", "forward"), "no 'dsp' of pixel-7-pro, accepted: cpu, gpu, npu"),
        (("jetson-tx2", "cpu", "fp32", "full"), "no 'cpu' of jetson-tx2, accepted: gpu"),
        ((PHONE, "npu", "int4", "forward"), "the npu of pixel-7-pro has no figures in int4, accepted: fp32, int8"),
        ((PHONE, "cpu", "int8", "forward"), "the cpu of pixel-7-pro has no figures in int8, accepted: fp32"),
        ((PHONE, "npu", "fp32", "full"), "no seconds of full on the npu of pixel-7-pro in fp32, accepted there: forw"),
        ((PHONE, "gpu", "fp32", "fedavg"), "no seconds of fedavg on the gpu"),
        ((PHONE, "npu", "int8", "bitfit"), "no seconds of bitfit on the npu of pixel-7-pro in int8"),
    ],
)
def test_what_is_not_published_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        priced(*arguments, "bert-base")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('default_processor = "npu"', "is not one of its processors"),
        ("[processors.gpu.fp32.seconds.full]\nbert-base = 1.0", "expected either seconds, or like"),
    ],
)
def test_a_board_file_that_contradicts_itself_is_refused(change, message):
    text = """
description = "x"
batch_size = 8
default_processor = "gpu"
forward_transfers = 2
computing_watts = 5
communicating_watts = 4
[processors.gpu.fp32]
parameter_bytes = 4
like = { board = "b", processor = "c", format = "fp32", divisor = 2, provenance = "scaled", source = "s" }
"""
    text = text.replace('default_processor = "gpu"', change) if change.startswith("default") else text + change
    with pytest.raises(ValueError, match=message):
        BilledBoard.model_validate(tomllib.loads(text))
