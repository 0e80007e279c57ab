"""What FwdLLM's methods train follows from the shape of the encoder, and agrees with the artifact's numbers."""

import pytest

from fedlab.errors import UserError
from fedlab.estimate.fwdllm.backbones import ENCODERS, parameters, peak_memory_bytes

# The artifact's numbers for AGNEWS (4 labels), by method: full, adapter, bitfit, fedadapter, forward.
METHODS = ("full", "adapter", "bitfit", "fedadapter", "forward")
AGNEWS = {
    "albert-base": (11_686_660, 27_652, 13_188, 2_228, 13_188),
    "distilbert-base": (66_365_956, 450_340, 54_532, 152_164, 450_340),
    "bert-base": (109_485_316, 897_604, 105_988, 152_164, 105_988),
    "roberta-large": (354_314_244, 3_175_940, 275_460, 532_740, 275_460),
}
# The peaks of batches of 8 texts of 258 tokens, GB: full, adapter, bitfit, and inference.
PEAKS = {
    "distilbert-base": (1.485, 0.962, 1.003, 0.356),
    "bert-base": (2.750, 1.908, 1.860, 0.524),
    "albert-base": (2.458, 1.937, 1.951, 0.169),
}


def peak(backbone, method, **changes) -> int:
    asked = {"labels": 4, "batch_size": 8, "tokens": 258, "number_format": "fp32", **changes}
    return peak_memory_bytes(backbone, method, **asked)


@pytest.mark.parametrize("backbone", ENCODERS)
@pytest.mark.parametrize("method", METHODS)
def test_the_numbers_of_agnews_are_those_of_the_artifact(backbone, method):
    assert parameters(backbone, method, 4).number == AGNEWS[backbone][METHODS.index(method)]


@pytest.mark.parametrize(
    ("backbone", "row"), [("distilbert-base", 769), ("bert-base", 769), ("albert-base", 769), ("roberta-large", 1025)]
)
@pytest.mark.parametrize("method", ["full", "adapter", "bitfit", "forward", "fedavg"])
def test_every_further_label_has_a_row_of_the_head(backbone, row, method):
    assert parameters(backbone, method, 29).number - parameters(backbone, method, 4).number == 25 * row


def test_fedavg_is_billed_with_what_forward_trains():
    for backbone in ENCODERS:
        assert parameters(backbone, "fedavg", 10) == parameters(backbone, "forward", 10)


@pytest.mark.parametrize(("labels", "count"), [(4, 2228), (10, 2690), (2, 4073), (5, 2997)])
def test_fedadapter_of_albert_is_what_the_artifact_says_without_a_rule(labels, count):
    found = parameters("albert-base", "fedadapter", labels)
    assert found.number == count
    assert found.note


def test_fedadapter_of_roberta_is_billed_as_bitfit_on_the_other_two_data_sets():
    for labels in (2, 10):
        found = parameters("roberta-large", "fedadapter", labels)
        assert found.number == parameters("roberta-large", "bitfit", labels).number
        assert "as bitfit" in found.note
    assert parameters("roberta-large", "fedadapter", 5) == (532_740 + 1025, "")


def test_numbers_that_follow_from_the_shape_have_no_note():
    assert {parameters("bert-base", method, 10).note for method in METHODS} == {""}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bert-large", "full", 4), "--backbone: FwdLLM has no figures of 'bert-large': did you mean 'roberta-large'"),
        (("albert-base", "fedadapter", 1), "--labels 1: FwdLLM has no number of parameters of FedAdapter"),
    ],
)
def test_what_is_unknown_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        parameters(*arguments)


@pytest.mark.parametrize("backbone", PEAKS)
def test_peaks_are_within_20_percent_of_the_published_ones(backbone):
    ours = [peak(backbone, method) / 1e9 for method in ("full", "adapter", "bitfit")]
    assert ours == pytest.approx(PEAKS[backbone][:3], rel=0.2)
    inference = peak(backbone, "forward") - 4 * AGNEWS[backbone][-1]
    assert inference / 1e9 == pytest.approx(PEAKS[backbone][-1], rel=0.2)


def test_fedadapter_keeps_less_than_adapters_in_all_blocks_and_more_than_inference():
    for backbone in ("distilbert-base", "bert-base", "roberta-large"):
        assert peak(backbone, "forward") < peak(backbone, "fedadapter") < peak(backbone, "adapter")


def test_fine_tuning_roberta_large_does_not_fit_a_phone_of_8_gb_and_forward_does():
    assert peak("roberta-large", "full") > 8e9 > 4 * peak("roberta-large", "forward")


def test_memory_grows_with_the_batch_and_the_tokens_and_falls_with_the_format():
    usual = peak("bert-base", "forward")
    assert peak("bert-base", "forward", tokens=64) < usual < peak("bert-base", "forward", batch_size=16)
    assert peak("bert-base", "forward", number_format="int8") < usual / 2
