"""Text files and folders, with errors of one line.

Files are replaced atomically: a reader sees either the old or the new content, never a part of it.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedlab.common.durable import sync_file, sync_folder
from fedlab.errors import UserError


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        UserError: the file cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read: not UTF-8 text") from error


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder to write to, then rename it to `path`.

    If `durable`, the new content is on the disk before it has the name, and the name when this returns.
    """
    partial = partial_of(path)
    yield partial
    if durable:
        sync_file(partial)
    partial.replace(path)
    if durable:
        sync_folder(path.parent)


def partial_of(path: Path) -> Path:
    """Return the temporary path of a file while it is written; it stays if the writer is killed."""
    return path.with_name(f"{path.name}.partial")


def replace_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace the text of a file atomically; see `replacing`. Raises `OSError`."""
    with replacing(path, durable=durable) as partial:
        partial.write_text(text, encoding="utf-8")


def write_new(path: Path, text: str) -> None:
    """Write a text to a new file; its folder is created if needed.

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
    """Create a folder unless it exists; `said` is how the user named it, for the error.

    Raises:
        UserError: the folder cannot be made, or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{said}: cannot make this folder: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{said}: cannot write to this folder")


def share(source: Path, place: Path) -> None:
    """Give a file or folder a second name, if it exists; its files are copied where the disk does not allow that."""
    if source.is_dir():
        shutil.copytree(source, place, copy_function=_link)
    elif source.exists():
        _link(str(source), str(place))


def _link(source: str, place: str) -> None:
    try:
        os.link(source, place)
    except OSError:
        shutil.copy2(source, place)


def refuse_existing(path: Path, option: str = "--out") -> None:
    """Raise a UserError if something exists at a path that is to be written; `option` is the option that set it."""
    if path.exists() or path.is_symlink():
        raise UserError(f"{path}: exists already and is not overwritten; choose another {option}")
