"""The heartbeat of a node: a file written whenever the node asks for work, with the seconds it is valid for."""

from pathlib import Path

from fedlab.common.clock import age_seconds

# An idle node asks for work every three seconds. A node at work is silent while its client app computes, so its
# heartbeat is valid for as long as its reply can count, but not for longer than this.
_WAITING_SECONDS = 60.0
_LONGEST_SECONDS = 3600.0


def write_heartbeat(folder: Path, lasts_seconds: float | None = None) -> None:
    """Write a heartbeat of an idle node, or of a node at work whose reply counts for `lasts_seconds`."""
    text = f"{_WAITING_SECONDS if lasts_seconds is None else min(lasts_seconds, _LONGEST_SECONDS)}"
    (folder / "heartbeat").write_text(text)


def clear_heartbeat(folder: Path) -> None:
    """Remove the heartbeat of before a restart: a node has none until it has asked for work."""
    (folder / "heartbeat").unlink(missing_ok=True)


def is_alive(folder: Path) -> bool:
    """Tell whether a node's heartbeat is still valid."""
    path = folder / "heartbeat"
    try:
        return age_seconds(path) < float(path.read_text())
    except (OSError, ValueError):
        return False
