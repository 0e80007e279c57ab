"""A pass that makes no sense cannot be made; what is wrong with it is told in a line."""

import pytest

from fedlab.errors import UserError
from fedlab.workload.passes import NOTHING, WHOLE, Pass, TrainedSpec, bottleneck, format_of, lora

GOOD = {"kind": "forward", "count": 3, "batch_size": 4, "input_shape": (64,), "blocks": range(12)}

NONSENSE = {
    "an unknown kind": ({"kind": "jvp"}, "kind is 'jvp', expected one of forward, backward"),
    "a negative count": ({"count": -1}, "count is -1, expected a whole number from 0 to 1000000000"),
    "an absurd count": ({"count": 10**12}, "count is 1000000000000, expected"),
    "a truth value for a count": ({"count": True}, "count is True"),
    "half a batch": ({"count": 2.5}, "count is 2.5"),
    "batches of nothing": ({"batch_size": 0}, "batch_size is 0, expected a whole number from 1"),
    "no tokens": ({"input_shape": (0,)}, "input_shape is 0, expected a whole number from 1"),
    "a shape of two sizes": ({"input_shape": (3, 32)}, "input_shape is (3, 32), expected (tokens,) or (channels,"),
    "a list for a shape": ({"input_shape": [64]}, "input_shape is [64], expected (tokens,)"),
    "blocks that end before they start": ({"blocks": range(5, 3)}, "blocks is range(5, 3), expected a range"),
    "blocks below the first": ({"blocks": range(-2, 3)}, "blocks is range(-2, 3)"),
    "every second block": ({"blocks": range(0, 12, 2)}, "blocks is range(0, 12, 2)"),
    "blocks from nowhere": ({"blocks": range(6, 12)}, "blocks is range(6, 12), expected those from block 0 on"),
    "blocks as a list": ({"blocks": [0, 12]}, "blocks is [0, 12]"),
    "an unknown format": ({"format": "fp8"}, "format is 'fp8', expected one of fp32, fp16, bf16, int8, int4"),
    "a format that cannot be looked up": ({"format": []}, "format is []"),
    "a processor without a name": ({"processor": ""}, "processor is '', expected a name of up to 64"),
    "a name with a line break": ({"processor": "a\nb"}, r"processor is 'a\nb'"),
    "a name that cannot be written": ({"processor": "\ud800"}, r"processor is '\ud800'"),
    "a cache in words": ({"cached": "yes"}, "cached is 'yes', expected true or false"),
    "a cache behind": ({"kind": "backward", "cached": True}, "cached is True, expected true or false, and false for a"),
    "a forward pass that trains": ({"trained": WHOLE}, "expected a TrainedSpec, and none for a forward pass"),
    "recomputing ahead": ({"checkpointing": True}, "checkpointing is True, expected true or false, and false for a"),
    "recomputing in words": ({"kind": "backward", "checkpointing": "yes"}, "checkpointing is 'yes', expected true or"),
    "more scores than tokens": ({"scored_tokens": 65}, "scored_tokens is 65, expected a whole number from 0 to 64"),
    "less than nothing held": (
        {"held_values": -1},
        "held_values is -1, expected a whole number from 0 to 10",
    ),
    "what is held for a way back": (
        {"kind": "backward", "held_values": 1},
        "held_values is 1, expected a whole number",
    ),
    "what is trained in words": (
        {"kind": "backward", "trained": "whole"},
        "trained is 'whole', expected a TrainedSpec",
    ),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_is_refused_naming_the_value_and_what_is_accepted(case):
    changes, problem = NONSENSE[case]
    with pytest.raises(UserError) as caught:
        Pass(**GOOD | changes)
    assert problem in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"kind": "magic"}, "trained.kind is 'magic', expected one of none, bottleneck, lora, bias, whole"),
        ({"kind": "bottleneck"}, "trained.width is 0, expected a whole number from 1"),
        ({"kind": "bottleneck", "width": True}, "trained.width is True"),
        ({"kind": "whole", "width": 8}, "trained.width is 8, expected nothing for this kind"),
        ({"kind": "lora", "targets": ("query",)}, "trained.rank is 0, expected a whole number from 1"),
        ({"kind": "lora", "rank": 4}, "trained.targets is (), expected names of projections for lora"),
        ({"kind": "lora", "rank": 4, "targets": ["query"]}, "trained.targets is ['query']"),
        ({"kind": "lora", "rank": 4, "targets": ("query", 3)}, "trained.targets is 3, expected a name"),
        ({"kind": "bias", "targets": ("query",)}, "trained.targets is ('query',), expected names of projections for"),
        ({"kind": "whole", "optimiser": "lion"}, "trained.optimiser is 'lion', expected one of sgd, momentum, adam"),
        ({"kind": "bias", "rank": False}, "trained.rank is False, expected nothing for this kind"),
    ],
)
def test_what_is_trained_has_the_axes_of_its_kind_and_no_others(spec, problem):
    with pytest.raises(UserError) as caught:
        TrainedSpec(**spec)
    assert problem in str(caught.value)


def test_images_stored_activations_and_no_blocks_at_all_are_passes_too():
    images = Pass(**GOOD | {"input_shape": (3, 32, 32), "count": 0})
    stored = Pass(**GOOD | {"blocks": range(6, 12), "cached": True})
    head = Pass(**GOOD | {"kind": "backward", "blocks": range(12, 12)})
    pairs = TrainedSpec(kind="lora", rank=4, targets=("query", "value"))
    assert (images.count, len(stored.blocks), len(head.blocks), head.trained) == (0, 6, 0, NOTHING)
    assert (lora(4, ["query", "value"]), bottleneck(8)) == (pairs, TrainedSpec(kind="bottleneck", width=8))


@pytest.mark.parametrize(
    ("precision", "encoder", "decoder"),
    [("fp32", "fp32", "fp32"), ("bf16", "fp32", "bf16"), ("int8", "int8", "int8"), ("int4", "int4", "int4")],
)
def test_passes_are_billed_in_the_format_of_the_weights_but_for_encoders_in_bf16(precision, encoder, decoder):
    assert format_of(precision, is_decoder=False) == encoder
    assert format_of(precision, is_decoder=True) == decoder
