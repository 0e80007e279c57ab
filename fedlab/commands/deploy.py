"""`fedlab deploy`: what a server for real clients needs beside Flower's own commands."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fedlab.errors import UserError

deploy = typer.Typer(no_args_is_help=True, help="Keys and a gateway for a server with real clients.")


@deploy.command()
def keys(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the keys go; keys that are there stay.")],
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            metavar="NAME",
            help="A name or address of the server, beside those of this machine and of containers; repeat for more.",
        ),
    ] = None,
    nodes: Annotated[int, typer.Option(min=0, help="How many nodes there are to be keys for.")] = 3,
    days: Annotated[int, typer.Option(min=1, help="How long the certificates are valid.")] = 365,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was made as one JSON object.")] = False,
) -> None:
    """Make an authority, the server's certificate, a key for each node and the superexec secret.

    Of keys that are there only server.pem changes, if it lacks a host: it is issued anew, which takes ca.key.
    """
    from fedlab.deploy.keys import LOCAL_HOSTS, make_keys  # noqa: PLC0415  (the command line starts in a moment)

    written = make_keys(folder, hosts=[*(hosts or []), *LOCAL_HOSTS], nodes=nodes, days=days)
    made = [path.name for path in written.made]
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), "made": made, "added_hosts": written.added}))
        return
    if written.added:
        typer.echo(f"{folder}: issued server.pem anew, for {', '.join(written.added)} as well; restart what uses it")
    if made or not written.added:
        typer.echo(f"{folder}: made {', '.join(made)}" if made else f"{folder}: nothing to make")


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
