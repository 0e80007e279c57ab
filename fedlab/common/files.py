"""Text files and folders: what is wrong with one is said in a line.

A file is written so that a reader sees the whole of it, or what was there.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedlab.errors import UserError


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        UserError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read: not UTF-8 text") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a path beside `path` to write to; what is there in the end takes its place."""
    partial = partial_of(path)
    yield partial
    partial.replace(path)


def partial_of(path: Path) -> Path:
    """Return where a file lies until it is whole, and stays if its writer is killed."""
    return path.with_name(f"{path.name}.partial")


def replace_text(path: Path, text: str) -> None:
    """Write a text in place of an earlier one. Raises `OSError`."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_new(path: Path, text: str) -> None:
    """Write a text to a new file, whose folder need not exist.

    Raises:
        UserError: the file exists, or cannot be written.
    """
    refuse_existing(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, text)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def provide_folder(folder: Path, said: str) -> None:
    """Make a folder unless it is there; `said` is what named it, in the words of its user.

    Raises:
        UserError: it cannot be made, or not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{said}: cannot make this folder: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{said}: cannot write to this folder")


def refuse_existing(path: Path, option: str = "--out") -> None:
    """Raise a UserError if there is anything at a path that is to be written, which `option` said."""
    if path.exists() or path.is_symlink():
        raise UserError(f"{path}: exists already and is not overwritten; choose another {option}")
