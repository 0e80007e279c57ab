"""`fedlab new`: a starting experiment in the working folder."""

from pathlib import Path
from typing import Annotated

import typer

from fedlab.common.files import refuse_existing, write_new


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new experiment's name; its file is NAME.toml.")],
    ready: Annotated[
        str, typer.Option("--from", metavar="EXPERIMENT", help="A ready experiment to start from.")
    ] = "starter",
) -> None:
    """Write a starting experiment with comments into the working folder."""
    from fedlab.config.ready import started_from  # noqa: PLC0415  (keeps the command line quick to start)

    name = name.removesuffix(".toml")
    text, path = started_from(name, ready), Path(f"{name}.toml")
    refuse_existing(path, "NAME")
    write_new(path, text)
    typer.echo(f"{path}: change it, then fedlab run {path}")
