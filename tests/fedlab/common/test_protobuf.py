"""Sizes of Protocol Buffers fields are those of the encoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.common.protobuf import field_bytes, varint_bytes


@pytest.mark.parametrize(
    ("number", "size"), [(0, 1), (1, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (2**63, 10)]
)
def test_a_varint_has_seven_bits_a_byte(number, size):
    assert varint_bytes(number) == size


@pytest.mark.parametrize(("length", "size"), [(0, 2), (127, 129), (128, 131)])
def test_a_field_has_a_tag_a_length_and_its_content(length, size):
    assert field_bytes(length) == size


@given(st.integers(0, 2**64 - 1))
def test_a_varint_is_as_long_as_its_encoding(number):
    encoded = [number >> shift & 0x7F for shift in range(0, 64, 7)]
    assert varint_bytes(number) == max((at + 1 for at, bits in enumerate(encoded) if bits), default=1)
