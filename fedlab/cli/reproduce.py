"""`fedlab reproduce`: the published study's tables and figures, compared with ours."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fedlab.cli.sweep import check_result, plain_result, sweep_and_show
from fedlab.errors import UserError
from fedlab.paper.names import PublishedTable, TaskName


def reproduce(
    what: Annotated[
        PublishedTable,
        typer.Argument(
            metavar="WHAT",
            help="Of AdaFL: table1 to table5, figure6, figure7. Of FwdLLM: fwdllm-time, fwdllm-energy, fwdllm-network, "
            "fwdllm-memory, fwdllm-pacing, fwdllm-scaling. Of Mandheling: mandheling-table6, mandheling-table8.",
        ),
    ],
    run: Annotated[
        bool,
        typer.Option(
            "--run/--no-run",
            help="Train the mini variant, of table2, table5, figure6, figure7, fwdllm-time, -pacing, -scaling and "
            "mandheling-table8.",
        ),
    ] = True,
    task: Annotated[TaskName, typer.Option(help="table5: data set of the mini variant.")] = "20news",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the mini variant's sweep.", show_default="runs/NAME")
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, metavar="N", help="Number of parallel runs.")] = 1,
    settings: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the mini variant.")
    ] = [],  # noqa: B006  (typer makes a new list each time)
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print plain lines instead of a live display.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the tables.")] = False,
) -> None:
    """Recompute a published table or figure cell by cell, and train a mini variant of what needs training.

    Costs follow the published rounds and the artifact's rules. "not rebuilt" marks a figure that the published facts do
    not suffice for. The mini variant is the sweep of
    experiments/paper/WHAT-mini.toml; it takes minutes to hours, and the same command resumes it.
    """
    from rich.console import Console  # noqa: PLC0415  (keeps the command line quick to start)

    from fedlab.paper.cells import as_plain  # noqa: PLC0415
    from fedlab.paper.rendering import render_disagreements, render_sections  # noqa: PLC0415
    from fedlab.paper.reproduction import disagreements_of, mini_of, sections_of  # noqa: PLC0415

    console = Console()
    mini = mini_of(what, task)
    if not run:
        mini = None
    if mini is None and (out is not None or settings):
        raise UserError(
            f"--out and --set are for the training of a mini variant, but no mini variant of {what} is trained"
        )
    sections, disagreements = sections_of(what), disagreements_of(what)
    if not as_json:
        console.print(render_sections(sections))
        console.print(render_disagreements(disagreements))
    plain: dict[str, Any] = {
        "name": what,
        "sections": as_plain(sections),
        "disagreements": [{"id": each.id, "what": each.what, "ours": each.ours} for each in disagreements],
    }
    result = None
    if mini is not None:
        if not as_json:
            typer.echo(f"training the mini variant: fedlab sweep {mini}")
        result = sweep_and_show(mini, plain=quiet or as_json, out=out, parallel=parallel, settings=settings)
    if as_json:
        sys.stdout.write(json.dumps(plain | {"sweep": None if result is None else plain_result(result)}) + "\n")
    if result is not None:
        check_result(result)
