"""`fedlab data`: show what is read of an experiment's data, and what each client holds."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def data(
    experiment: Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="An experiment file.")],
    settings: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the experiment.")
    ] = [],  # noqa: B006  (typer makes a new list each time)
    seed: Annotated[int | None, typer.Option(help="Seed of every random draw.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for data.json and data.png.", show_default="runs/NAME-data")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the tables.")] = False,
) -> None:
    """Show what is read of an experiment's data, and the labels of each client."""
    from rich.console import Console  # noqa: PLC0415  (keeps the command line quick to start)

    from fedlab.common.files import provide_folder  # noqa: PLC0415
    from fedlab.common.prepared_cache import cache_folder  # noqa: PLC0415
    from fedlab.common.scratch import scratch_folder  # noqa: PLC0415
    from fedlab.config.file import load_experiment  # noqa: PLC0415
    from fedlab.data.task import read_task  # noqa: PLC0415
    from fedlab.results.data_report import render_data, write_data  # noqa: PLC0415
    from fedlab.training.bundle import bundle_for  # noqa: PLC0415

    loaded = load_experiment(experiment, [*settings, *([] if seed is None else [f"seed={seed}"])])
    with scratch_folder() as scratch:
        report = read_task(bundle_for(loaded, scratch), cache_folder() / "tokens").report
    assert report is not None, "a task of an experiment has one"
    folder = out if out is not None else Path("runs") / f"{loaded.name}-data"
    provide_folder(folder, f"--out {folder}")
    write_data(report, folder / "data.json", folder / "data.png")
    if as_json:
        sys.stdout.write(json.dumps(report.plain()) + "\n")
        return
    console = Console()
    console.print(render_data(report))
    console.print(f"written: {folder / 'data.json'}, {folder / 'data.png'}", markup=False, soft_wrap=True)
