"""Writes that survive a power failure: what is synced is on the disk, and what is not may be lost, in part or whole.

A file's content and its name are two things: the name is part of the folder. So a new file counts once it is synced,
and then its folder.
"""

import errno
import os
from pathlib import Path


def sync_file(path: Path) -> None:
    """Return when a file's content is on the disk."""
    _sync(path, os.O_RDONLY)


def sync_folder(path: Path) -> None:
    """Return when the names in a folder, and what they stand for, are on the disk."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def sync_tree(path: Path) -> None:
    """Return when a file or folder is on the disk with all that is in it; its own name is its parent's to sync."""
    if not path.is_dir():
        sync_file(path)
        return
    for each in path.iterdir():
        sync_tree(each)
    sync_folder(path)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot, for folders
            raise
    finally:
        os.close(descriptor)
