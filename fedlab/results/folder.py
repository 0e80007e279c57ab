"""A run folder: the files a run writes, and how they are read back."""

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import tomli_w

from fedlab.common.durable import sync_folder
from fedlab.common.files import parse_json, parse_toml, read_text, replace_text
from fedlab.common.short_text import shortened
from fedlab.errors import DamagedError, UserError
from fedlab.results.checked import Summary, check_fields
from fedlab.results.old_records import Line, RecordKind, trained_set, upgraded
from fedlab.results.records import (
    CandidateRecord,
    ClientRecord,
    GroupRecord,
    RoundRecord,
    ShiftRecord,
    StepRecord,
    TrialRecord,
)

if TYPE_CHECKING:
    from fedlab.config.schema import Experiment

RECORD_FILES = ("rounds.jsonl", "clients.jsonl", "trials.jsonl", "steps.jsonl")

_Record = TypeVar("_Record")
# What reading a line raises that somebody has changed.
_NO_RECORD = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)


@dataclass(frozen=True)
class RunFolder:
    """The files of one run. Files that a run writes later need not exist yet."""

    path: Path

    @property
    def experiment(self) -> Path:
        """The experiment as resolved: defaults filled in and overrides applied."""
        return self.path / "experiment.toml"

    @property
    def environment(self) -> Path:
        """The package versions and the machine of the run."""
        return self.path / "environment.json"

    @property
    def rounds_file(self) -> Path:
        """One `RoundRecord` a line."""
        return self.path / "rounds.jsonl"

    @property
    def clients_file(self) -> Path:
        """One `ClientRecord` a line."""
        return self.path / "clients.jsonl"

    @property
    def trials_file(self) -> Path:
        """One `TrialRecord` a line."""
        return self.path / "trials.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The folder a run is resumed from."""
        return self.path / "checkpoint"

    @property
    def client_states(self) -> Path:
        """The folder of the state that simulated clients keep between messages; the checkpoint refers to it."""
        return self.path / "states"

    @property
    def adapter(self) -> Path:
        """The folder of the final adapters, in their library's own format."""
        return self.path / "adapter"

    @property
    def model(self) -> Path:
        """The folder of the final model in transformers' own format, where whole blocks were trained."""
        return self.path / "model"

    @property
    def final(self) -> Path:
        """The final arrays of the global model."""
        return self.path / "final.safetensors"

    @property
    def best(self) -> Path:
        """The arrays of the global model after its best round, by validation."""
        return self.path / "best.safetensors"

    @property
    def best_model(self) -> Path:
        """The folder of that model, as that of the final one: `adapter` or `model`."""
        return self.path / "best"

    @property
    def plot(self) -> Path:
        """Accuracy against simulated time."""
        return self.path / "accuracy.png"

    @property
    def shifts_plot(self) -> Path:
        """The shifts of each layer over the steps, where clients recorded them."""
        return self.path / "shifts.png"

    @property
    def data(self) -> Path:
        """What was read of the data, as JSON."""
        return self.path / "data.json"

    @property
    def data_plot(self) -> Path:
        """The share of each label by client."""
        return self.path / "data.png"

    @property
    def generations_file(self) -> Path:
        """A few texts that a language model wrote before and after training."""
        return self.path / "generations.json"

    @property
    def start_file(self) -> Path:
        """The measures of the first model, by split and name, where it was scored before round 1."""
        return self.path / "start.json"

    @property
    def report(self) -> Path:
        """The report of the run, a page for a browser."""
        return self.path / "report.html"

    @property
    def client_totals(self) -> Path:
        """What each client did and spent over the whole run, one line per client."""
        return self.path / "client_totals.csv"

    @property
    def summary_file(self) -> Path:
        """The results of the run; written last."""
        return self.path / "summary.json"

    @property
    def log(self) -> Path:
        """The messages of the run."""
        return self.path / "run.log"

    def results(self) -> list[Path]:
        """Return what tells of the run's results and is there: its report, records and adapter, but no whole model."""
        files = (self.experiment, self.environment, self.summary_file, self.report, self.plot, self.client_totals)
        records = [self.path / name for name in RECORD_FILES]
        return [path for path in (*files, *records, self.log, self.adapter) if path.exists()]

    def records_file(self, kind: RecordKind) -> Path:
        """One record of this kind a line."""
        return self.path / f"{kind}.jsonl"

    def rounds(self) -> list[RoundRecord]:
        """Return the rounds recorded so far; raises `UserError` with the file and line of a broken record."""
        return self._read("rounds", _round)

    def clients(self) -> list[ClientRecord]:
        """Return the clients' parts recorded so far; raises as `rounds` does."""
        return self._read("clients", lambda line: _built(ClientRecord, line))

    def trials(self) -> list[TrialRecord]:
        """Return the trials recorded so far; raises as `rounds` does."""
        return self._read("trials", _trial)

    def steps(self) -> list[StepRecord]:
        """Return the exchanges recorded so far that a strategy judged; raises as `rounds` does."""
        return self._read("steps", lambda line: _built(StepRecord, line))

    def shifts(self) -> list[ShiftRecord]:
        """Return the shifts recorded so far, of clients that train in integers; raises as `rounds` does."""
        return self._read("shifts", lambda line: _built(ShiftRecord, line))

    def written_lines(self, kind: RecordKind) -> list[Line]:
        """Return the lines of a file of records as they were written, by whatever version; raises as `rounds` does."""
        return list(_lines(self.records_file(kind), lambda line: line))

    def upgraded_lines(self, kind: RecordKind) -> list[Line]:
        """Return the lines of a file of records with the fields of this version; raises as `rounds` does."""
        return self._read(kind, lambda line: line)

    def remove_unbegun(self) -> None:
        """Remove the folder of a run that has not come to the end of a round, so that there is nothing to resume."""
        if not (self.checkpoint.exists() or (self.rounds_file.exists() and self.rounds_file.stat().st_size)):
            shutil.rmtree(self.path, ignore_errors=True)

    def _read(self, kind: RecordKind, build: Callable[[Line], _Record]) -> list[_Record]:
        trained = trained_set(_readable_lines(self.clients_file))
        return list(_lines(self.records_file(kind), lambda line: build(upgraded(kind, line, trained))))

    def experiment_table(self) -> dict[str, Any]:
        """Return the experiment as it stands in its file, not validated; raises `UserError` if it is not TOML."""
        return parse_toml(read_text(self.experiment), f"{self.experiment}: not valid TOML")

    def summary(self) -> dict[str, Any] | None:
        """Return the results of the run, None while it has not ended; raises `DamagedError` if they are not."""
        if not self.summary_file.exists():
            return None
        found = _json_object(self.summary_file)
        try:
            check_fields(Summary, found)
        except TypeError as error:
            raise DamagedError(f"{self.summary_file}: not a summary of a run: {error}") from error
        return found

    def environment_table(self) -> dict[str, Any]:
        """Return the package versions and the machine of the run, empty if unknown; raises as `summary` does."""
        return _json_object(self.environment) if self.environment.exists() else {}

    def deployed(self) -> bool:
        """Tell whether the run was on real machines instead of simulated; raises `UserError` as `summary` does."""
        return self.environment_table().get("deployed") is True

    def write_experiment(self, experiment: "Experiment") -> None:
        """Write the resolved experiment; fields that are None are left out, because TOML has no null."""
        replace_text(self.experiment, tomli_w.dumps(experiment.model_dump(mode="json", exclude_none=True)))

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Write the package versions and the machine of the run."""
        replace_text(self.environment, json.dumps(environment, indent=2) + "\n")

    def write_engine(self, engine: Mapping[str, Any]) -> None:
        """Write what the simulation cost this machine: its workers, and their seconds by kind of work."""
        replace_text(self.path / "engine.json", json.dumps(engine, indent=2) + "\n")

    def write_generations(self, when: str, texts: Sequence[Mapping[str, str]]) -> None:
        """Write what a language model wrote `when`: before or after training; keep what it wrote at the other time."""
        known = self.generations() if self.generations_file.exists() else []
        known = known if len(known) == len(texts) else [{} for _ in texts]
        joined = [
            {**old, "prompt": text["prompt"], "response": text["response"], when: text["written"]}
            for old, text in zip(known, texts, strict=True)
        ]
        replace_text(self.generations_file, json.dumps({"texts": joined}, indent=1) + "\n")

    def generations(self) -> list[dict[str, str]]:
        """Return the texts that a language model wrote, none for other tasks; raises `DamagedError`."""
        if not self.generations_file.exists():
            return []
        texts = _json_object(self.generations_file).get("texts")
        if not isinstance(texts, list) or not all(
            isinstance(each, dict) and all(isinstance(value, str) for value in each.values()) for each in texts
        ):
            raise DamagedError(f"{self.generations_file}: expected a list of texts")
        return texts

    def write_start(self, measures: Mapping[str, Mapping[str, float]]) -> None:
        """Write the measures of the first model, by split and name."""
        replace_text(self.start_file, json.dumps(measures, indent=2) + "\n")

    def start(self) -> dict[str, dict[str, float]] | None:
        """Return the measures of the first model, None if it was not scored; raises `DamagedError`."""
        if not self.start_file.exists():
            return None
        found = _json_object(self.start_file)
        try:
            check_fields(Summary, {"start": found})
        except TypeError as error:
            raise DamagedError(f"{self.start_file}: {error}") from error
        return found

    def append_log(self, line: str) -> None:
        """Append a line to run.log, where no recorder has it open."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the results of the run; a reader sees all of them or none."""
        replace_text(self.summary_file, json.dumps(summary, indent=2) + "\n")


