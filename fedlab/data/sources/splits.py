"""The split that a name of a file, a folder or a hub split stands for."""

import re

SPLIT_NAMES = {  # matched at the start of a word in a name
    "train": re.compile(r"(?<![a-z])train"),
    "validation": re.compile(r"(?<![a-z])(valid|val(?![a-z])|dev)"),
    "test": re.compile(r"(?<![a-z])test"),
}


def split_name(name: str) -> str | None:
    """Return the split that a name of a file or hub split stands for: train, validation (valid, val, dev) or test."""
    return next((split for split, pattern in SPLIT_NAMES.items() if pattern.search(name.lower())), None)
