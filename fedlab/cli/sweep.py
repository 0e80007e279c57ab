"""`fedlab sweep`: run all experiments of a file with a [sweep] table."""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlab.common.ending import ResumableCommand
from fedlab.errors import RunFailedError

if TYPE_CHECKING:
    from fedlab.sweep.sweep import SweepResult


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An experiment file with the table `sweep`.")],
    out: Annotated[Path | None, typer.Option(help="Sweep folder.", show_default="runs/NAME")] = None,
    parallel: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="Number of parallel cells.")] = 1,
    settings: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a key of all cells, or a list of values: sweep.KEY=[...]."
        ),
    ] = [],  # noqa: B006  (typer makes a new list each time)
    repricing: Annotated[
        bool, typer.Option("--reprice/--no-reprice", help="Reprice cells that differ only in boards and links.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print plain lines instead of a live display.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object on the last line.")
    ] = False,
) -> None:
    """Run the unfinished experiments of a sweep, and compare all."""
    result = sweep_and_show(
        file, plain=quiet or as_json, out=out, parallel=parallel, settings=settings, repricing=repricing
    )
    if as_json:
        sys.stdout.write(json.dumps(plain_result(result)) + "\n")
    check_result(result)


def sweep_and_show(file: Path, *, plain: bool, **options: Any) -> "SweepResult":
    """Run or resume a sweep with the options of `run_sweep`, and show its comparison."""
    from rich.console import Console  # noqa: PLC0415  (keeps the command line quick to start)

    from fedlab.compare.write import show  # noqa: PLC0415
    from fedlab.sweep.display import choose_sweep_display  # noqa: PLC0415
    from fedlab.sweep.sweep import run_sweep  # noqa: PLC0415

    display = choose_sweep_display(Console(), plain=plain)
    with ResumableCommand() as command, display:
        command.resumed_by(shlex.join(["fedlab", *sys.argv[1:]]))
        result = run_sweep(file, observers=[display], **options)
    if result.comparison is not None:
        show(result.comparison, Console())
    if result.unreported is not None:
        typer.echo(f"fedlab: {result.unreported}", err=True)
    typer.echo(f"sweep folder: {result.folder}")
    return result


def plain_result(result: "SweepResult") -> dict[str, Any]:
    """Return the result of a sweep as JSON values."""
    from fedlab.compare.write import as_json  # noqa: PLC0415

    return {
        "sweep_dir": str(result.folder),
        "cells": [asdict(cell) for cell in result.cells],
        "comparison": None if result.comparison is None else as_json(result.comparison),
    }


def check_result(result: "SweepResult") -> None:
    """Raise a RunFailedError if cells failed or could not be compared."""
    if result.failed:
        first = result.failed[0]
        count = f"{len(result.failed)} of {len(result.cells)} cells failed"
        raise RunFailedError(f"{count}, such as {first.name}: {first.reason}")
    if result.trouble is not None:
        raise RunFailedError(f"{result.folder}: the cells are finished, but cannot be compared: {result.trouble}")
