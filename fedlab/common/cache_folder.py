"""Folders written once under the name of what is in them, safe among processes that write the same one."""

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def publish(folder: Path, write: Callable[[Path], None]) -> Path:
    """Make `folder` by calling `write` on an empty one beside it, then renaming that; return `folder`.

    Nobody sees a folder that is half written. If it is there already, or another process is faster, that one stays.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        write(temporary)
        temporary.chmod(0o755)  # mkdtemp's folders are for their owner alone; this one may be shared
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():  # renaming onto a folder with files in it fails: then another process was faster
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep out all other processes that ask for the same folder; it is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
