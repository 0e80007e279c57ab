"""`fedlab profile-device`: measure this machine and write a device profile."""

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlab.errors import UserError

if TYPE_CHECKING:
    from fedlab.profiler.plan import Job, MeasurementPlan, Reading
    from fedlab.profiler.readings import Readings


def profile_device(
    backbone: Annotated[str, typer.Option(metavar="NAME", help="Backbone, as in an experiment file.")],
    out: Annotated[Path, typer.Option(metavar="PROFILE.toml", help="Profile to write; it must not exist.")],
    watts_computing: Annotated[float, typer.Option(min=0.001, metavar="W", help="Power while computing.")],
    watts_communicating: Annotated[float, typer.Option(min=0.001, metavar="W", help="Power while communicating.")],
    watts_idle: Annotated[float, typer.Option(min=0.001, metavar="W", help="Power while idle.")],
    watts_source: Annotated[
        str | None, typer.Option(metavar="TEXT", help="How power was measured; without it, it counts as assumed.")
    ] = None,
    method: Annotated[str, typer.Option(help="Methods to measure: adapter (with and without cache), full.")] = (
        "adapter,full"
    ),
    batches: Annotated[int, typer.Option(min=1, max=65_536, help="Batches per measured round.")] = 4,
    repeats: Annotated[int, typer.Option(min=1, max=65_536, help="Measured rounds; the median is taken.")] = 3,
    seq_len: Annotated[int, typer.Option(min=4, max=512, help="Tokens per text.")] = 256,
    batch_size: Annotated[int, typer.Option(min=1, max=65_536, help="Texts per batch.")] = 4,
    width: Annotated[int, typer.Option(min=1, max=65_536, help="Bottleneck units of the adapters.")] = 32,
    description: Annotated[
        str | None, typer.Option(metavar="TEXT", help="One-line description of the board.", show_default="its name")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Also print the table as one JSON object.")] = False,
) -> None:
    """Measure this machine and write a device profile: seconds for a batch and peak memory by depth.

    It runs the client of an experiment on synthetic texts of full length, each depth of each method in its own process.
    Power is not measured and has to be given.
    """
    from fedlab.devices.file import check_is_new, write_profile_file  # noqa: PLC0415
    from fedlab.devices.tables import Point  # noqa: PLC0415
    from fedlab.errors import RunFailedError  # noqa: PLC0415  (keeps the command line quick to start)
    from fedlab.profiler.machine import describe_machine  # noqa: PLC0415
    from fedlab.profiler.plan import MeasurementPlan, parse_methods  # noqa: PLC0415
    from fedlab.profiler.readings import Power, profile_table  # noqa: PLC0415

    check_is_new(out)
    for name, watts in (("computing", watts_computing), ("communicating", watts_communicating), ("idle", watts_idle)):
        if not math.isfinite(watts):
            raise UserError(f"--watts-{name} {watts}: expected a finite number of watts")
    point = Point(batch_size=batch_size, sequence_length=seq_len, width=width)
    plan = MeasurementPlan(
        backbone=backbone, methods=parse_methods(method), point=point, batches=batches, repeats=repeats
    )
    power = Power(
        computing_watts=watts_computing,
        communicating_watts=watts_communicating,
        idle_watts=watts_idle,
        source=watts_source,
    )
    machine = describe_machine(description)
    readings = _measure(plan)
    failures = "; ".join(f"{name}: {reason}" for name, reason in readings.failures.items())
    if not readings.complete():
        raise RunFailedError(f"no method was measured at every depth, so no profile is written: {failures}")
    write_profile_file(out, profile_table(readings, machine, power))
    _show(out, readings, as_json=as_json)
    if failures:
        raise RunFailedError(f"{out} is written, but some measurements failed: {failures}")


def _measure(plan: "MeasurementPlan") -> "Readings":
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    from fedlab.profiler.session import measure_board  # noqa: PLC0415

    console = Console(stderr=True)  # keeps stdout clean for pipes
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("preparing backbone and texts", total=None)

        def on_job(job: "Job", total: int) -> None:
            progress.update(task, description=f"{job.table.replace('_', ' ')}, depth {job.depth}", total=total)

        def on_reading(job: "Job", found: "Reading | str") -> None:
            progress.advance(task)
            what = f"{job.table.replace('_', ' ')}, depth {job.depth}"
            if isinstance(found, str):
                console.print(f"{what}: not measured: {found}", style="red")
            else:
                console.print(f"{what}: {found.batch_seconds:.4g} s a batch, {found.peak_bytes / 1e9:.3g} GB")

        return measure_board(plan, on_job=on_job, on_reading=on_reading)


def _show(out: Path, readings: "Readings", *, as_json: bool) -> None:
    from rich.console import Console  # noqa: PLC0415

    from fedlab.cli.device_table import device_as_json, render_device  # noqa: PLC0415
    from fedlab.devices.profile import load_profile  # noqa: PLC0415

    about = (load_profile(str(out), Path()), readings.plan.backbone, readings.shape, readings.plan.point)
    Console().print(render_device(*about))
    if as_json:
        sys.stdout.write(json.dumps(device_as_json(*about)) + "\n")
