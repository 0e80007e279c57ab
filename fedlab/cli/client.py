"""`fedlab client`: take part in a deployment with the data of this machine."""

import os
from pathlib import Path
from typing import Annotated

import typer

from fedlab.common.files import provide_folder
from fedlab.errors import UserError


def client(
    server: Annotated[str, typer.Option(metavar="HOST[:PORT]", help="The server, or the gateway before it.")],
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The file or folder to train on, in a format of task.data.")
    ] = None,
    partition: Annotated[
        str | None, typer.Option(metavar="I/N", help="Instead: part I, from 0, of N of the experiment's own data.")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="This node's key, which the server knows.")] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="The authority of the server's certificate.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="No TLS, no keys: for a network of your own.")] = False,
    number: Annotated[
        int | None, typer.Option(min=0, help="What tells this node from others.", show_default="by machine and data")
    ] = None,
    board: Annotated[
        str, typer.Option(metavar="NAME", help="The board, as in `fedlab list devices`: its power gives the energy.")
    ] = "",
    state: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the node keeps what it prepares.")] = Path(
        "fedlab-node"
    ),
    up: Annotated[str | None, typer.Option(metavar="RATE", help="Send no faster, such as 1MB/s or 8Mbit/s.")] = None,
    down: Annotated[str | None, typer.Option(metavar="RATE", help="Receive no faster.")] = None,
) -> None:
    """Take part in a deployment: train on the data of this machine whenever the server asks, until stopped."""
    from fedlab.common.units import parse_bandwidth  # noqa: PLC0415
    from fedlab.deploy.net import free_port  # noqa: PLC0415
    from fedlab.deploy.node import command as nodes  # noqa: PLC0415  (the command line starts in a moment)

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
