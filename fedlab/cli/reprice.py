"""`fedlab reprice`: bill a finished run for other boards or links."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fedlab.errors import UserError


def reprice(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    settings: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key of fleet or link.")
    ] = [],  # noqa: B006  (typer makes a new list each time)
    out: Annotated[Path | None, typer.Option(help="New run folder.", show_default="RUN-repriced")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object on the last line.")
    ] = False,
) -> None:
    """Bill a finished run for other boards or links, without training again."""
    from rich.console import Console  # noqa: PLC0415  (keeps the command line quick to start)

    from fedlab.reprice.reprice import changed_experiment  # noqa: PLC0415
    from fedlab.reprice.reprice import reprice as reprice_run  # noqa: PLC0415
    from fedlab.results.folder import next_free, open_run  # noqa: PLC0415
    from fedlab.results.report import render_summary  # noqa: PLC0415

    if not settings:
        raise UserError(
            "fedlab reprice: give --set KEY=VALUE of fleet or link, such as --set link.options.bandwidth=2MB/s"
        )
    source = open_run(folder)
    place = out if out is not None else next_free(folder.with_name(f"{folder.resolve().name}-repriced"))
    summary = reprice_run(source, changed_experiment(source, settings), place)
    Console().print(render_summary(summary, place))
    if as_json:
        sys.stdout.write(json.dumps(summary) + "\n")
