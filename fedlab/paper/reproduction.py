"""The published tables by name: the recomputed part of each, and the experiment that trains a small variant."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from fedlab.config.ready import experiments_folder
from fedlab.errors import UserError
from fedlab.estimate.experiment.examples import count_examples
from fedlab.paper.cells import PaperCell, Section
from fedlab.paper.figures import Disagreement, Figures, published_figures
from fedlab.paper.fwdllm.figures import fwdllm_figures
from fedlab.paper.fwdllm.tables import FWDLLM_TABLES
from fedlab.paper.mandheling.figures import mandheling_figures
from fedlab.paper.mandheling.tables import MANDHELING_TABLES
from fedlab.paper.names import PublishedTable, TaskName
from fedlab.paper.tables import COST_TABLES
from fedlab.sweep.file import SweepCell, load_sweep

_TRAINED = (
    *("table2", "table5", "figure6", "figure7"),
    *("fwdllm-time", "fwdllm-pacing", "fwdllm-scaling"),
    "mandheling-table8",
)
_TASKS: Mapping[str, TaskName] = {
    "20NEWS": "20news",
    "AGNEWS": "agnews",
    "SEMEVAL": "semeval",
    "W-NUT 17": "ontonotes",
}


def sections_of(name: PublishedTable) -> list[Section]:
    """Return the recomputed part of a table or figure.

    Raises:
        UserError: a required file is missing.
    """
    if name in FWDLLM_TABLES:
        return FWDLLM_TABLES[name](fwdllm_figures())
    if name in MANDHELING_TABLES:
        return MANDHELING_TABLES[name](mandheling_figures())
    figures = published_figures()
    return _data_sets(figures) if name == "table4" else COST_TABLES[name](figures)


def disagreements_of(name: PublishedTable) -> list[Disagreement]:
    """Return the contradictions between the sources of a table or figure."""
    papers = (published_figures(), fwdllm_figures(), mandheling_figures())
    return [each for paper in papers for each in paper.disagreements if name in each.tables]


def mini_of(name: str, task: TaskName) -> Path | None:
    """Return the experiment that trains a small variant of a table or figure, None if no training is needed.

    Raises:
        UserError: there is no variant for this task, or the experiments that come with fedlab are missing.
    """
    if task != "20news" and name != "table5":
        raise UserError(f"--task {task}: only table5 is trained on {', '.join(get_args(TaskName))}; {name} is not")
    if name not in _TRAINED:
        return None
    return _experiment(f"{name}-mini.toml" if task == "20news" else f"{name}-{task}-mini.toml")


def _experiment(name: str) -> Path:
    path = experiments_folder() / "paper" / name
    if not path.is_file():
        raise UserError(f"{path}: missing: install fedlab again, or run a checkout of its repository")
    return path


def _data_sets(figures: Figures) -> list[Section]:
    """Return Table 4: the available data sets compared with the study's."""
    cells = [cell for each in load_sweep(_experiment("table4-mini.toml")).cells for cell in _data_set(figures, each)]
    return [Section(title="Table 4: available data sets, and the study's", unit="number of", cells=tuple(cells))]


def _data_set(figures: Figures, cell: SweepCell) -> list[PaperCell]:
    label = cell.experiment.label or cell.name
    task, held = figures.tasks[_TASKS[label]], count_examples(cell.experiment)
    row = label if label == task.name else f"{label} for {task.name}"
    ours = {"clients": len(held.num_examples), "labels": held.labels, "samples": sum(held.splits.values())}
    return [
        PaperCell(row=row, column=what, ours=number, paper=float(getattr(task, what))) for what, number in ours.items()
    ]
