"""Sizes of Protocol Buffers fields, computed without encoding."""


def field_bytes(length: int) -> int:
    """Return the encoded size of a field of `length` bytes: one tag byte, the length and the content."""
    return 1 + varint_bytes(length) + length


def varint_bytes(number: int) -> int:
    """Return the encoded size of an unsigned integer: seven bits a byte, at least one byte."""
    return -(-number.bit_length() // 7) or 1
