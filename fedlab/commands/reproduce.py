"""`fedlab reproduce`: the published study's tables and figures, ours beside theirs."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlab.errors import RunFailedError
from fedlab.paper.names import Reproducible, TaskName

if TYPE_CHECKING:
    from fedlab.sweep.sweep import SweepResult


def reproduce(
    what: Annotated[Reproducible, typer.Argument(help="A table or figure of the AdaFL paper.")],
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Train the mini variant: table2, table5, figure6, figure7.")
    ] = True,
    task: Annotated[TaskName, typer.Option(help="table5: the data set of the mini variant.")] = "20news",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the mini variant's sweep.", show_default="runs/NAME")
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, metavar="N", help="Runs of the sweep side by side.")] = 1,
    settings: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the mini variant.")
    ] = [],  # noqa: B006  (typer makes a new list each time)
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Plain lines, no live screen.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")] = False,
) -> None:
    """Recompute a published table or figure cell by cell, and train what takes training in a mini variant.

    Costs follow the published rounds and the artifact's rules. What is trained is the sweep of
    experiments/paper/WHAT-mini.toml, which takes hours; it goes on where it was cut off.
    """
    from rich.console import Console  # noqa: PLC0415  (the command line starts in a moment)

    from fedlab.paper.cells import as_plain  # noqa: PLC0415
    from fedlab.paper.figures import published_figures  # noqa: PLC0415
    from fedlab.paper.rendering import render_disagreements, render_sections  # noqa: PLC0415
    from fedlab.paper.reproduction import disagreements_of, mini_of, sections_of  # noqa: PLC0415

    figures, console = published_figures(), Console()
    mini = mini_of(what, task) if run else None
    sections, disagreements = sections_of(what, figures), disagreements_of(what, figures)
    console.print(render_sections(sections))
    console.print(render_disagreements(disagreements))
    plain: dict[str, Any] = {
        "name": what,
        "sections": as_plain(sections),
        "disagreements": [{"id": each.id, "what": each.what, "ours": each.ours} for each in disagreements],
    }
    result = None
    if mini is not None:
        console.print(f"training the mini variant: fedlab sweep {mini}")
        result = _swept(mini, out, parallel, settings, plain=quiet or as_json)
    if as_json:
        sys.stdout.write(json.dumps(plain | {"sweep": None if result is None else _plain(result)}) + "\n")
    if result is not None and result.failed:
        first = result.failed[0]
        raise RunFailedError(f"{len(result.failed)} runs failed, such as {first.name}: {first.reason}")
    if result is not None and result.trouble is not None:
        raise RunFailedError(f"{result.folder}: the runs are done, but cannot be compared: {result.trouble}")


def _swept(mini: Path, out: Path | None, parallel: int, settings: list[str], *, plain: bool) -> "SweepResult":
    """Run the sweep, or what is left of it, and show its comparison."""
    from rich.console import Console  # noqa: PLC0415

    from fedlab.comparison.formats import show  # noqa: PLC0415
    from fedlab.sweep.display import choose_sweep_display  # noqa: PLC0415
    from fedlab.sweep.sweep import run_sweep  # noqa: PLC0415

    display = choose_sweep_display(Console(), plain=plain)
    with display:
        result = run_sweep(mini, out=out, parallel=parallel, settings=settings, observers=[display])
    if result.comparison is not None:
        show(result.comparison, Console())
    typer.echo(f"sweep folder: {result.folder}")
    return result


def _plain(result: "SweepResult") -> dict[str, Any]:
    from fedlab.comparison.formats import as_json  # noqa: PLC0415

    return {
        "sweep_dir": str(result.folder),
        "cells": [asdict(cell) for cell in result.cells],
        "comparison": None if result.comparison is None else as_json(result.comparison),
    }
