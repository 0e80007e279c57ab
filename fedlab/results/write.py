"""What is written of a run that has ended: its picture, its clients' totals and its summary."""

from collections.abc import Mapping
from typing import Any

from fedlab.config.schema import Experiment
from fedlab.results.digests import digest_records
from fedlab.results.folder import RunFolder
from fedlab.results.plots import plot_accuracy
from fedlab.results.report import client_totals, shift_totals, summarise, totals_csv
from fedlab.results.shift_plot import plot_shifts


def write_results(
    folder: RunFolder, experiment: Experiment, *, status: str, arrays_digest: str | None, more: Mapping[str, Any]
) -> dict[str, Any]:
    """Write them from the records in the folder, the summary last; return it. It ends with what there is `more`."""
    rounds, trials, clients = folder.rounds(), folder.trials(), folder.clients()
    plot_accuracy(rounds, trials, folder.plot, score=experiment.task.scored_by)
    shifts = folder.shifts()
    if shifts:
        plot_shifts(shifts, folder.shifts_plot)
    folder.client_totals.write_text(totals_csv(client_totals(clients)))
    came = summarise(
        rounds,
        trials,
        clients,
        status=status,
        arrays_digest=arrays_digest,
        records_digest=digest_records(folder),
    )
    about = {"name": experiment.name, "seed": experiment.seed, "scored_by": experiment.task.scored_by}
    start = folder.start()
    found = ({} if start is None else {"start": start}) | ({"shifts": shift_totals(shifts)} if shifts else {})
    summary = about | came | found | dict(more)
    folder.write_summary(summary)
    return summary
