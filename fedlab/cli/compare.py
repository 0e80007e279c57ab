"""`fedlab compare`: the cost of methods to reach an accuracy."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fedlab.common.files import refuse_existing, write_new
from fedlab.errors import UserError

if TYPE_CHECKING:
    from fedlab.compare.summary import Comparison
    from fedlab.compare.write import TableFormat

_SUFFIXES: dict[str, "TableFormat"] = {".md": "markdown", ".csv": "csv", ".json": "json", ".tex": "latex"}


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Run folders, or folders of runs; LABEL=RUN names the method."),
    ],
    targets: Annotated[
        str, typer.Option(metavar="PERCENT,...", help="Shares of the full-convergence accuracy.")
    ] = "99,95,90,80,70",
    full_accuracy: Annotated[
        float | None,
        typer.Option(help="The full-convergence accuracy.", show_default="the best method's, mean over seeds"),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="METHOD", help="Use this method's best accuracy as the full-convergence accuracy."),
    ] = None,
    baseline: Annotated[str | None, typer.Option(metavar="METHOD", help="Report speed-ups over this method.")] = None,
    split: Annotated[Literal["test", "validation"], typer.Option(help="Split of the accuracy.")] = "test",
    smooth: Annotated[
        int, typer.Option(min=1, metavar="N", help="Smooth accuracy: the mean of the last N measurements.")
    ] = 1,
    oracle: Annotated[
        str, typer.Option(metavar="KEY,...", help="Choose these keys in hindsight, such as client.depth.")
    ] = "",
    format_: Annotated[
        Literal["text", "markdown", "csv", "json", "latex"] | None,
        typer.Option("--format", help="TableFormat of the tables.", show_default="text, or by the suffix of --out"),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the tables to a new file.")] = None,
    plots: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Draw plots into a folder.")] = None,
    log_time: Annotated[bool, typer.Option("--log-time", help="Use a logarithmic time axis.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the tables.")] = False,
) -> None:
    """Compare methods by the simulated time, traffic and energy to reach an accuracy."""
    from fedlab.compare.options import options_from  # noqa: PLC0415
    from fedlab.compare.runs import find_runs  # noqa: PLC0415
    from fedlab.compare.summary import compare as compare_runs  # noqa: PLC0415
    from fedlab.compare.write import as_json as values_of  # noqa: PLC0415  (keeps the command line quick to start)

    if out is not None:
        refuse_existing(out)
    said = {
        "targets": targets,
        "full_accuracy": full_accuracy,
        "reference": reference,
        "baseline": baseline,
        "split": split,
        "smooth": smooth,
        "oracle": oracle,
        "log_time": log_time,
    }
    comparison = compare_runs(find_runs(runs, split), options_from(said, "fedlab compare"))
    if plots is not None:
        _draw(comparison, plots)
    if out is not None or not as_json:
        _show(comparison, format_ or _SUFFIXES.get(out.suffix if out else "", "text"), out)
    if as_json:
        sys.stdout.write(json.dumps(values_of(comparison)) + "\n")


def _show(comparison: "Comparison", form: "TableFormat", out: Path | None) -> None:
    from rich.console import Console  # noqa: PLC0415

    from fedlab.compare.write import show, write  # noqa: PLC0415

    if out is not None:
        write_new(out, write(comparison, form))
    elif form == "text":
        show(comparison, Console())
    else:
        sys.stdout.write(write(comparison, form))


def _draw(comparison: "Comparison", folder: Path) -> None:
    from fedlab.compare.plots.draw import plot_anew  # noqa: PLC0415

    try:
        files = plot_anew(comparison, folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be drawn into: {error.strerror}") from error
    typer.echo("drawn: " + ", ".join(map(str, files)), err=True)
