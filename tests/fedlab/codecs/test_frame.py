"""Frames: bytes with names and shapes where these are not known, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.codecs.codec import GarbledError
from fedlab.codecs.frame import read_frame, write_frame

LAYOUTS = st.dictionaries(
    st.text(max_size=8), st.none() | st.lists(st.integers(0, 99), max_size=3).map(tuple), min_size=1
)


@given(payload=st.binary(max_size=50), layout=st.none() | LAYOUTS)
def test_what_is_framed_comes_back_in_order(payload, layout):
    found_payload, found_layout = read_frame(write_frame(payload, layout))
    assert bytes(found_payload) == payload
    assert (found_layout and list(found_layout.items())) == (layout and list(layout.items()))


def test_a_frame_whose_layout_is_known_takes_four_bytes_more_than_what_is_in_it():
    assert len(write_frame(b"12345")) == 9


@given(data=st.binary(max_size=60))
def test_whatever_the_bytes_a_frame_is_read_or_refused(data):
    try:
        read_frame(np.frombuffer(data, np.uint8))
    except GarbledError:
        return
    assert len(data) >= 4


@pytest.mark.parametrize(
    "head",
    [b'{"xyz":1}', b"1", b'[["x"]]', b'[["x",[-1]]]', b'[["x",["y"]]]', b"[[", b"\xff", b"[" * 100_000, b'[["x",1]]'],
)
def test_a_layout_that_is_none_is_refused(head):
    data = np.array([len(head)], "<u4").tobytes() + head
    with pytest.raises(GarbledError, match="the layout is wrong"):
        read_frame(np.frombuffer(data, np.uint8))
