"""The command line."""

import atexit
import errno
import gc
import json
import logging
import re
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from fedlab.cli.cache import cache, clean
from fedlab.cli.client import client
from fedlab.cli.compare import compare
from fedlab.cli.data import data
from fedlab.cli.deploy import deploy
from fedlab.cli.estimate import estimate
from fedlab.cli.import_traces import import_traces
from fedlab.cli.new import new
from fedlab.cli.other_fedlab import notice_other
from fedlab.cli.profile_device import profile_device
from fedlab.cli.report import report
from fedlab.cli.reprice import reprice
from fedlab.cli.reproduce import reproduce
from fedlab.cli.session import session
from fedlab.cli.sweep import sweep
from fedlab.cli.watch import watch
from fedlab.common.short_text import error_line, raised, shortened
from fedlab.errors import DamagedError, InterruptedRunError, RunFailedError, UserError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Federated fine-tuning of transformer adapters: accuracy against simulated hours, joules and bytes.",
)

_INTERRUPTED = 130
_OF_PATHS = (errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO)

Settings = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the experiment.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object on the last line.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"fedlab {version('fedlab-edge')}, flwr {version('flwr')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    experiment: Annotated[Path | None, typer.Argument(metavar="EXPERIMENT", help="An experiment file.")] = None,
    settings: Settings = [],  # noqa: B006  (typer makes a new list each time)
    seed: Annotated[int | None, typer.Option(help="Seed of every random draw.")] = None,
    out: Annotated[Path | None, typer.Option(help="New run folder.", show_default="runs/NAME")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Resume an interrupted run, or a finished one (--set rounds=N)."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=10**4, help="Number of Ray actors.", show_default="number of cores")
    ] = None,
    ray_address: Annotated[str | None, typer.Option(help="Ray cluster to join; local starts one for this run.")] = None,
    activations: Annotated[Path | None, typer.Option(help="Folder for stored activations, kept after the run.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print plain lines instead of a live display.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment on simulated clients, or resume a run."""
    if (experiment is None) == (resume is None):
        raise UserError("give either an experiment file or --resume RUN")
    if resume is not None and (seed is not None or out is not None):
        raise UserError("--resume continues a run in its own folder: --seed and --out are not accepted")
    kept = None if activations is None else str(activations.absolute())
    engine = {"engine.workers": workers, "engine.ray_address": ray_address, "engine.activations": kept}
    extra = [f"{key}={json.dumps(value)}" for key, value in engine.items() if value is not None]
    if resume is not None:
        _resume(resume, settings, extra, quiet=quiet, as_json=as_json)
    elif experiment is not None:
        seeded = [] if seed is None else [f"seed={seed}"]
        _start(experiment, [*settings, *seeded, *extra], out, quiet=quiet, as_json=as_json)


@app.command()
def show(folder: RunArgument, as_json: AsJson = False) -> None:
    """Show the summary and the trials of a run, and redraw its plot."""
    from fedlab.results.folder import open_run  # noqa: PLC0415
    from fedlab.results.plots import plot_accuracy  # noqa: PLC0415  (keeps the command line quick to start)
    from fedlab.results.report import render_summary, summarise  # noqa: PLC0415
    from fedlab.results.shift_plot import plot_shifts  # noqa: PLC0415

    found = open_run(folder)
    rounds, trials = found.rounds(), found.trials()
    summary = found.summary()
    if summary is None:
        summary = summarise(rounds, trials, found.clients(), status="unfinished") | {"run_dir": str(folder)}
    render_summary(summary, folder)  # before anything is written: a run that cannot be shown stays as it is
    try:
        plot_accuracy(rounds, trials, found.plot, score=str(summary.get("scored_by") or "accuracy"))
        if shifts := found.shifts():
            plot_shifts(shifts, found.shifts_plot)
    except OSError as error:  # a run of others, or on a read-only disk
        sys.stderr.write(f"{found.plot}: not redrawn: {error.strerror}\n")
    _print_results(folder, summary, as_json=as_json)


@app.command()
def verify(
    folder: RunArgument,
    other: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Run to compare with.")] = None,
) -> None:
    """Recompute the digests of a run, compare them with its summary, and the run with another one."""
    from fedlab.results.digests import compare_runs, unshared_fields, verify_run  # noqa: PLC0415
    from fedlab.results.folder import open_run  # noqa: PLC0415

    runs = [open_run(each) for each in (folder, other) if each is not None]
    for each in runs:
        verify_run(each)
    if other is None:
        typer.echo("the run matches its summary")
        return
    if differences := compare_runs(*runs):
        raise RunFailedError("the runs differ: " + "; ".join(differences))
    unshared = ", ".join(unshared_fields(*runs))
    typer.echo("the runs are identical" + (f"; only one of them records {unshared}" if unshared else ""))


Listed = Literal[
    "strategies",
    "clients",
    "devices",
    "links",
    "codecs",
    "availability",
    "trackers",
    "datasets",
    "backbones",
    "experiments",
]


@app.command(name="list")
def list_(
    what: Annotated[Listed, typer.Argument(help="What to list.")],
    name: Annotated[str | None, typer.Argument(help="devices: print the table of this board.")] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="devices NAME: backbone, as in an experiment file, sizes such as 6x384x1536, or a convolutional "
            "network such as googlenet.",
            show_default="bert-base",
        ),
    ] = None,
    seq_len: Annotated[
        int | None, typer.Option(min=1, max=10**6, help="devices NAME: tokens per text.", show_default="256")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=10**6, help="devices NAME: texts or images per batch.", show_default="4")
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(min=1, max=10**6, help="devices NAME: bottleneck units of the adapters.", show_default="32"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """List the names that an experiment file can use."""
    from fedlab.cli.list_names import list_device, list_names  # noqa: PLC0415

    if name is not None and what != "devices":
        raise UserError(f"fedlab list {what} takes no name; accepted: fedlab list devices NAME")
    sizes = {"backbone": backbone, "seq_len": seq_len, "batch_size": batch_size, "width": width}
    said = {key: value for key, value in sizes.items() if value is not None}
    if name is not None:
        table, plain = list_device(name, said)
    elif said:
        raise UserError(f"--{next(iter(said)).replace('_', '-')} is for the table of a board: fedlab list devices NAME")
    else:
        table, plain = list_names(what)
    if as_json:
        sys.stdout.write(json.dumps(plain) + "\n")
    else:
        _console().print(table)


app.command()(import_traces)
app.command()(data)
app.command()(compare)
app.command()(report)
app.command()(watch)
app.command()(reproduce)
app.command()(sweep)
app.command()(reprice)
app.command()(estimate)
app.command()(profile_device)
app.command()(client)
app.command()(new)
app.command()(clean)
app.add_typer(cache, name="cache")
app.add_typer(deploy, name="deploy")
app.add_typer(session, name="session")


def main() -> None:
    """Run the command line: 0 done, 1 failed, 2 bad usage, 130 interrupted."""
    atexit.register(gc.freeze)  # of what is left in the end, Python would look for garbage: half a second with torch
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns of a home that is read-only, and does without
    try:
        if other := notice_other():
            sys.stderr.write(f"fedlab: {other}\n")
        code = app(standalone_mode=False)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except SystemExit as end:
        if _is_of_typer(end):
            raise
        _fail(f"code that is not fedlab's ended the program: {raised(end)}", 1)
    except Exception as error:
        _fail_on(error)
    if code == _INTERRUPTED:  # typer returns this code for a KeyboardInterrupt
        _fail("interrupted", _INTERRUPTED)
    if isinstance(code, int) and code:
        sys.exit(code)


def _is_of_typer(end: SystemExit) -> bool:
    """Tell whether typer ended the program: the reader of our output has gone, or a shell has got its completions."""
    if isinstance(end.__context__, BrokenPipeError):
        return True
    trace = end.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
    return module.partition(".")[0] in ("typer", "click")


def _fail_on(error: Exception) -> NoReturn:
    from click import Abort, ClickException  # noqa: PLC0415

    match error:
        case InterruptedRunError():
            _fail(str(error), _INTERRUPTED)
        case RunFailedError() | DamagedError():
            _fail(str(error), 1)
        case UserError():
            _fail(str(error), 2)
        case ClickException():
            _fail(_without_repetition(error.format_message()), 2)
        case Abort():
            _fail("interrupted", _INTERRUPTED)
        case OSError():
            _fail(*_of_system(error))
        case MemoryError():
            _fail(f"out of memory: {raised(error)}", 1)
    _fail(f"internal error, please report it: {raised(error)}", 1, traceback.format_exc())


def _without_repetition(message: str) -> str:
    """Return a message without the sentence that typer adds to it and newer versions of click have already."""
    return re.sub(r"( Did you mean [^?]*\?)\1", r"\1", message)


def _of_system(error: OSError) -> tuple[str, int]:
    """Return what the system refused, and whether the user's path (2) or the machine (1) is the cause."""
    place = "" if error.filename is None else f"{shortened(str(error.filename), 120)}: "
    return f"{place}{error.strerror or raised(error)}", 2 if error.errno in _OF_PATHS else 1


def _fail(message: str, code: int, detail: str = "") -> NoReturn:
    line = error_line(f"fedlab: {message}")
    sys.stderr.write(f"{detail}{line}\n")
    sys.exit(code)


def _start(path: Path, settings: list[str], out: Path | None, *, quiet: bool, as_json: bool) -> None:
    from fedlab.config.file import load_experiment  # noqa: PLC0415
    from fedlab.scripting.run import run_new  # noqa: PLC0415

    summary = run_new(load_experiment(path, settings), out, _console(), plain=quiet or as_json)
    _print_results(Path(summary["run_dir"]), summary, as_json=as_json)


def _resume(path: Path, settings: list[str], extra: list[str], *, quiet: bool, as_json: bool) -> None:
    from fedlab.cli.resume import changed_experiment  # noqa: PLC0415
    from fedlab.config.file import load_experiment  # noqa: PLC0415
    from fedlab.results.folder import open_run  # noqa: PLC0415
    from fedlab.results.recorder import refuse_if_written  # noqa: PLC0415
    from fedlab.scripting.run import run_in  # noqa: PLC0415
    from fedlab.server.extend import goes_on, reopen  # noqa: PLC0415

    folder = open_run(path)
    refuse_if_written(folder)
    experiment, summary = changed_experiment(folder, settings), folder.summary()
    if summary is not None and not goes_on(folder, experiment):
        _print_results(path, summary, as_json=as_json)
        return
    here = load_experiment(folder.experiment, [*settings, *extra])
    claim = (lambda: reopen(folder, experiment)) if settings else (lambda: folder)
    summary = run_in(here, claim, _console(), plain=quiet or as_json)
    _print_results(Path(summary["run_dir"]), summary, as_json=as_json)


def _print_results(folder: Path, summary: dict[str, Any], *, as_json: bool) -> None:
    from fedlab.results.folder import RunFolder  # noqa: PLC0415
    from fedlab.results.report import render_generations, render_summary, render_trials  # noqa: PLC0415

    found, console = RunFolder(folder), _console()
    if trials := found.trials():
        console.print(render_trials(trials, found.rounds()))
    if texts := found.generations():
        console.print(render_generations(texts))
    console.print(render_summary(summary, folder))
    if as_json:
        sys.stdout.write(json.dumps(summary) + "\n")


def _console() -> Any:
    from rich.console import Console  # noqa: PLC0415

    return Console()
