"""`fedlab deploy`: keys and a gateway for a deployment; Flower's commands do the rest."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlab.errors import UserError

if TYPE_CHECKING:
    from fedlab.deploy.security.keys import KeyChanges

deploy = typer.Typer(no_args_is_help=True, help="Keys and a gateway for a server with real nodes.")


@deploy.command()
def keys(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of the keys; existing keys are kept.")],
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            metavar="NAME",
            help="Another name or address of the server, besides those of this machine and of containers; repeatable.",
        ),
    ] = None,
    nodes: Annotated[int, typer.Option(min=0, help="Number of nodes to make keys for.")] = 3,
    days: Annotated[int, typer.Option(min=1, help="Validity of the server's certificate, in days.")] = 365,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was made as one JSON object.")] = False,
) -> None:
    """Make the authority, the server's certificate, a key for each node and the superexec secret.

    Existing files are kept, except server.pem: it is renewed, which needs ca.key, if it lacks a host or expires within
    30 days. Private keys that others could read are made private.
    """
    from fedlab.deploy.security.keys import LOCAL_HOSTS, make_keys  # noqa: PLC0415  (keeps the command line quick to start)

    if not folder:  # an unset shell variable must not mean the current folder
        raise UserError("FOLDER is empty: expected the folder of the keys, such as keys")
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
    """Return what was done, as lines of text."""
    made, closed = (", ".join(path.name for path in paths) for paths in (written.made, written.closed))
    why = f"for {', '.join(written.added)} as well" if written.added else written.renewed
    lines = [f"{folder}: renewed server.pem, {why}; restart the services that use it"] if why else []
    lines += [f"{folder}: made {made}"] if made else []
    lines += [f"{folder}: made private, because others could read or write them: {closed}"] if closed else []
    return [*(lines or [f"{folder}: nothing to make"]), *written.warnings]


@deploy.command()
def gateway(
    superlink: Annotated[str, typer.Option(metavar="HOST:PORT", help="Address of the SuperLink.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port for nodes.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder in which `fedlab deploy keys` wrote ca.pem and server.*."),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="No TLS, on both sides.")] = False,
) -> None:
    """Forward the calls of nodes to the SuperLink; calls that submit code or register nodes are refused."""
    from fedlab.deploy.gateway import run_gateway  # noqa: PLC0415
    from fedlab.deploy.net import parse_address  # noqa: PLC0415

    address = parse_address(superlink, option="--superlink")
    if (keys is None) != insecure:
        raise UserError("give either --keys FOLDER or --insecure")
    ca, certificate, key = (None if keys is None else keys / name for name in ("ca.pem", "server.pem", "server.key"))
    for path in (ca, certificate, key):
        if path is not None and not path.is_file():
            raise UserError(f"{path}: no such file; `fedlab deploy keys` makes it")
    run_gateway(address, host=host, port=port, ca=ca, certificate=certificate, key=key)
