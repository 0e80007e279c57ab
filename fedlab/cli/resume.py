"""The settings that `fedlab run --resume` accepts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedlab.errors import UserError
from fedlab.server.extend import CHANGEABLE, check_end

if TYPE_CHECKING:
    from fedlab.config.schema import Experiment
    from fedlab.results.folder import RunFolder


def changed_experiment(folder: "RunFolder", settings: Sequence[str]) -> "Experiment":
    """Return a run's experiment with settings that say when it ends.

    Raises:
        UserError: a setting is of something else, or is not accepted, or the run has done more rounds already; or it
            is a run on real machines, which is not resumed as a simulated one.
    """
    from fedlab.config.file import load_experiment, parse_setting  # noqa: PLC0415  (keeps the command line quick)

    for setting in settings:
        key, _ = parse_setting(setting)
        if key not in CHANGEABLE:
            raise UserError(
                f"--set {setting}: --resume goes on with the same experiment; accepted: {', '.join(CHANGEABLE)}"
            )
    if folder.deployed() and (settings or folder.summary() is None):
        raise UserError(
            f"{folder.path}: a run on real machines; resume it there: `flwr run` with run='{folder.path.name}' and the"
            " same settings, or a later end such as more rounds"
        )
    experiment = load_experiment(folder.experiment, settings)
    if settings:
        check_end(folder, experiment)
    return experiment
