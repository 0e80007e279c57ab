"""What is written of a run that has ended: its picture, its clients' totals, its summary and its report."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fedlab.config.schema import Experiment
from fedlab.results.digests import digest_records
from fedlab.results.folder import RunFolder
from fedlab.results.html.run_page import run_page
from fedlab.results.html.run_records import with_records
from fedlab.results.html.write_report import try_report
from fedlab.results.plots import plot_accuracy
from fedlab.results.report import client_totals, few_points, shift_totals, summarise, totals_csv
from fedlab.results.shift_plot import plot_shifts


def write_results(
    folder: RunFolder,
    experiment: Experiment,
    *,
    status: str,
    arrays_digest: str | None,
    more: Mapping[str, Any],
    tell: Callable[[str], object] | None = None,
) -> dict[str, Any]:
    """Write them from the records in the folder, and return the summary, which ends with what there is `more`.

    The summary says that the run has ended. The report comes after it, and is told of in one line if it cannot be
    written: by `tell`, or in run.log.
    """
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
    if note := few_points(rounds, trials, experiment.task.scored_by):
        (tell or folder.append_log)(note)
    records = partial(with_records, folder, rounds, trials, clients, place=more.get("run_dir"))
    if trouble := try_report(folder.report, lambda: run_page(records()), "fedlab report RUN"):
        (tell or folder.append_log)(trouble)
    return summary
