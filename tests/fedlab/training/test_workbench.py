"""A client opens the workbench of the process that hosts it, and of no other."""

from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import Context, RecordDict

from fedlab.errors import UserError
from fedlab.training.workbench import HostedContext, Workbench, open_workbench


def context():
    return Context(run_id=3, node_id=4, node_config={"a": 1}, state=RecordDict(), run_config={"b": 2}, series_id=5)


def test_a_hosted_context_opens_what_its_host_does_and_is_the_same_otherwise(workbench):
    plain = context()
    hosted = HostedContext(plain, lambda: workbench)
    assert open_workbench(hosted) is workbench
    assert hosted.state is plain.state
    assert {**vars(hosted), "opener": None} == {**vars(plain), "opener": None}


def test_a_context_of_no_host_is_refused():
    with pytest.raises(UserError, match="open_workbench: this context has no workbench; expected the context that"):
        open_workbench(context())


def test_a_split_that_does_not_exist_is_no_split(workbench):
    assert len(workbench.tokens("validation")) > 0
    with pytest.raises(KeyError):
        workbench.tokens("partitions")


def bench(labels, *, is_decoder: bool, says_tokens: bool = False, precision="fp32") -> Workbench:
    """Return a workbench that has labels and knows what its model is, and nothing else."""
    network = SimpleNamespace(
        encoder=SimpleNamespace(shape=SimpleNamespace(is_decoder=is_decoder), precision=precision),
        says_tokens=says_tokens,
    )
    train = SimpleNamespace(labels=np.array(labels))
    task = SimpleNamespace(train=train, validation=train, test=train)
    return Workbench(network=network, task=task, seed=0, activations=None)


def test_the_head_over_the_vocabulary_is_billed_for_the_tokens_of_the_mean_response():
    responses = [[-100, -100, 5, 6], [-100, 7, 8, 9]]  # of 2 and 3 tokens
    assert bench(responses, is_decoder=True, says_tokens=True).scored_tokens("train") == 3
    assert bench([1, 0], is_decoder=True).scored_tokens("train") == 0
    assert bench([1, 0], is_decoder=False).scored_tokens("train") is None


def test_a_decoder_is_billed_in_the_format_of_its_weights_and_an_encoder_in_that_of_the_tables():
    assert bench([1], is_decoder=True, precision="bf16").weights_format == "bf16"
    assert bench([1], is_decoder=True).weights_format == "fp32"
    assert bench([1], is_decoder=False, precision="bf16").weights_format == "fp32"


@pytest.mark.parametrize("precision", ["int8", "int4"])
@pytest.mark.parametrize("is_decoder", [True, False])
def test_quantised_weights_are_billed_in_their_own_format(precision, is_decoder):
    assert bench([1], is_decoder=is_decoder, precision=precision).weights_format == precision
