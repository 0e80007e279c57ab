"""The pulse of a node: a file that is touched whenever it asks for work, and says whether it has some."""

from pathlib import Path
from typing import Literal

from fedlab.clock import age_seconds

# A node without work asks every three seconds, and sits still while its client app computes.
_LONGEST_SECONDS = {"waiting": 60.0, "working": 3600.0}


def beat(folder: Path, doing: Literal["waiting", "working"]) -> None:
    """Note what the node is doing now."""
    (folder / "pulse").write_text(doing)


def forget(folder: Path) -> None:
    """Forget what a node was doing before it was started again: until it has asked for work it has no pulse."""
    (folder / "pulse").unlink(missing_ok=True)


def beats(folder: Path) -> bool:
    """Tell whether a node has asked for work lately, or has some that is not hopelessly old."""
    path = folder / "pulse"
    try:
        return age_seconds(path) < _LONGEST_SECONDS.get(path.read_text(), 0.0)
    except OSError:
        return False
