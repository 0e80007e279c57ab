"""Sweeps, comparisons and estimates from Python."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fedlab.common.ending import ResumableCommand
from fedlab.compare.options import options_from
from fedlab.compare.runs import find_runs
from fedlab.compare.summary import Comparison
from fedlab.compare.summary import compare as compare_runs
from fedlab.compare.write import write
from fedlab.config.file import load_experiment
from fedlab.config.schema import Experiment
from fedlab.errors import RunFailedError
from fedlab.scripting.run import Run

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SweptRuns:
    """The runs of a sweep by the names of its cells, and their comparison."""

    folder: Path
    runs: dict[str, Run]
    comparison: "pd.DataFrame"


def sweep(
    file: str | Path,
    *,
    out: str | Path | None = None,
    parallel: int = 1,
    settings: Sequence[str] = (),
    quiet: bool = False,
) -> SweptRuns:
    """Run the unfinished cells of a sweep file, compare all, and return them.

    `settings` are as those of `--set`, such as `"rounds=5"`. Cells run in processes of their own, `parallel` at a time.

    Raises:
        UserError: the file is wrong, the folder is another sweep's, or a cell's experiment has changed.
        RunFailedError: a cell failed, or the cells cannot be compared.
    """
    from fedlab.sweep.display import choose_sweep_display  # noqa: PLC0415  (seconds of imports)
    from fedlab.sweep.sweep import run_sweep  # noqa: PLC0415

    display = choose_sweep_display(Console(), plain=quiet)
    with ResumableCommand() as command, display:
        command.resumed_by("the same call")
        place = None if out is None else Path(out)
        result = run_sweep(Path(file), out=place, parallel=parallel, settings=settings, observers=[display])
    if result.failed:
        raise RunFailedError(f"cell {result.failed[0].name}: {result.failed[0].reason}")
    if result.comparison is None:
        raise RunFailedError(f"{result.folder}: the cells are finished, but cannot be compared: {result.trouble}")
    runs = {cell.name: Run.open(result.folder / cell.name) for cell in result.cells}
    return SweptRuns(folder=result.folder, runs=runs, comparison=_table(result.comparison))


def compare(runs: Sequence[Run | str | Path], **options: Any) -> "pd.DataFrame":
    """Compare runs by what their methods took to reach shares of the full-convergence accuracy.

    A run may also be a folder of runs, or `"LABEL=FOLDER"`. The options are those of `fedlab compare`: `targets`,
    `full_accuracy`, `reference`, `baseline`, `split`, `smooth` and `oracle`.

    Raises:
        UserError: a folder holds no run, or an option is not accepted.
        RunFailedError: no run has measured its accuracy on the split.
    """
    asked = options_from(options, "compare()")
    folders = [str(each.folder if isinstance(each, Run) else each) for each in runs]
    return _table(compare_runs(find_runs(folders, asked.split), asked))


def estimate(experiment: Experiment | str | Path, *, batches: int | None = None, labels: int = 20) -> dict[str, Any]:
    """Return what an experiment costs without training it, as `fedlab estimate FILE --json`.

    `batches` is what a client trains on in a round; None: as many as its examples are, which are read and counted.

    Raises:
        UserError: the experiment cannot be planned.
    """
    from fedlab.estimate.experiment.estimate import estimate_experiment  # noqa: PLC0415  (seconds of imports)

    found = experiment if isinstance(experiment, Experiment) else load_experiment(Path(experiment))
    return estimate_experiment(found, trajectory=None, batches=batches, labels=labels).plain()


def _table(comparison: Comparison) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415  (half a second)

    return pd.read_csv(io.StringIO(write(comparison, "csv")))
