"""Values and lines cut to a length that a terminal shows: whatever a user, a file or a plugin gave stands in errors."""

from typing import Any

LONGEST_LINE = 300  # of an error, in characters
_LONGEST_VALUE = 60
_LONGEST_WHOLE_BITS = 200
_LEFT_OUT = " ... "
_LONGEST_WORD = 25  # that a cut in the middle leaves whole


def short(value: object, most: int = _LONGEST_VALUE) -> str:
    """Return a value for a message: as Python writes it, on one line and of at most `most` characters."""
    if isinstance(value, int) and value.bit_length() >= _LONGEST_WHOLE_BITS:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, str | bytes):
        value = value[: most + 1]  # the rest would not be shown, and may be a megabyte
    try:
        text = repr(value)
    except Exception:  # of a user's own class, or nested too deep
        text = f"a {type(value).__name__}"
    return shortened(text, most)


def shortened(text: str, most: int = _LONGEST_VALUE) -> str:
    """Return a text on one line, with its end left out where it has more than `most` characters."""
    line = " ".join(text[: 2 * most].split())
    return line if len(line) <= most and len(text) <= 2 * most else f"{line[: most - 3]}..."


def error_line(message: str, most: int = LONGEST_LINE) -> str:
    """Return a message on one line; of a long one the beginning, which says where, and the end, with the remedy."""
    line = " ".join(message.split())
    if len(line) <= most:
        return line
    head = (most - len(_LEFT_OUT)) * 2 // 3
    tail = len(line) - (most - head - len(_LEFT_OUT))
    before, after = line.rfind(" ", head - _LONGEST_WORD, head + 1), line.find(" ", tail - 1, tail + _LONGEST_WORD)
    return line[: head if before < 0 else before] + _LEFT_OUT + line[tail if after < 0 else after + 1 :]


def raised(error: BaseException) -> str:
    """Return what was raised, in words: its type, and its message on one line."""
    said: Any = ""
    try:
        said = str(error)
    except Exception:  # of a user's own class
        said = ""
    said = shortened(said, 160)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
