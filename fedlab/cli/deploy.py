"""`fedlab deploy`: what a server for real clients needs beside Flower's own commands."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlab.errors import UserError

if TYPE_CHECKING:
    from fedlab.deploy.security.keys import KeyChanges

deploy = typer.Typer(no_args_is_help=True, help="Keys and a gateway for a server with real clients.")


@deploy.command()
def keys(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Where the keys go; keys that are there stay.")],
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            metavar="NAME",
            help="A name or address of the server, beside those of this machine and of containers; repeat for more.",
        ),
    ] = None,
    nodes: Annotated[int, typer.Option(min=0, help="How many nodes there are to be keys for.")] = 3,
    days: Annotated[int, typer.Option(min=1, help="How long the server's certificate is valid.")] = 365,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was made as one JSON object.")] = False,
) -> None:
    """Make an authority, the server's certificate, a key for each node and the superexec secret.

    Of keys that are there only server.pem changes, if it lacks a host or ends within 30 days: it is issued anew, which
    takes ca.key. Private keys that others could read are closed to them.
    """
    from fedlab.deploy.security.keys import LOCAL_HOSTS, make_keys  # noqa: PLC0415  (the command line starts in a moment)

    if not folder:  # as of a variable that is not set: not the folder one is in
        raise UserError("FOLDER is empty: expected where the keys go, such as keys")
    written = make_keys(Path(folder), hosts=[*(hosts or []), *LOCAL_HOSTS], nodes=nodes, days=days)
    if as_json:
        plain = {
            "folder": folder,
            "made": [path.name for path in written.made],
            "added_hosts": written.added,
            "renewed": written.renewed,
            "closed": [path.name for path in written.closed],
            "warnings": written.warnings,
        }
        typer.echo(json.dumps(plain))
        return
    for line in _lines(folder, written):
        typer.echo(line)


def _lines(folder: str, written: "KeyChanges") -> list[str]:
    """Say what was done, in a line each."""
    made, closed = (", ".join(path.name for path in paths) for paths in (written.made, written.closed))
    why = f"for {', '.join(written.added)} as well" if written.added else written.renewed
    lines = [f"{folder}: issued server.pem anew, {why}; restart what uses it"] if why else []
    lines += [f"{folder}: made {made}"] if made else []
    lines += [f"{folder}: closed to others, who could read or write them: {closed}"] if closed else []
    return [*(lines or [f"{folder}: nothing to make"]), *written.warnings]


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
    from fedlab.deploy.net import parse_address  # noqa: PLC0415

    address = parse_address(superlink, option="--superlink")
    if (keys is None) != insecure:
        raise UserError("give --keys FOLDER, or say --insecure, and not both")
    ca, certificate, key = (None if keys is None else keys / name for name in ("ca.pem", "server.pem", "server.key"))
    for path in (ca, certificate, key):
        if path is not None and not path.is_file():
            raise UserError(f"{path}: no such file; `fedlab deploy keys` makes it")
    run_gateway(address, host=host, port=port, ca=ca, certificate=certificate, key=key)
