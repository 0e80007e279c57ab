"""Passes come back from records and from the text of a reply as they were, and anything else is refused in a line."""

import json
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.errors import UserError
from fedlab.workload.encoding import passes_from_text, passes_to_text, plain_pass, read_pass
from fedlab.workload.passes import FORMATS, WHOLE, Optimiser, Pass, TrainedSpec, bottleneck, lora
from fedlab.workload.workload import training_passes

CACHED = training_passes(
    batches=29, cached_batches=20, batch_size=4, input_shape=(64,), model_blocks=12, depth=2, trained=bottleneck(8)
)
FORWARD = ["forward", 9, 4, [64], [0, 12]]

names = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)
sizes = st.integers(1, 10**9)
specs = st.one_of(
    st.just(TrainedSpec()),
    st.just(WHOLE),
    st.builds(bottleneck, sizes),
    st.builds(
        lora,
        sizes,
        st.lists(names, min_size=1),
        st.sampled_from(get_args(Optimiser)),
    ),
)


@st.composite
def passes(draw) -> Pass:
    backward, cached = draw(st.booleans()), draw(st.booleans())
    first = draw(st.integers(0, 40)) if backward or cached else 0
    return Pass(
        kind="backward" if backward else "forward",
        count=draw(st.integers(0, 10**9)),
        batch_size=draw(sizes),
        input_shape=draw(st.one_of(st.tuples(sizes), st.tuples(sizes, sizes, sizes))),
        blocks=range(first, first + draw(st.integers(0, 40))),
        cached=cached and not backward,
        trained=draw(specs) if backward else TrainedSpec(),
        format=draw(st.sampled_from(FORMATS)),
        processor=draw(names),
        checkpointing=backward and draw(st.booleans()),
        scored_tokens=draw(st.one_of(st.none(), st.just(1))),
        held_values=0 if backward else draw(st.integers(0, 10**12)),
    )  # fmt: skip


@given(st.lists(passes(), max_size=4))
def test_passes_come_back_as_they_were(given_passes):
    assert passes_from_text(passes_to_text(given_passes)) == tuple(given_passes)
    recorded = json.loads(json.dumps([plain_pass(each) for each in given_passes]))
    assert [read_pass(each) for each in recorded] == given_passes
    assert [each.blocks.start for each in map(read_pass, recorded)] == [each.blocks.start for each in given_passes]


def test_the_text_that_is_billed_is_short():
    assert passes_to_text(CACHED) == (
        '[["forward",9,4,[64],[0,12]],'
        '["backward",9,4,[64],[10,12],false,{"kind":"bottleneck","width":8}],'
        '["forward",20,4,[64],[10,12],true],'
        '["backward",20,4,[64],[10,12],false,{"kind":"bottleneck","width":8}]]'
    )


def test_a_record_names_the_values_and_leaves_out_what_is_as_by_default():
    assert plain_pass(CACHED[0]) == {
        "kind": "forward", "count": 9, "batch_size": 4, "input_shape": [64], "blocks": [0, 12],
    }  # fmt: skip
    assert plain_pass(CACHED[3])["trained"] == {"kind": "bottleneck", "width": 8}
    adam = replace(CACHED[3], trained=lora(8, ["q"], "adam"), checkpointing=True, scored_tokens=0)
    assert plain_pass(adam)["trained"] == {"kind": "lora", "rank": 8, "targets": ["q"], "optimiser": "adam"}
    assert (plain_pass(adam)["checkpointing"], plain_pass(adam)["scored_tokens"]) == (True, 0)


NONSENSE = {
    "no JSON": ("nonsense", "passes is not JSON"),
    "lists without end": ("[" * 60_000, "passes is not JSON"),
    "more than there is room for": (" " * 65_537, "passes has 65537 characters, expected at most 65536"),
    "a number": ("3", "passes is 3, expected a list"),
    "a mapping": ('{"kind":"forward"}', "expected a list"),
    "a pass in words": ('["forward"]', "a pass is 'forward', expected a list"),
    "a deep list": (json.dumps([["forward", [[[[[[[[[1]]]]]]]]]]]), "a pass has no batch_size"),
    "too few values": ('[["forward",1,4,[64]]]', "a pass has no blocks, expected kind, count, batch_size"),
    "too many values": (json.dumps([[*FORWARD, False, {}, "fp32", "default", False, 1, 1, 1]]), "a pass has 13 values"),
    "a shape that is a number": ('[["forward",1,4,64,[0,12]]]', "input_shape is 64, expected a list"),
    "an unknown kind": ('[["jvp",1,4,[64],[0,12]]]', "kind is 'jvp'"),
    "half a batch": ('[["forward",2.5,4,[64],[0,12]]]', "count is 2.5"),
    "not a number": ('[["forward",NaN,4,[64],[0,12]]]', "count is nan"),
    "truth for a count": ('[["forward",true,4,[64],[0,12]]]', "count is True"),
    "an endless number": (f'[["forward",{"9" * 4000},4,[64],[0,12]]]', "count is 999"),
    "no block range": ('[["forward",1,4,[64],[0,12,2]]]', "blocks is [0, 12, 2], expected [first, past the last]"),
    "truth for a block": ('[["forward",1,4,[64],[false,12]]]', "blocks is [False, 12]"),
    "blocks in words": ('[["forward",1,4,[64],["a","b"]]]', "blocks is ['a', 'b']"),
    "an unknown axis": (
        '[["backward",1,4,[64],[0,12],false,{"kind":"whole","depth":2}]]',
        "trained has an unknown key 'depth', expected kind, width, rank, targets",
    ),
    "a set that is not one": ('[["backward",1,4,[64],[0,12],false,"whole"]]', "trained is 'whole', expected a mapping"),
    "targets in a word": (
        '[["backward",1,4,[64],[0,12],false,{"kind":"lora","rank":4,"targets":"query"}]]',
        "trained.targets is 'query', expected a list",
    ),
    "a null": ('[["forward",1,4,[64],[0,12],null]]', "cached is None"),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_anything_else_is_refused_in_a_line(case):
    text, problem = NONSENSE[case]
    with pytest.raises(UserError) as caught:
        passes_from_text(text)
    assert problem in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 300


def test_a_record_with_an_unknown_key_is_refused():
    with pytest.raises(UserError, match="a pass has an unknown key 'method', expected kind, count"):
        read_pass(plain_pass(CACHED[0]) | {"method": "adapter"})
    with pytest.raises(UserError, match="a pass is 3, expected a mapping"):
        read_pass(3)


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text()),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    )
)
def test_no_json_whatever_raises_anything_but_a_user_error(value):
    for listed in (value, [value], [[*FORWARD[:4], value]], [[*FORWARD, value]], [[value, *FORWARD[1:]]]):
        try:
            found = passes_from_text(json.dumps(listed))
        except UserError:
            continue
        assert all(isinstance(each, Pass) for each in found)
