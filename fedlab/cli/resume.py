"""What `fedlab run --resume` may change of a run: when it ends, and what does not touch its results."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedlab.errors import UserError

if TYPE_CHECKING:
    from fedlab.config.schema import Experiment
    from fedlab.results.folder import RunFolder

_CHANGEABLE = (
    "rounds", "simulated_hours", "target_accuracy", "evaluation.patience", "on_divergence", "checkpoint.every",
)  # fmt: skip


def changed_experiment(folder: "RunFolder", settings: Sequence[str]) -> "Experiment":
    """Return a run's experiment with settings that say when it ends.

    Raises:
        UserError: a setting is of something else, or is not accepted, or the run has done more rounds already.
    """
    from fedlab.config.file import load_experiment, parse_setting  # noqa: PLC0415  (keeps the command line quick)

    for setting in settings:
        key, _ = parse_setting(setting)
        if key not in _CHANGEABLE:
            raise UserError(
                f"--set {setting}: --resume goes on with the same experiment; accepted: {', '.join(_CHANGEABLE)}"
            )
    experiment = load_experiment(folder.experiment, settings)
    done = len(folder.rounds())
    if settings and experiment.rounds is not None and experiment.rounds < done:
        raise UserError(f"{folder.path}: has done {done} rounds, more than rounds = {experiment.rounds}")
    return experiment


def goes_on(folder: "RunFolder", experiment: "Experiment") -> bool:
    """Tell whether a run that has ended does not end there by a changed experiment.

    Raises:
        UserError: it cannot go on, as it was repriced, or has no checkpoint that can be read.
    """
    from fedlab.config.file import load_experiment  # noqa: PLC0415

    if load_experiment(folder.experiment) == experiment:
        return False
    if source := (folder.summary() or {}).get("repriced_from"):
        raise UserError(f"{folder.path}: was billed anew from {source}, without training; go on with that run")
    from fedlab.server.checkpoint import load_tree  # noqa: PLC0415  (imports Flower, which takes seconds)

    load_tree(folder.checkpoint)
    return True


def reopen(folder: "RunFolder", experiment: "Experiment") -> "RunFolder":
    """Make a run that has ended an unfinished one of a changed experiment; return its folder."""
    Path(folder.summary_file).unlink(missing_ok=True)  # first: a kill in between leaves the run as it was begun
    folder.write_experiment(experiment)
    return folder
