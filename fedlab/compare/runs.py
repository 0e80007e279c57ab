"""The runs a comparison is made of, as their folders tell."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedlab.compare.measurements import MeasuredSplit, Measurement, measurements
from fedlab.config.file import experiment_from
from fedlab.errors import UserError
from fedlab.results.folder import RunFolder, open_run
from fedlab.results.html.costs import levels_of
from fedlab.results.records import ClientRecord, RoundRecord

SWEEP_FILE = "sweep.json"  # the cells of a sweep in their order, and how each stands


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """A run: its experiment with all defaults filled in, and what it measured.

    `origin` is what it was asked for by, `label` what its method is to be called, if anybody said so. A run that was
    `repriced` was billed for other boards and links than it was trained with; one that was `deployed` ran on real
    machines, its costs are as measured. `levels` count the clients' parts by the provenance of time, energy and memory.
    """

    path: Path
    origin: str
    label: str | None
    experiment: Mapping[str, Any]
    finished: bool
    repriced: bool
    deployed: bool
    measured: tuple[Measurement, ...]
    peak_memory_bytes: int = 0  # of the client that needed most
    levels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """The seed of its random draws."""
        return int(self.experiment.get("seed", 0))


def find_runs(arguments: Sequence[str], split: MeasuredSplit) -> list[ComparedRun]:
    """Read the runs that arguments stand for: run folders, folders that hold some, and LABEL=FOLDER for either.

    A run named twice is read once.

    Raises:
        UserError: a folder neither is a run nor holds one, or the files of a run cannot be read.
    """
    found: dict[Path, ComparedRun] = {}
    for argument in arguments:
        label, path = _label_and_path(argument)
        for folder in _run_folders(path):
            earlier = found.get(folder.resolve())
            if earlier is None:
                found[folder.resolve()] = _read(folder, origin=str(path), label=label, split=split)
            elif label is not None and label != earlier.label:
                raise UserError(f"{argument}: {folder} is '{earlier.label}' already, expected one label a run")
    return list(found.values())


def run_folders(arguments: Sequence[str]) -> list[Path]:
    """Return the folders of the runs that arguments stand for, each once. Raises as `find_runs`."""
    found = [folder for argument in arguments for folder in _run_folders(_label_and_path(argument)[1])]
    return list({folder.resolve(): folder for folder in reversed(found)}.values())[::-1]


def cells_in_order(path: Path) -> list[Path]:
    """Return the run folders of a sweep's cells in the sweep's order, those that are there; none if it is no sweep."""
    try:
        cells = json.loads((path / SWEEP_FILE).read_text(encoding="utf-8"))["cells"]
        found = [path / cell["name"] for cell in cells]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [folder for folder in found if folder.is_dir()]


def _label_and_path(argument: str) -> tuple[str | None, Path]:
    label, equals, rest = argument.partition("=")
    if not equals or not label or Path(argument).exists():
        return None, Path(argument)
    if not rest:
        raise UserError(f"{argument}: no run folder after the =, expected LABEL=RUN")
    return label, Path(rest)


def _run_folders(path: Path) -> list[Path]:
    if _is_run(path):
        return [path]
    within = sorted(file.parent for file in path.rglob(RunFolder(path).rounds_file.name)) if path.is_dir() else []
    if found := [folder for folder in [*cells_in_order(path), *within] if _is_run(folder)]:
        return found
    open_run(path)
    raise UserError(f"{path}: not a run folder (no {RunFolder(path).rounds_file.name}), and none lies in it")


def _is_run(path: Path) -> bool:
    # A user's own experiment.toml may lie beside the runs made from it: it takes records to be a run.
    folder = RunFolder(path)
    return folder.experiment.is_file() and folder.rounds_file.is_file()


def _read(path: Path, *, origin: str, label: str | None, split: MeasuredSplit) -> ComparedRun:
    folder = open_run(path)
    experiment, summary = _with_defaults(folder), folder.summary()
    rounds, clients = _records(folder, summary)
    return ComparedRun(
        path=path,
        origin=origin,
        label=label or experiment.get("label"),
        experiment=experiment,
        finished=summary is not None,
        repriced="repriced_from" in (summary or {}),
        deployed=folder.deployed(),
        measured=measurements(rounds, clients, split),
        peak_memory_bytes=max((each.peak_memory_bytes for each in clients), default=0),
        levels={
            "time": levels_of(each.latency_provenance for each in clients),
            "energy": levels_of(each.energy_provenance for each in clients),
            "memory": levels_of(each.memory_provenance for each in clients),
        },
    )


def _records(folder: RunFolder, summary: Mapping[str, Any] | None) -> tuple[list[RoundRecord], list[ClientRecord]]:
    """Return a run's records; raises UserError where some are missing, for what they cost would count as nothing."""
    rounds, clients = folder.rounds(), folder.clients()
    asked = {record.server_round for record in rounds if any(group.clients for group in record.groups)}
    if missing := asked - {client.server_round for client in clients}:
        raise UserError(f"{folder.clients_file}: no record of round {min(missing)}, which had clients")
    if summary is not None and len(rounds) < summary.get("rounds", 0):
        raise UserError(f"{folder.rounds_file}: {len(rounds)} rounds, but the summary has {summary['rounds']}")
    return rounds, clients


def _with_defaults(folder: RunFolder) -> dict[str, Any]:
    """Fill in the keys that are younger than the run, so that it is the same experiment as a younger run's."""
    table = folder.experiment_table()
    try:
        return experiment_from(table, str(folder.experiment)).model_dump(mode="json", exclude_none=True)
    except UserError:
        return table  # keys of another version: what is written there is what is known
