"""What may change of an experiment when its run is resumed: when it ends, and what does not touch its results."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlab.config.file import load_experiment
from fedlab.errors import UserError

if TYPE_CHECKING:
    from fedlab.config.schema import Experiment
    from fedlab.results.folder import RunFolder

CHANGEABLE = (
    "rounds", "simulated_hours", "target_accuracy", "evaluation.patience", "on_divergence", "checkpoint.every",
    "tracking.to",
)  # fmt: skip


def first_difference(now: "Experiment", then: "Experiment") -> str | None:
    """Return the first key that differs though it may not change, None if there is none.

    The experiment's folder may be another.
    """
    current, written = (_fixed(each) for each in (now, then))
    return next((key for key in current if current[key] != written[key]), None)


def changes_end(now: "Experiment", then: "Experiment") -> bool:
    """Tell whether two experiments differ in a key that may change."""
    return _end(now) != _end(then)


def check_end(folder: "RunFolder", experiment: "Experiment") -> None:
    """Raise `UserError` if a run has done more rounds than an experiment with a changed end has."""
    done = len(folder.rounds())
    if experiment.rounds is not None and experiment.rounds < done:
        raise UserError(f"{folder.path}: has done {done} rounds, more than rounds = {experiment.rounds}")


def goes_on(folder: "RunFolder", experiment: "Experiment") -> bool:
    """Tell whether an experiment with a changed end makes a run that has ended go on.

    Raises:
        UserError: it cannot go on, as it was repriced, or has no checkpoint that can be read.
    """
    if not changes_end(experiment, load_experiment(folder.experiment)):
        return False
    if source := (folder.summary() or {}).get("repriced_from"):
        raise UserError(f"{folder.path}: was repriced from {source}, without training; resume that run")
    from fedlab.server.checkpoint import load_tree  # noqa: PLC0415  (imports Flower, which takes seconds)

    load_tree(folder.checkpoint)
    return True


def reopen(folder: "RunFolder", experiment: "Experiment") -> "RunFolder":
    """Make a run that has ended an unfinished one of a changed experiment; return its folder."""
    Path(folder.summary_file).unlink(missing_ok=True)  # first: a kill in between leaves the run as it was begun
    folder.write_experiment(experiment)
    return folder


def _end(experiment: "Experiment") -> dict[str, Any]:
    """Return the values of the keys that may change."""
    table = experiment.model_dump(mode="json")
    return {key: _pop(table, key) for key in CHANGEABLE}


def _fixed(experiment: "Experiment") -> dict[str, Any]:
    """Return the values of all other keys, tables as a whole."""
    table = experiment.model_dump(mode="json")
    for key in (*CHANGEABLE, "tracking", "base_folder"):
        _pop(table, key)
    return table


def _pop(table: dict[str, Any], key: str) -> Any:
    *tables, last = key.split(".")
    for name in tables:
        table = table[name]
    return table.pop(last)
