"""All that a page says of a run, read from its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlab.data.report import DataReport
from fedlab.results.folder import RunFolder
from fedlab.results.html.label_map import read_data_report
from fedlab.results.records import ClientRecord, RoundRecord, TrialRecord
from fedlab.results.report import summarise


@dataclass(frozen=True, kw_only=True)
class RunRecords:
    """A run's records with its experiment; `summary` is of the rounds so far while the run has not ended.

    `place` is where the run folder is, or will be, for the commands on the page.
    """

    place: Path
    experiment: Mapping[str, Any]
    rounds: Sequence[RoundRecord]
    trials: Sequence[TrialRecord]
    clients: Sequence[ClientRecord]
    summary: Mapping[str, Any]
    ended: bool
    data: DataReport | None
    deployed: bool
    environment: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the experiment, or of the folder."""
        return str(self.experiment.get("name") or self.place.name)

    @property
    def score(self) -> str:
        """What accuracies of this run are: the score that its task names."""
        return str(self.summary.get("scored_by") or "accuracy")


def read_run(folder: RunFolder) -> RunRecords:
    """Return what a run folder holds, of a run that goes on the rounds so far. Raises `UserError`."""
    return with_records(folder, folder.rounds(), folder.trials(), folder.clients())


def with_records(
    folder: RunFolder,
    rounds: Sequence[RoundRecord],
    trials: Sequence[TrialRecord],
    clients: Sequence[ClientRecord],
    *,
    place: str | None = None,
) -> RunRecords:
    """Return what a run folder holds whose records are read already; `place` is where it will be.

    Raises `UserError`.
    """
    summary = folder.summary()
    known = summary if summary is not None else summarise(rounds, trials, clients, status="not ended")
    return RunRecords(
        place=Path(place) if place else folder.path,
        experiment=folder.experiment_table(),
        rounds=rounds,
        trials=trials,
        clients=clients,
        summary=known,
        ended=summary is not None,
        data=read_data_report(folder),
        deployed=folder.deployed(),
        environment=folder.environment_table(),
    )
