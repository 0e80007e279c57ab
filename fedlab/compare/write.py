"""A comparison written out: for the terminal, and as Markdown, CSV, JSON and LaTeX."""

import csv
import io
import json
from dataclasses import asdict
from typing import Any, Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedlab.compare.summary import Comparison, Outcome, Spread, SummaryRow
from fedlab.compare.tables import Sheet, sheets

TableFormat = Literal["text", "markdown", "csv", "json", "latex"]

_PAGE_WIDTH = 160  # of text that is not for a terminal

_TEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
_TEX |= {"^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "±": r"$\pm$"}


def write(comparison: Comparison, form: TableFormat) -> str:
    """Return a comparison in a format, ending with a newline."""
    writers = {"text": _text, "markdown": _markdown, "csv": _csv, "json": _json, "latex": _latex}
    return writers[form](comparison)


def render(comparison: Comparison) -> RenderableType:
    """Return a comparison for the terminal."""
    parts: list[RenderableType] = [_table(sheet) for sheet in sheets(comparison)]
    return Group(*parts, *(Text(note, style="dim") for note in comparison.notes))


def show(comparison: Comparison, console: Console) -> None:
    """Print a comparison; what is not a terminal is as wide as a page."""
    if not console.is_terminal:
        console.width = max(console.width, _PAGE_WIDTH)
    console.print(render(comparison))


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values: quantities in seconds, bytes and joules, None where nothing was reached."""
    return {
        "options": asdict(comparison.options),
        "rows": [_json_row(comparison, row) for row in comparison.rows],
        "notes": list(comparison.notes),
    }


def _json(comparison: Comparison) -> str:
    return json.dumps(as_json(comparison), indent=2) + "\n"


def _json_row(comparison: Comparison, row: SummaryRow) -> dict[str, Any]:
    return {
        "method": row.method,
        "name": row.name,
        "oracle": row.oracle,
        "deployed": row.deployed,
        "setting": dict(zip(comparison.setting_keys, row.setting, strict=True)),
        "seeds": list(row.seeds),
        "unfinished": row.unfinished,
        "full_accuracy": row.full_accuracy,
        "best_accuracy": asdict(row.best),
        "targets": [asdict(outcome) for outcome in row.outcomes],
    }


def _table(sheet: Sheet) -> Table:
    table = Table(title=sheet.title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for at, heading in enumerate(sheet.headings):
        table.add_column(heading, justify="left" if at < sheet.words else "right", overflow="fold")
    for row in sheet.rows:
        table.add_row(*(Text(cell, style="dim" if cell.startswith("never") else "") for cell in row))
    return table


def _text(comparison: Comparison) -> str:
    page = io.StringIO()
    console = Console(file=page, width=_PAGE_WIDTH, color_system=None)
    console.print(render(comparison))
    return "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())


def _markdown(comparison: Comparison) -> str:
    parts = [f"### {sheet.title}\n\n{_markdown_table(sheet)}" for sheet in sheets(comparison)]
    return "\n\n".join([*parts, *comparison.notes]).replace("\n* ", "\n\\* ") + "\n"


def _markdown_table(sheet: Sheet) -> str:
    rule = ["---" if at < sheet.words else "---:" for at in range(len(sheet.headings))]
    lines = [sheet.headings, rule, *sheet.rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _latex(comparison: Comparison) -> str:
    notes = "\n".join(f"% {note}" for note in comparison.notes)
    return "\n\n".join([*(_latex_table(sheet) for sheet in sheets(comparison)), notes]) + "\n"


def _latex_table(sheet: Sheet) -> str:
    columns = "l" * sheet.words + "r" * (len(sheet.headings) - sheet.words)
    lines = [" & ".join(map(_tex, line)) + r" \\" for line in sheet.rows]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_tex(sheet.title)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(map(_tex, sheet.headings)) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)


def _csv(comparison: Comparison) -> str:
    """Return a line a method, setting and target; quantities in seconds, bytes and joules, empty if not reached."""
    text = io.StringIO()
    lines = [_csv_line(comparison, row, outcome) for row in comparison.rows for outcome in row.outcomes]
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _csv_line(comparison: Comparison, row: SummaryRow, outcome: Outcome) -> dict[str, Any]:
    settings = zip(comparison.setting_keys, row.setting, strict=True)
    return {
        **dict(settings),
        "method": row.method,
        "choice": outcome.choice,
        "seeds": outcome.seeds,
        "unfinished": row.unfinished,
        "deployed": row.deployed,
        **_csv_spread("best_accuracy", row.best),
        "full_accuracy": row.full_accuracy,
        "share": outcome.share,
        "target_accuracy": outcome.accuracy,
        "reached": outcome.reached,
        **_csv_spread("seconds", outcome.seconds),
        **_csv_spread("bytes", outcome.num_bytes),
        **_csv_spread("joules", outcome.joules),
        "speedup": outcome.speedup,
    }


def _csv_spread(name: str, spread: Spread | None) -> dict[str, float | None]:
    mean, std = (None, None) if spread is None else (spread.mean, spread.std)
    return {f"{name}_mean": mean, f"{name}_std": std}
