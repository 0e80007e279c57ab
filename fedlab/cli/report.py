"""`fedlab report`: a run, or a comparison of several, as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Run folders, or folders of runs; LABEL=RUN names the method."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The page; an earlier report is replaced.", show_default="RUN/report.html, or report.html"),
    ] = None,
) -> None:
    """Write a run, or a comparison of several runs, as one HTML page that opens offline."""
    from fedlab.compare.page import page_of  # noqa: PLC0415  (keeps the command line quick to start)
    from fedlab.results.html.write_report import check_place, write_report  # noqa: PLC0415

    if out is not None:
        check_place(out)
    page, place = page_of(runs)
    path = out or place
    write_report(page, path)
    typer.echo(f"written: {path}")
