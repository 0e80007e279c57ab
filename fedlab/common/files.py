"""Text files and folders, with errors of one line.

Files are replaced atomically: a reader sees either the old or the new content, never a part of it.
"""

import json
import os
import shutil
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fedlab.common.durable import sync_file, sync_folder
from fedlab.common.short_text import shortened
from fedlab.errors import UserError


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        UserError: the file cannot be read, is a pipe or a device, or is not UTF-8.
    """
    check_regular(path)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read: not UTF-8 text") from error


def check_regular(path: Path) -> None:
    """Refuse what cannot be read to an end, or blocks for ever: pipes, sockets, devices.

    Raises:
        UserError: it is one of these, or the path is one that no file can have.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return  # who opens it says so
    except OSError as error:
        raise UserError(f"{shortened(str(path), 120)}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL character
        raise UserError(f"{shortened(str(path), 120)}: cannot be read: {error}") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UserError(f"{path}: a pipe, a socket or a device, expected a file")


def parse_toml(text: str, place: str) -> dict[str, Any]:
    """Return the table of a TOML text; raises UserError that begins with `place` for anything else."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, and nesting without end
        raise UserError(f"{place}: {_said(error)}") from error


def parse_json(text: str, place: str) -> Any:
    """Return the value of a JSON text; raises UserError that begins with `place` for anything else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # as above
        raise UserError(f"{place}: {_said(error)}") from error


def _said(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else shortened(str(error), 160)


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


def folder_size_bytes(folder: Path) -> int:
    """Return the bytes of a folder's files; another process may remove them at the same time."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += os.lstat(os.path.join(parent, name)).st_size
    return size


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
