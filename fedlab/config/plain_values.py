"""What any value of an experiment can be, whatever its key: plain, finite, and of a size that a person would write.

Keys have narrower ranges of their own. These hold for options of plugins, too, so that no number that overflows, no
path that the system refuses and no nesting without end reaches the code that works with a value.
"""

import math
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from fedlab.common.short_text import short, shortened

LARGEST_WHOLE = 2**63 - 1  # what TOML and a seed of torch hold
_LARGEST, _SMALLEST = 1e30, 1e-30  # products and quotients of a few such numbers are finite, and above 0
_DEEPEST = 32  # tables and lists within each other
_LONGEST_TEXT = 4096  # as a path
_LONGEST_PART = 255  # as a file name, in bytes
_MOST_VALUES = 100_000


def check_plain(table: dict[str, Any]) -> None:
    """Raise a ValueError that names the key of the first value of a table that no experiment can have."""
    for count, (key, value) in enumerate(_values(table, "", 0)):
        problem = f"the experiment has more than {_MOST_VALUES:,} values" if count > _MOST_VALUES else _problem(value)
        if problem:
            raise ValueError(f"{shortened(key)} = {short(value)}: {problem}")


def _values(value: Any, key: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        raise ValueError(f"{shortened(key)}: more than {_DEEPEST} tables or lists within each other")
    if isinstance(value, dict):
        for name, each in value.items():
            yield f"{key}.{shortened(str(name))}".removeprefix("."), name
            yield from _values(each, f"{key}.{shortened(str(name))}".removeprefix("."), depth + 1)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _values(each, key, depth + 1)
    else:
        yield key, value


def _problem(value: object) -> str | None:
    """Return what is accepted in place of a value, None if it can be one."""
    match value:
        case bool() | None | BaseModel():  # a table that was checked when it was made
            return None
        case int():
            return None if abs(value) <= LARGEST_WHOLE else "expected a whole number of at most 63 bits"
        case float():
            fits = value == 0 or (math.isfinite(value) and _SMALLEST <= abs(value) <= _LARGEST)
            return None if fits else f"expected 0 or a finite number from {_SMALLEST:g} to {_LARGEST:g}"
        case str():
            return _problem_of_text(value)
    return f"a {type(value).__name__}, expected text, a number, true or false, a list or a table"


def _problem_of_text(text: str) -> str | None:
    if len(text) > _LONGEST_TEXT:
        return f"{len(text):,} characters, expected at most {_LONGEST_TEXT:,}"
    if "\0" in text:
        return "expected text without a NUL character"
    try:
        longest = max(len(part.encode()) for part in text.split("/"))
    except UnicodeEncodeError:
        return "expected text in UTF-8"
    return None if longest <= _LONGEST_PART else f"{longest} bytes without a '/', expected at most {_LONGEST_PART}"
