"""What all readers of data sets share: the columns they return, and the splits that names stand for.

A reader is a function from a path to columns.
"""

import re
from collections import Counter
from collections.abc import Iterable

from fedlab.errors import UserError

Columns = dict[str, list[object]]  # by column name; all lists have the same length
SPLIT_NAMES = {  # matched at the start of a word in a name
    "train": re.compile(r"(?<![a-z])train"),
    "validation": re.compile(r"(?<![a-z])(valid|val(?![a-z])|dev)"),
    "test": re.compile(r"(?<![a-z])test"),
}


def refuse_repeated(place: object, names: Iterable[str]) -> None:
    """Raise a `UserError` that names a column which occurs more than once: nothing says which one is meant."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise UserError(f"{place}: two columns are named '{repeated[0]}': rename or remove one of them")


def split_name(name: str) -> str | None:
    """Return the split that a name of a file or hub split stands for: train, validation (valid, val, dev) or test."""
    return next((split for split, pattern in SPLIT_NAMES.items() if pattern.search(name.lower())), None)
