"""A sweep's folder: a run folder for each cell, the state of each cell, and the comparison of all."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from fedlab.common.file_lock import try_lock
from fedlab.common.files import partial_of, replace_text
from fedlab.compare.grouping import flatten
from fedlab.compare.runs import SWEEP_FILE
from fedlab.config.file import experiment_from
from fedlab.config.schema import Experiment
from fedlab.errors import UserError
from fedlab.results.folder import RunFolder
from fedlab.sweep.file import SweepCell

Status = Literal["waiting", "finished", "failed"]

_SAME_RUN = ("name", "engine", "checkpoint", "tracking", "base_folder")  # keys that do not affect the result of a run


@dataclass(frozen=True, kw_only=True)
class CellState:
    """The state of a cell; `repriced_from` is the cell that it was repriced from, `reason` why it failed."""

    name: str
    status: Status
    repriced_from: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class SweepFolder:
    """The files of one sweep."""

    path: Path

    @property
    def state_file(self) -> Path:
        """The file with the state of each cell, in order."""
        return self.path / SWEEP_FILE

    def run(self, cell: str) -> RunFolder:
        """Return a cell's run folder, which need not exist yet."""
        return RunFolder(self.path / cell)

    def log(self, cell: str) -> Path:
        """Return the file for the output of a failed cell."""
        return self.path / f"{cell}.log"

    def activations(self, data: str = "") -> Path:
        """Return the folder of activations that cells with the same data and backbone share while the sweep runs."""
        return self.path / ".activations" / data

    def drop_activations(self, data: str = "") -> None:
        """Delete the stored activations of some data, or all."""
        shutil.rmtree(self.activations(data), ignore_errors=True)

    def write_states(self, name: str, states: Sequence[CellState]) -> None:
        """Write the states of the cells."""
        self.write(self.state_file.name, json.dumps({"name": name, "cells": [asdict(s) for s in states]}, indent=2))

    def write(self, name: str, text: str) -> None:
        """Replace a file atomically."""
        replace_text(self.path / name, text.rstrip("\n") + "\n")


def claim_sweep(path: Path) -> SweepFolder:
    """Make a sweep's folder, or open one to resume it.

    Raises:
        UserError: the folder contains something else, or cannot be made.
    """
    folder = SweepFolder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        strange = any(path.iterdir()) and not folder.state_file.exists()
    except OSError as error:
        raise UserError(f"{path}: cannot make the sweep's folder: {error.strerror}") from error
    if strange:
        raise UserError(f"{path}: neither a new or empty folder nor a sweep's folder; choose another --out")
    return folder


@contextmanager
def only_here(folder: SweepFolder) -> Iterator[None]:
    """Lock a sweep's folder against other processes; the lock ends with the process.

    Raises:
        UserError: another process holds the lock.
    """
    with (folder.path / "sweep.lock").open("w") as lock:
        if not try_lock(lock):
            raise UserError(f"{folder.path}: another fedlab sweep is running in it")
        yield


def cell_progress(folder: SweepFolder, cell: SweepCell) -> Literal["absent", "begun", "finished"]:
    """Return the progress of a cell.

    Raises:
        UserError: its folder is not a run folder, or has a run of another experiment.
    """
    run = folder.run(cell.name)
    if _is_empty(run):
        return "absent"
    if not run.experiment.is_file():
        raise UserError(
            f"{run.path}: not a run folder (no {run.experiment.name}); move it away, or choose another --out"
        )
    if changed := _change(run.experiment_table(), cell.experiment):
        raise UserError(
            f"{run.path}: its experiment has changed since: {changed}; move it away, or choose another --out"
        )
    return "begun" if run.summary() is None else "finished"


def _is_empty(run: RunFolder) -> bool:
    """Tell whether a run folder is empty; files of a process that was killed while it created it are removed."""
    if not run.path.exists():
        return True
    left = list(run.path.iterdir()) if run.path.is_dir() else [run.path]
    claims = (run.rounds_file.name, partial_of(run.experiment).name)
    if any(file.name not in claims or (file == run.rounds_file and file.stat().st_size) for file in left):
        return False
    for file in left:
        file.unlink()
    return True


def _change(written: Mapping[str, Any], wanted: Experiment) -> str | None:
    """Return the first difference between a written and a wanted experiment, None if there is none."""
    try:
        written = experiment_from(written, "").model_dump(mode="json", exclude_none=True)
    except UserError as error:
        return str(error).removeprefix(": ")
    was, now = _flat(written), _flat(wanted.model_dump(mode="json", exclude_none=True))
    differing = [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]
    if not differing:
        return None
    return f"{differing[0]} was {was.get(differing[0], 'not given')!r}, is {now.get(differing[0], 'not given')!r}"


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    return flatten({key: value for key, value in table.items() if key not in _SAME_RUN})
