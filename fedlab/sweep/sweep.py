"""A sweep: run, skip, resume or reprice every cell, then compare all cells."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fedlab.compare.grouping import identity_of
from fedlab.compare.page import comparison_page
from fedlab.compare.runs import find_runs
from fedlab.compare.summary import Comparison, compare
from fedlab.compare.write import TableFormat, write
from fedlab.config.schema import Experiment
from fedlab.errors import RunFailedError, UserError
from fedlab.results.html.write_report import try_report
from fedlab.server.assemble import assemble
from fedlab.sweep.file import Sweep, SweepCell, load_sweep
from fedlab.sweep.folder import CellState, SweepFolder, claim_sweep, only_here
from fedlab.sweep.processes import CellProcesses
from fedlab.sweep.work import Processes, SweepObserver, SweepWork

_FILES: Mapping[str, TableFormat] = {"comparison.md": "markdown", "comparison.csv": "csv", "comparison.json": "json"}


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """The result of a sweep; `trouble` and `unreported` say why its cells could not be compared, or have no page."""

    folder: Path
    cells: tuple[CellState, ...]
    comparison: Comparison | None
    trouble: str | None = None
    unreported: str | None = None

    @property
    def failed(self) -> list[CellState]:
        """The cells that failed."""
        return [cell for cell in self.cells if cell.status == "failed"]


def run_sweep(
    path: Path,
    *,
    out: Path | None = None,
    parallel: int = 1,
    settings: Sequence[str] = (),
    repricing: bool = True,
    observers: Sequence[SweepObserver] = (),
    processes: Processes | None = None,
) -> SweepResult:
    """Run the unfinished cells of a sweep file, compare all cells, and return the result.

    `out` defaults to runs/NAME; a sweep that was begun there is resumed. A cell that differs from a finished one only
    in boards and links is repriced from it if its training cannot depend on these, unless `repricing` is off. A failed
    cell does not stop the others. All names in the cells are resolved before anything is run or written.

    Raises:
        UserError: the file is wrong, the folder is not this sweep's, or a cell's experiment has changed since.
        RunFailedError: the sweep was interrupted; the same call resumes it.
    """
    sweep = load_sweep(path, settings)
    check_cells(sweep.cells)
    folder = claim_sweep(out if out is not None else Path("runs") / sweep.name)
    with only_here(folder):
        work = SweepWork(
            sweep,
            folder,
            observers,
            parallel=parallel,
            repricing=repricing,
            processes=processes or CellProcesses(),
        )
        work.run()
        cells = tuple(work.states.values())
        try:
            comparison = _compared(sweep, folder)
        except (UserError, RunFailedError) as error:
            return SweepResult(folder=folder.path, cells=cells, comparison=None, trouble=str(error))
        unreported = _report(comparison, folder)
    return SweepResult(folder=folder.path, cells=cells, comparison=comparison, unreported=unreported)


def check_cells(cells: Sequence[SweepCell]) -> None:
    """Assemble the cells' experiments, once for all cells that name the same things.

    Raises:
        UserError: a cell names something that does not exist or does not fit; the message names the cell.
    """
    for cell in {_named(cell.experiment): cell for cell in reversed(cells)}.values():
        try:
            assemble(cell.experiment)
        except UserError as error:
            raise UserError(f"cell {cell.name}: {error}") from error


def _named(experiment: Experiment) -> str:
    tables = {"strategy", "client", "fleet", "link", "availability", "codec"}
    return identity_of([experiment.model_dump(mode="json", include=tables), experiment.task.partition.clients])


def _compared(sweep: Sweep, folder: SweepFolder) -> Comparison:
    """Compare the cells that have begun, and write tables and plots into the sweep's folder."""
    from fedlab.compare.plots.draw import plot_comparison  # noqa: PLC0415  (matplotlib)

    begun = [folder.run(cell.name) for cell in sweep.cells if folder.run(cell.name).rounds_file.is_file()]
    if not begun:
        raise RunFailedError("nothing to compare: no cell has begun")
    comparison = compare(find_runs([str(run.path) for run in begun], sweep.comparison.split), sweep.comparison)
    for name, form in _FILES.items():
        folder.write(name, write(comparison, form))
    plot_comparison(comparison, folder.path / "plots")
    return comparison


def _report(comparison: Comparison, folder: SweepFolder) -> str | None:
    """Write the page of the comparison into the sweep's folder; return in one line why it cannot be."""
    place = str(folder.path)
    page = partial(comparison_page, comparison, [place])
    return try_report(folder.path / "report.html", page, shlex.join(["fedlab", "report", place]))
