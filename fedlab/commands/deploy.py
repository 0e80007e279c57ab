"""`fedlab deploy`: what a server for real clients needs beside Flower's own commands."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fedlab.errors import UserError

deploy = typer.Typer(no_args_is_help=True, help="Keys and a gateway for a server with real clients.")


@deploy.command()
def keys(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the keys go; what is there stays.")],
    hosts: Annotated[
        list[str], typer.Option("--host", metavar="NAME", help="A name or address of the server; repeat for more.")
    ] = ["localhost", "127.0.0.1", "superlink", "gateway"],  # noqa: B006  (typer makes a new list each time)
    nodes: Annotated[int, typer.Option(min=0, help="How many nodes there are to be keys for.")] = 3,
    days: Annotated[int, typer.Option(min=1, help="How long the certificates are valid.")] = 365,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was made as one JSON object.")] = False,
) -> None:
    """Make an authority, the server's certificate, a key for each node and the superexec secret."""
    from fedlab.deploy.keys import make_keys  # noqa: PLC0415  (the command line starts in a moment)

    made = make_keys(folder, hosts=hosts, nodes=nodes, days=days)
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), "made": [path.name for path in made]}))
    else:
        typer.echo(f"{folder}: made {', '.join(path.name for path in made)}" if made else f"{folder}: nothing to make")


@deploy.command()
def gateway(
    superlink: Annotated[str, typer.Option(metavar="HOST:PORT", help="The SuperLink.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where nodes come in.")] = 8000,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    keys: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where `fedlab deploy keys` wrote ca.pem and server.*.")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="No TLS, on either side.")] = False,
) -> None:
    """Pass nodes on to the SuperLink, and nobody to what submits code or registers nodes."""
    from fedlab.deploy.gateway import run_gateway  # noqa: PLC0415

    if (keys is None) != insecure:
        raise UserError("give --keys FOLDER, or say --insecure, and not both")
    ca, certificate, key = (None if keys is None else keys / name for name in ("ca.pem", "server.pem", "server.key"))
    for path in (ca, certificate, key):
        if path is not None and not path.is_file():
            raise UserError(f"{path}: no such file; `fedlab deploy keys` makes it")
    run_gateway(superlink, host=host, port=port, ca=ca, certificate=certificate, key=key)
