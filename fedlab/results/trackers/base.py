"""What a tracker is, and what it is told before the first round."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fedlab.common.files import parse_json, read_text, replace_text
from fedlab.config.file import dotted_keys
from fedlab.config.schema import Experiment
from fedlab.results.folder import RunFolder

_LEFT_OUT = {"tracking", "base_folder"}  # tables that say nothing of what is learnt


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A run before its first round: its name and folder, its experiment's name and its keys, dotted, with values."""

    name: str
    folder: Path
    experiment: str
    settings: Mapping[str, Any]


class Tracker(Protocol):
    """Keeps scalars of a run, by round and simulated seconds; made with its options of the experiment file.

    Making one checks its options and connects to nothing. Whatever the other methods raise is told in one line, and
    ends the tracking, not the run.
    """

    def start(self, run: TrackedRun) -> int:
        """Begin to keep a run, or go on with it if it is resumed; return the last round that is kept already, or 0."""

    def scalars(self, values: Mapping[str, float], *, server_round: int, simulated_seconds: float) -> None:
        """Keep scalars of a round, by names such as `validation/accuracy`."""

    def event(self, text: str, *, server_round: int, simulated_seconds: float) -> None:
        """Keep a line of text, such as the outcome of a trial."""

    def end(self, summary: Mapping[str, Any] | None, files: Sequence[Path]) -> None:
        """Keep the results and files of a run that has ended, and let go of what is held.

        The summary is None, and there are no files, if the run broke off and may be resumed.
        """


def tracked_run(experiment: Experiment, folder: RunFolder) -> TrackedRun:
    """Return what trackers are told of a run before its first round. The run is named for its folder."""
    table = experiment.model_dump(mode="json", exclude=_LEFT_OUT, exclude_none=True)
    name = Path(os.path.abspath(folder.path)).name
    return TrackedRun(name=name, folder=folder.path, experiment=experiment.name, settings=dotted_keys(table))


def remembered(folder: Path, tracker: str) -> dict[str, Any]:
    """Return what a tracker has noted in a run's folder, for when the run is resumed; empty if nothing."""
    path = _memory_of(folder, tracker)
    found = parse_json(read_text(path), f"{path}: not valid JSON") if path.exists() else {}
    return found if isinstance(found, dict) else {}


def remember(folder: Path, tracker: str, **values: Any) -> None:
    """Note something in a run's folder for a tracker, in the place of what it noted before."""
    path = _memory_of(folder, tracker)
    path.parent.mkdir(exist_ok=True)
    replace_text(path, json.dumps(values) + "\n", durable=False)


def _memory_of(folder: Path, tracker: str) -> Path:
    return folder / "trackers" / f"{tracker}.json"
