"""The heartbeat of a node: a file that is touched whenever it asks for work, and says for how long that holds."""

from pathlib import Path

from fedlab.common.clock import age_seconds

# A node without work asks every three seconds. With some it sits still while its client app computes, and nobody sees
# from outside whether that gets anywhere: it may do so for as long as its answer counts, but not for longer than this.
_WAITING_SECONDS = 60.0
_LONGEST_SECONDS = 3600.0


def write_heartbeat(folder: Path, lasts_seconds: float | None = None) -> None:
    """Note that the node is waiting, or at work that somebody waits for so long."""
    text = f"{_WAITING_SECONDS if lasts_seconds is None else min(lasts_seconds, _LONGEST_SECONDS)}"
    (folder / "heartbeat").write_text(text)


def clear_heartbeat(folder: Path) -> None:
    """Forget what a node was doing before it was started again: until it has asked for work it has no heartbeat."""
    (folder / "heartbeat").unlink(missing_ok=True)


def is_alive(folder: Path) -> bool:
    """Tell whether a node has asked for work lately, or has some that is not hopelessly old."""
    path = folder / "heartbeat"
    try:
        return age_seconds(path) < float(path.read_text())
    except (OSError, ValueError):
        return False
