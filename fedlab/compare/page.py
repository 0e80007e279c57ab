"""The page of a run or, of several, of their comparison."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import tomli_w

from fedlab.compare.charts import curves_chart, fronts_chart, method_names
from fedlab.compare.fronts import CostKind, front_points
from fedlab.compare.grouping import flatten, scope
from fedlab.compare.labels import differing_keys
from fedlab.compare.options import ComparisonOptions
from fedlab.compare.runs import find_runs, run_folders
from fedlab.compare.summary import Comparison, SummaryRow, compare, spread
from fedlab.compare.tables import BYTES, JOULES, SECONDS, Units, common_unit, sheets, spread_text
from fedlab.results.folder import RunFolder, open_run
from fedlab.results.html.costs import levels_of
from fedlab.results.html.parts import (
    ChartFigure,
    Choice,
    Chooser,
    CodeBlock,
    Levels,
    Page,
    PageSection,
    PageTable,
    Paragraph,
    Part,
    TableRow,
)
from fedlab.results.html.run_page import run_page
from fedlab.results.html.run_records import read_run

_KINDS: Mapping[CostKind, str] = {"time": "Time", "energy": "Energy", "traffic": "Traffic", "memory": "Memory"}
_OVER = {"time": "Time", "round": "Round", "energy": "Energy", "traffic": "Traffic"}
# They say nothing of a method: names, and what a run used of its machine.
_OF_NO_METHOD = ("name", "seed", "label", "base_folder", "engine.ray_address", "engine.activations", "engine.workers")
_UNFOLDED = 12  # runs


def page_of(arguments: Sequence[str]) -> tuple[Page, Path]:
    """Return the page of the runs that arguments stand for, and where it goes if the user does not say.

    Raises:
        UserError: a folder neither is a run nor holds one, or the files of a run cannot be read.
        RunFailedError: of several runs, none has measured its accuracy on the test split.
    """
    folders = run_folders(arguments)
    if len(folders) == 1:
        folder = open_run(folders[0])
        return run_page(read_run(folder)), folder.report
    options = ComparisonOptions()
    comparison = compare(find_runs(arguments, options.split), options)
    return comparison_page(comparison, arguments), Path("report.html")


def comparison_page(comparison: Comparison, arguments: Sequence[str]) -> Page:
    """Return the page of a comparison; `arguments` are what the user asked for."""
    rows = comparison.rows
    runs = sum(len(row.runs) for row in rows)
    sections = [
        PageSection(key="outcome", title="Outcome", parts=_outcome(comparison)),
        PageSection(key="accuracy", title="Accuracy", parts=_curves(comparison)),
        PageSection(key="fronts", title="Pareto fronts", parts=_fronts(comparison)),
        PageSection(key="targets", title="What it took to reach an accuracy", parts=_targets(comparison)),
        PageSection(key="repeat", title="Runs, and how to repeat them", parts=_runs(comparison, arguments)),
    ]
    return Page(
        kind="fedlab report of a comparison",
        title=f"{len(rows)} method{'s' * (len(rows) != 1)}, {runs} runs",
        lead="; ".join(method_names(comparison)),
        sections=sections,
        footer="Written by fedlab from the records of the runs.",
    )


def _outcome(comparison: Comparison) -> list[Part]:
    names, on_fronts = method_names(comparison), _on_fronts(comparison.rows)
    rows = [_outcome_row(names[at], row, on_fronts[at]) for at, row in enumerate(comparison.rows)]
    best = f"best {comparison.options.split} accuracy"
    headings = ["method", "on the front of", "seeds", best, "time", "energy", "traffic", "peak memory"]
    note = "mean ± standard deviation over seeds, of whole runs; a front: no other method is more accurate for less"
    table = PageTable(key="outcome-table", title="Methods", note=note, headings=headings, rows=rows, words=2)
    return [table, _provenance(comparison), *(Paragraph(text=each) for each in comparison.notes[1:])]


def _provenance(comparison: Comparison) -> PageTable:
    rows: list[TableRow] = [
        [name, *(_levels(row, figure) for figure in ("time", "energy", "memory"))]
        for name, row in zip(method_names(comparison), comparison.rows, strict=True)
    ]
    note = "clients' parts in rounds, by how their figures are known; traffic is of the messages as encoded"
    headings = ["method", "time", "energy", "memory"]
    title = "Where these figures come from"
    return PageTable(key="provenance-table", title=title, note=note, headings=headings, rows=rows, words=4)


def _outcome_row(name: str, row: SummaryRow, fronts: Sequence[str]) -> TableRow:
    last = [run.measured[-1] for run in row.runs]
    return [
        f"{name} *" if row.unfinished else name,
        ", ".join(fronts) or "-",
        str(len(row.seeds)),
        spread_text(row.best),
        _quantity((each.seconds for each in last), SECONDS),
        _quantity((each.joules for each in last if each.joules > 0), JOULES),
        _quantity((float(each.num_bytes) for each in last), BYTES),
        _quantity((float(run.peak_memory_bytes) for run in row.runs if run.peak_memory_bytes), BYTES),
    ]


def _quantity(values: Iterable[float], units: Units) -> str:
    """Return mean and deviation with their unit."""
    found = spread(values)
    if found is None:
        return "unknown"
    size, unit = common_unit([found.mean], units)
    return f"{spread_text(found, size)} {unit}"


def _levels(row: SummaryRow, figure: str) -> Levels:
    counts = Counter[str]()
    for run in row.runs:
        counts.update(run.levels.get(figure, {}))
    return levels_of(counts.elements())


def _on_fronts(rows: Sequence[SummaryRow]) -> list[list[str]]:
    """Return for each method the costs on whose front it is."""
    found: list[list[str]] = [[] for _ in rows]
    for kind, name in _KINDS.items():
        for at in dict.fromkeys(each.row for each in front_points(rows, kind) if each.on_front):
            found[at].append(name.lower())
    return found


def _curves(comparison: Comparison) -> list[Part]:
    chart = curves_chart(comparison)
    chooser = Chooser(key="over", title="Draw over", choices=[Choice(key=key, title=_OVER[key]) for key in chart.specs])
    caption = (
        f"{comparison.options.split.capitalize()} accuracy: thick lines are means over seeds, thin ones the seeds."
        " Shift and the wheel zoom, a double click goes back."
    )
    return [chooser, ChartFigure(chart=chart, caption=caption, chooser="over", height=380)]


def _fronts(comparison: Comparison) -> list[Part]:
    chart = fronts_chart(comparison, list(_KINDS))
    chooser = Chooser(
        key="against",
        title="Accuracy against",
        choices=[Choice(key=key, title=name) for key, name in _KINDS.items() if key in chart.specs],
    )
    caption = (
        "A point is the best accuracy so far of a method, mean over seeds, and what it cost until then; of memory the"
        " peak of the run. Filled points are on the Pareto front: no method is more accurate for as little."
    )
    if len({scope(row.setting_keys) for row in comparison.rows}) > 1:
        caption += " Each task with its backbone has a front of its own."
    return [chooser, ChartFigure(chart=chart, caption=caption, chooser="against", height=380)]


def _targets(comparison: Comparison) -> list[Part]:
    tables = [
        PageTable(
            key=f"sheet-{at}", title=each.title, headings=each.headings, rows=[list(row) for row in each.rows],
            words=each.words,
        )
        for at, each in enumerate(sheets(comparison))
    ]  # fmt: skip
    return [Paragraph(text=comparison.notes[0]), *tables]


def _runs(comparison: Comparison, arguments: Sequence[str]) -> list[Part]:
    runs = [run for row in comparison.rows for run in row.runs]
    differing = [key for key in differing_keys([flatten(run.experiment) for run in runs]) if key not in _OF_NO_METHOD]
    rows: list[TableRow] = [
        [
            str(run.path),
            row.name,
            str(run.seed),
            "finished" if run.finished else "not ended",
            *(_said(flatten(run.experiment).get(key)) for key in differing),
        ]
        for row in comparison.rows
        for run in row.runs
    ]
    headings = ["run", "method", "seed", "state", *differing]
    table = PageTable(
        key="run-table", title="Runs, with the keys in which they differ", headings=headings, rows=rows,
        words=len(headings), folded=len(rows) > _UNFOLDED,
    )  # fmt: skip
    repeat = [f"fedlab run {shlex.quote(str(RunFolder(run.path).experiment))}" for run in runs]
    again = " ".join(["fedlab report", *map(shlex.quote, arguments)])
    first = runs[0]
    return [
        table,
        CodeBlock(
            key="commands", title="Commands that repeat the runs and this page", text="\n".join([*repeat, again])
        ),
        CodeBlock(key="experiment", title=f"The experiment of {first.path}", text=tomli_w.dumps(first.experiment)),
    ]


def _said(value: object) -> str:
    return "-" if value is None else str(value)
