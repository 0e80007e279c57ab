"""`fedlab watch`: the report of a run in a browser, as the run goes on."""

from pathlib import Path
from typing import Annotated

import typer


def watch(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, of a run that goes on or has ended.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback.", show_default="a free one")] = 0,
) -> None:
    """Serve the report of a run on this machine alone, and follow the run; Ctrl-C ends it."""
    from fedlab.results.folder import open_run  # noqa: PLC0415  (keeps the command line quick to start)
    from fedlab.results.html.live import LivePage, LiveServer  # noqa: PLC0415

    page = LivePage(open_run(folder))
    page.body()  # raises before anything is served
    with LiveServer(page, port) as server:
        typer.echo(f"{folder}: {server.address} (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("")