def create(path: Path) -> RunFolder:
    """Create a run folder, with its parents, that belongs to this process alone.

    An empty folder is used as it is. Raises `UserError` if the folder holds anything, if another process takes it at
    the same moment, or if it cannot be created.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot make this folder: {error.strerror}") from error
    try:
        _make_or_adopt(path)
        # The claim: of several processes that find the folder empty, only one creates this file.
        with (path / RECORD_FILES[0]).open("xb"):
            pass
        sync_folder(path.parent)
    except FileExistsError as error:
        raise UserError(f"{path}: not a new or empty folder; choose another --out, or use --resume") from error
    except OSError as error:
        raise UserError(f"{path}: cannot make the run folder: {error.strerror}") from error
    return RunFolder(path)


def next_free(path: Path) -> Path:
    """Return the path if it does not exist, else the first of path-2, path-3, ... that does not."""
    candidates = itertools.chain([path], (path.with_name(f"{path.name}-{number}") for number in itertools.count(2)))
    return next(candidate for candidate in candidates if not candidate.exists())


def open_run(path: Path) -> RunFolder:
    """Return the run folder at a path; raises `UserError` if it is missing, unreadable or not a run folder."""
    folder = RunFolder(path)
    if not path.exists():
        raise UserError(f"{path}: no such run folder")
    if not path.is_dir():
        raise UserError(f"{path}: a file; expected a run folder, as written by `fedlab run`")
    if not os.access(path, os.R_OK | os.X_OK):
        raise UserError(f"{path}: cannot be read: permission denied")
    if not folder.experiment.is_file():
        raise UserError(f"{path}: not a run folder (no {folder.experiment.name}); expected one written by `fedlab run`")
    return folder


def _make_or_adopt(path: Path) -> None:
    try:
        os.mkdir(path)
    except FileExistsError:
        if not path.is_dir() or any(path.iterdir()):
            raise


def _lines(path: Path, build: Callable[[Line], _Record]) -> Iterator[_Record]:
    # The newline is written last: a line without one was cut short when the process was killed.
    whole, _, _ = read_text(path).rpartition("\n") if path.exists() else ("", "", "")
    for number, line in enumerate(whole.split("\n") if whole else [], start=1):
        try:
            yield build(_object(line))
        except _NO_RECORD as error:
            said = shortened(str(error), 160)
            raise DamagedError(f"{path}, line {number}: not a record of this version of fedlab: {said}") from error


def _readable_lines(path: Path) -> Iterator[Line]:
    """Yield the records of a file, one by one, up to the first that cannot be read."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                yield _object(line)
            except _NO_RECORD:
                return


def _object(line: str) -> Line:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise TypeError("expected a JSON object")
    return value


def _round(line: Line) -> RoundRecord:
    groups = [_built(GroupRecord, group) for group in line["groups"]]
    return _built(RoundRecord, line | {"groups": groups})


def _trial(line: Line) -> TrialRecord:
    candidates = [_built(CandidateRecord, candidate) for candidate in line["candidates"]]
    return _built(TrialRecord, line | {"candidates": candidates})


def _built(kind: type[_Record], line: Line) -> _Record:
    """Return a record; raises TypeError if a field is missing, unknown or of another type."""
    check_fields(kind, line)
    return kind(**line)


def _json_object(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(read_text(path), f"{path}: not valid JSON")
    except UserError as error:
        raise DamagedError(str(error)) from error
    if not isinstance(value, dict):
        raise DamagedError(f"{path}: expected a JSON object")
    return value
