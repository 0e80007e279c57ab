"""Cache folders: named for their content, written once, and safe if several processes write the same one."""

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fedlab.common.durable import sync_folder, sync_tree


def publish(folder: Path, write: Callable[[Path], None], *, needs: Sequence[str] = ()) -> Path:
    """Create `folder` atomically: call `write` on an empty temporary folder, then rename it; return `folder`.

    Readers never see a partly written folder, nor does a power failure leave one. An existing folder, also one that
    another process made meanwhile, is kept, unless it lacks one of the files that it `needs`: someone has cleaned the
    cache, but not all of it.
    """
    if folder.is_dir():
        if all((folder / name).is_file() for name in needs):
            return folder
        shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        write(temporary)
        sync_tree(temporary)
        temporary.chmod(0o755)  # mkdtemp makes folders private to their owner; the cache may be shared
        temporary.rename(folder)
        sync_folder(folder.parent)
    except OSError:
        if not folder.is_dir():  # renaming onto a non-empty folder fails: another process was faster
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on a folder, which is created if needed; other processes wait for it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
