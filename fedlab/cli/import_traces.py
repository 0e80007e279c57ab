"""`fedlab import-traces`: convert traces of other simulators."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from fedlab.common.files import refuse_existing
from fedlab.errors import UserError

TraceKind = Literal["fedscale-device", "fedscale-availability", "flash-state", "flash-speed"]

_USES = {
    "fedscale-device": '[link] name = "table", options = {{ path = "{out}" }}; [fleet.throughput] csv = "{out}"',
    "fedscale-availability": '[availability] name = "trace", options = {{ path = "{out}" }}',
    "flash-state": '[availability] name = "trace", options = {{ path = "{out}" }}',
    "flash-speed": '[link] name = "table", options = {{ path = "{out}" }}',
}


def import_traces(
    kind: Annotated[TraceKind, typer.Argument(metavar="KIND", help=f"Format of SOURCE: {', '.join(_USES)}.")],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="File of the other simulator.")],
    out: Annotated[Path, typer.Option(metavar="FILE.csv", help="CSV file to write; it must not exist.")],
    base_milliseconds: Annotated[
        float | None,
        typer.Option(help="fedscale-device: ms per sample of a device of throughput 1.", show_default="the median"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object on the last line.")
    ] = False,
) -> None:
    """Convert other simulators' traces to CSV files that links, fleets and availability read.

    KIND is fedscale-device or fedscale-availability (FedScale's pickles), flash-state or flash-speed (the
    state_traces.json and speed_distri.json of FLASH).
    """
    from fedlab.network.importers import fedscale, flash  # noqa: PLC0415  (keeps the command line quick to start)
    from fedlab.network.importers.imported import describe_left_out, write_csv  # noqa: PLC0415

    refuse_existing(out)
    if kind == "fedscale-device":
        imported = fedscale.read_device_capacity(source, base_milliseconds)
    elif base_milliseconds is not None:
        raise UserError(f"--base-milliseconds is for fedscale-device: {kind} has no throughputs")
    else:
        readers = {
            "fedscale-availability": fedscale.read_availability,
            "flash-state": flash.read_state_traces,
            "flash-speed": flash.read_speeds,
        }
        imported = readers[kind](source)
    write_csv(imported, out)
    typer.echo(f"{out}: clients {imported.clients}, rows {len(imported.rows)}")
    if imported.left_out:
        typer.echo(f"left out: {describe_left_out(imported.left_out)}")
    typer.echo(f"to use it: {_USES[kind].format(out=out)}")
    if as_json:
        done = {"path": str(out), "clients": imported.clients, "rows": len(imported.rows)}
        typer.echo(json.dumps(done | {"left_out": dict(imported.left_out)}))
