"""`fedlab session`: a Ray with warm actors that stays between runs."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedlab.simulation.session.record import SessionRecord

session = typer.Typer(no_args_is_help=True, help="A Ray with warm actors for the next runs on this machine.")

_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]


@session.command()
def start(as_json: _AsJson = False) -> None:
    """Start a session, if none runs: runs on CPUs use it by themselves, and start in half the time."""
    from fedlab.simulation.session.session import start_session  # noqa: PLC0415

    _print(_plain(start_session()), as_json=as_json)


@session.command()
def stop(as_json: _AsJson = False) -> None:
    """End the session; runs that use it end with it, and can be resumed."""
    from fedlab.simulation.session.session import stop_session  # noqa: PLC0415

    ended = stop_session()
    if as_json:
        typer.echo(json.dumps({"ended": ended}))
    else:
        typer.echo("the session has ended" if ended else "there is no session")


@session.command()
def status(as_json: _AsJson = False) -> None:
    """Tell whether a session runs."""
    from fedlab.simulation.session.record import find  # noqa: PLC0415

    found = find()
    _print(_plain(found.record if found and found.alive else None), as_json=as_json)


def _plain(record: "SessionRecord | None") -> dict[str, Any]:
    if record is None:
        return {"running": False}
    return {"running": True, "process_id": record.process_id, "address": record.address, "actors": record.cores}


def _print(plain: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(plain))
    elif plain["running"]:
        typer.echo(f"a session runs: {plain['actors']} warm actors, process {plain['process_id']}")
    else:
        typer.echo("there is no session")
