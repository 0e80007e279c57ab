"""A Ray of a run's own on this machine: it starts in a process beside this one, and leaves nothing behind.

Nothing here imports Ray, so that it starts while this process still imports.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fedlab.common.machine import usable_cores
from fedlab.common.scratch import end_processes_in, scratch_folder, short_parent
from fedlab.errors import RunFailedError

# Where Ray's workers begin, and look for modules: a user's folder may hold a datasets.py.
ROOT = Path(__file__).parents[3]
_INLINE_BYTES = 2**21  # answers up to here come straight back; a trip through Ray's store costs more than copying them
LONGEST_PARENT = 20  # characters of the folder in which Ray's is: Ray adds 86, and a socket's path has at most 107
FOLDER_OF_RAY = "FEDLAB_FOLDER_OF_RAY"  # by which Ray's processes are found if this one is killed
_MODE = "RAY_AUTH_MODE"
JOINING = (_MODE, "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")  # what a user may have set
_SAID = "host.err"
_HOST = "fedlab.simulation.engine.ray_host"


@dataclass(frozen=True, kw_only=True)
class OwnRay:
    """A Ray that starts, or has started, with its files in `folder` and a number of cores for actors."""

    cores: int
    folder: Path
    host: "subprocess.Popen[str]"

    @cached_property
    def address(self) -> str:
        """The address, as soon as it is there.

        Raises:
            RunFailedError: Ray does not start on this machine.
            OSError: the system refuses what Ray needs, such as room on the disk.
        """
        assert self.host.stdout is not None
        line = self.host.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": self._last_words(), "errno": None}
        if "address" in answer:
            return str(answer["address"])
        if answer["errno"] is not None:
            raise OSError(answer["errno"], os.strerror(answer["errno"]), answer["filename"])
        raise does_not_start(answer["error"])

    def _last_words(self) -> str:
        said = (self.folder / _SAID).read_text(errors="replace").splitlines()
        return said[-1] if said else "its process was ended"


def does_not_start(reason: str) -> RunFailedError:
    """Return the error for a Ray of our own of which a part does not start, or ends at once."""
    return RunFailedError(
        f"Ray does not start on this machine: {reason.rstrip('.')}; if other programs keep it busy, run the same"
        " command again later"
    )


@contextmanager
def own_ray(workers: int | None) -> Iterator[OwnRay]:
    """Start a Ray, by default for all cores that this process may use; end it, and remove its files."""
    set_ray_options()
    require_token()
    cores = workers or usable_cores()
    with scratch_folder("ray-", parent=short_parent(LONGEST_PARENT)) as folder:
        host = _start_host(folder, cores)
        try:
            yield OwnRay(cores=cores, folder=folder, host=host)
        finally:
            host.kill()  # nothing waits for what it still does: a run has written all it keeps
            host.wait()
            end_processes_in([folder])
            for channel in (host.stdin, host.stdout):
                assert channel is not None
                channel.close()


def host_command(module: str) -> list[str]:
    """Return the words that run `main` of a module, without a path in the environment, which Ray's workers inherit."""
    run = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from {module} import main; main()"
    return [sys.executable, "-P", "-c", run]


def _start_host(folder: Path, cores: int) -> "subprocess.Popen[str]":
    with (folder / _SAID).open("w") as said:
        return subprocess.Popen(
            [*host_command(_HOST), str(folder), str(cores)],
            cwd=ROOT,
            env=os.environ | {FOLDER_OF_RAY: f"{folder}/"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,  # Ctrl-C and a closed terminal do not reach it
            text=True,
        )


def set_ray_options() -> None:
    """Set what this process and those of Ray read from the environment, as far as a user has not."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_max_direct_call_object_size", str(_INLINE_BYTES))


def require_token() -> None:
    """Let only those use the Ray who have its token, unless the user has said otherwise."""
    provide_token(Path.home() / ".ray")
    if _MODE in os.environ:
        return
    os.environ[_MODE] = "token"
    reread_mode()


def reread_mode() -> None:
    """Let Ray notice that the environment has another mode of authentication than before."""
    if "ray" in sys.modules:
        from ray._raylet import Config  # type: ignore[attr-defined]  # noqa: PLC0415

        Config.initialize("")


def provide_token(folder: Path) -> None:
    """Set a token for a Ray of our own if Ray cannot keep one in its folder, such as in a read-only home.

    All processes of a Ray have the same token; Ray finds it in the environment, or keeps it in a file.
    """
    if any(name in os.environ for name in JOINING) or (folder / "auth_token").exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
