"""Observers of a run, and the one that writes it down."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, Protocol

from fedlab.common.durable import sync_folder
from fedlab.common.file_lock import holder_of, try_lock
from fedlab.errors import DamagedError, UserError
from fedlab.results.folder import RECORD_FILES, RunFolder
from fedlab.results.records import ClientRecord, RoundRecord, ShiftRecord, StepRecord, TrialRecord, shift_records

_STEPS, _SHIFTS = "steps.jsonl", "shifts.jsonl"  # files of few runs

_AnyRecord = ClientRecord | RoundRecord | ShiftRecord | StepRecord | TrialRecord


class Observer(Protocol):
    """What is told of a run as it happens, in this order: a round's clients, the round, the trial it ends."""

    def on_clients(self, records: Sequence[ClientRecord]) -> None:
        """Take note of what the clients of a round did."""

    def on_round(self, record: RoundRecord) -> None:
        """Take note of a round that has ended."""

    def on_trial(self, record: TrialRecord) -> None:
        """Take note of a trial that has ended."""

    def on_step(self, record: StepRecord) -> None:
        """Take note of an exchange that a strategy judged, before the clients of its round."""

    def on_message(self, text: str, detail: str | None = None) -> None:
        """Take note of something worth telling a person."""


class Recorder:
    """Appends a run's records to its folder, one JSON object a line, handed to the system at once.

    Floats are written with the digits that give them back exactly. A last line cut short by an earlier process is
    dropped when the recorder opens the file, so that what follows does not stick to it.

    A run folder has one writer: from its making until it is closed, a recorder holds a lock on the folder's
    rounds.jsonl. Whatever else is written to the folder is written meanwhile.

    Most strategies judge no steps, and most clients record no shifts: these files begin with the first of them.
    """

    def __init__(self, folder: RunFolder) -> None:
        """Open the files; raises `UserError` if another process writes to the folder."""
        self._folder = folder.path
        self._files = {
            name: (folder.path / name).open("ab+")
            for name in (*RECORD_FILES, _SHIFTS)
            if name not in (_STEPS, _SHIFTS) or (folder.path / name).exists()
        }
        rounds = self._files[folder.rounds_file.name]
        if not try_lock(rounds):
            refusal = _written(folder, _holder(rounds))
            for file in self._files.values():
                file.close()
            raise refusal
        self._log = folder.log.open("a", buffering=1, encoding="utf-8")
        for name, file in self._files.items():
            file.seek(0)
            self._cut(name, file.read().rfind(b"\n") + 1)

    def on_clients(self, records: Sequence[ClientRecord]) -> None:
        """Append to clients.jsonl, and shifts that clients recorded to shifts.jsonl."""
        self._append("clients.jsonl", records)
        self.on_shifts(shift_records(records))

    def on_shifts(self, records: Sequence[ShiftRecord]) -> None:
        """Append to shifts.jsonl."""
        if records:
            self._append_to_rare(_SHIFTS, records)

    def on_round(self, record: RoundRecord) -> None:
        """Append to rounds.jsonl."""
        self._append("rounds.jsonl", [record])

    def on_trial(self, record: TrialRecord) -> None:
        """Append to trials.jsonl."""
        self._append("trials.jsonl", [record])

    def on_step(self, record: StepRecord) -> None:
        """Append to steps.jsonl."""
        self._append_to_rare(_STEPS, [record])

    def on_message(self, text: str, detail: str | None = None) -> None:
        """Append to run.log, the detail too."""
        self._log.write(text + "\n" if detail is None else f"{text}\n{detail}\n")

    def mark(self) -> dict[str, int]:
        """Return the length of each file in bytes, for a checkpoint; what is marked survives a power failure."""
        for file in self._files.values():
            os.fsync(file.fileno())
        sync_folder(self._folder)
        return dict.fromkeys(RECORD_FILES, 0) | {name: file.tell() for name, file in self._files.items()}

    def rewind(self, mark: Mapping[str, int]) -> None:
        """Forget what was written after a mark; raises `UserError` if a file does not reach back to it."""
        marked = {name: mark.get(name, 0) for name in (*RECORD_FILES, _SHIFTS)}  # earlier versions had fewer files
        for name, length in marked.items():
            if length > (self._files[name].tell() if name in self._files else 0):
                path = self._folder / name
                raise DamagedError(f"{path}: shorter than its checkpoint says; the run cannot be resumed from it")
        for name in self._files:
            self._cut(name, marked[name])

    def close(self) -> None:
        """Close the files; nothing may be recorded afterwards."""
        for file in (*self._files.values(), self._log):
            file.close()

    def _append_to_rare(self, name: str, records: Sequence[_AnyRecord]) -> None:
        if name not in self._files:
            self._files[name] = (self._folder / name).open("ab+")
        self._append(name, records)

    def _append(self, name: str, records: Iterable[_AnyRecord]) -> None:
        lines = (json.dumps(_fields(record), default=vars) + "\n" for record in records)
        self._files[name].write("".join(lines).encode())
        self._files[name].flush()

    def _cut(self, name: str, length: int) -> None:
        self._files[name].truncate(length)
        self._files[name].seek(length)


def _fields(record: _AnyRecord) -> dict[str, Any]:
    """Return the fields of a record's line; a client's shifts are lines of their own."""
    return {name: value for name, value in vars(record).items() if name != "shifts"}


def writer_of(folder: RunFolder) -> str | None:
    """Return which other process writes to a run folder, such as "process 4242"; None if no process does."""
    if not folder.rounds_file.is_file():
        return None
    with folder.rounds_file.open("rb") as file:
        return None if try_lock(file) else _holder(file)


def refuse_if_written(folder: RunFolder) -> None:
    """Raise `UserError` if another process writes to a run folder, before anything costly is done for it."""
    if writer := writer_of(folder):
        raise _written(folder, writer)


def _holder(file: IO[bytes]) -> str:
    holder = holder_of(file)
    return "another process" if holder is None else f"process {holder}"


def _written(folder: RunFolder, writer: str) -> UserError:
    return UserError(f"{folder.path}: {writer} is writing this run; wait until it has ended, or end it")
