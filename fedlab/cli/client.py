"""`fedlab client`: join a deployment as a node, with the data of this machine."""

import os
from pathlib import Path
from typing import Annotated

import typer

from fedlab.common.files import provide_folder
from fedlab.errors import UserError


def client(
    server: Annotated[
        str, typer.Option(metavar="HOST[:PORT]", help="Address of the server's gateway, or of the server.")
    ],
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="File or folder to train on, in a format of task.data.")
    ] = None,
    partition: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Instead of --data: part I (from 0) of N of the experiment's data."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Private key of this node, registered at the server.")
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificate of the authority (ca.pem) that issued the server's."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="No TLS and no keys: only for a network of your own.")
    ] = False,
    number: Annotated[
        int | None, typer.Option(min=0, help="Unique node number.", show_default="by machine and data")
    ] = None,
    board: Annotated[
        str, typer.Option(metavar="NAME", help="Device profile (see `fedlab list devices`) used to compute energy.")
    ] = "",
    state: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the node's prepared data and state.")
    ] = Path("fedlab-node"),
    up: Annotated[
        str | None, typer.Option(metavar="RATE", help="Limit the upload bandwidth, such as 1MB/s or 8Mbit/s.")
    ] = None,
    down: Annotated[str | None, typer.Option(metavar="RATE", help="Limit the download bandwidth.")] = None,
) -> None:
    """Join a deployment as a node: train on this machine's data whenever the server asks, until stopped."""
    from fedlab.common.units import parse_bandwidth  # noqa: PLC0415
    from fedlab.deploy.net import free_port  # noqa: PLC0415
    from fedlab.deploy.node import command as nodes  # noqa: PLC0415  (keeps the command line quick to start)

    part = None if partition is None else _part(partition)
    settings = nodes.NodeSettings(
        server=nodes.address_of(server),
        state=state.expanduser().resolve(),
        number=number if number is not None else part[0] if part else nodes.number_of(data or Path()),
        data=data,
        partition=part,
        board=board,
        key=key,
        ca=ca,
        insecure=insecure,
        up_bytes_per_second=None if up is None else parse_bandwidth(up),
        down_bytes_per_second=None if down is None else parse_bandwidth(down),
    )
    nodes.check(settings)
    provide_folder(settings.state, f"--state {settings.state}")
    words = nodes.command(settings, port=free_port())
    os.execve(words[0], words, nodes.environment(settings, os.environ))


def _part(text: str) -> tuple[int, int]:
    held, slash, parts = text.partition("/")
    if not (slash and held.isdigit() and parts.isdigit() and int(held) < int(parts)):
        raise UserError(f"--partition {text}: expected I/N with I from 0 to N - 1, such as 0/3")
    return int(held), int(parts)
