"""Sizes of Protocol Buffers fields, without encoding anything."""


def field_bytes(length: int) -> int:
    """Return the bytes of a field of so many bytes: a tag of one, the length and the field itself."""
    return 1 + varint_bytes(length) + length


def varint_bytes(number: int) -> int:
    """Return the bytes of an unsigned whole number: seven bits a byte, at least one."""
    return -(-number.bit_length() // 7) or 1
