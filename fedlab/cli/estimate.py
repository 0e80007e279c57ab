"""`fedlab estimate`: hours, bytes, joules and memory of an experiment or a trajectory, without training."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from fedlab.errors import UserError
from fedlab.estimate.spec import ALL_BOARDS, CodecName, EstimateMethod, FwdllmMethod, Paper, PublishedMethod
from fedlab.workload.passes import Format

if TYPE_CHECKING:
    from fedlab.estimate.named import Named


def estimate(
    source: Annotated[
        Path, typer.Argument(metavar="EXPERIMENT.toml|TRAJECTORY.csv", help="The experiment or trajectory to estimate.")
    ],
    method: Annotated[
        PublishedMethod | None,
        typer.Option(
            help="Trajectory: the method. FwdLLM: forward, full, adapter, bitfit, fedadapter or fedavg.",
            show_default="adapter; FwdLLM: forward",
        ),
    ] = None,
    codec: Annotated[
        CodecName | None,
        typer.Option(help="Trajectory: the codec of messages in both directions.", show_default="none"),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Trajectory: the backbone, as in an experiment file.", show_default="bert-base")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Trajectory: a board, a profile's .toml file, or `all` for a table of all boards.",
            show_default="jetson-tx2",
        ),
    ] = None,
    number_format: Annotated[
        Format | None,
        typer.Option("--format", help="Trajectory: the number format of frozen weights.", show_default="fp32"),
    ] = None,
    processor: Annotated[
        str | None, typer.Option(help="Trajectory: a processor of the board.", show_default="default")
    ] = None,
    targets: Annotated[
        str | None, typer.Option(help="Trajectory: the projections that LoRA adapts.", show_default="q,v")
    ] = None,
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Trajectory: compute activations a second time, to save memory.")
    ] = False,
    bandwidth: Annotated[
        str | None, typer.Option(help="Trajectory: the link's bandwidth in both directions.", show_default="1MB/s")
    ] = None,
    batches: Annotated[
        int | None,
        typer.Option(min=1, max=10**9, help="Batches of a client in a round.", show_default="29; experiment: counted"),
    ] = None,
    seq_len: Annotated[
        int | None, typer.Option(min=1, max=10**6, help="Trajectory: tokens per text.", show_default="256")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=10**6, help="Trajectory: texts per batch.", show_default="4")
    ] = None,
    labels: Annotated[int | None, typer.Option(min=1, max=10**6, help="Labels of the head.", show_default="20")] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Trajectory: use the simplified cost rules of a paper's artifact.")
    ] = False,
    paper: Annotated[
        Paper | None, typer.Option(help="With --published: whose rules and tables.", show_default="adafl")
    ] = None,
    evaluate_every: Annotated[
        int | None,
        typer.Option(min=1, max=10**9, help="FwdLLM: rounds from one evaluation to the next.", show_default="1"),
    ] = None,
    trajectory: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Experiment that searches: the outcome of its trials.")
    ] = None,
    settings: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Experiment: change a key.")] = [],  # noqa: B006  (typer makes a new list each time)
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Estimate the cost of a client slot without training, for an experiment or a trajectory.

    A trajectory is a CSV file with the columns round,depth,width: the configuration up to and including that round,
    with rounds counted from 1. With --published --paper fwdllm the columns are round,perturbations: the perturbations
    that one client evaluates in a step, up to and including that round.
    """
    words: dict[str, Any] = {
        "method": method,
        "codec": codec,
        "backbone": backbone,
        "device": device,
        "bandwidth": bandwidth,
        "sequence_length": seq_len,
        "batch_size": batch_size,
        "format": number_format,
        "processor": processor,
        "targets": None if targets is None else tuple(name.strip() for name in targets.split(",")),
        "checkpointing": checkpointing or None,
    }
    given = {key: value for key, value in words.items() if value is not None}
    counted = {"batches": batches, "labels": labels}
    if source.suffix.lower() == ".toml":
        told = {"published": published, "paper": paper, "evaluate_every": evaluate_every}
        _refuse([*given, *(key for key, value in told.items() if value)], "a trajectory, not for an experiment")
        _print_planned(source, settings, trajectory, counted, as_json=as_json)
    else:
        _refuse(
            ["trajectory"] * (trajectory is not None) + ["set"] * bool(settings), "an experiment, not for a trajectory"
        )
        if paper is not None and not published:
            raise UserError("--paper says whose published figures are used: give --published as well")
        given |= {key: value for key, value in counted.items() if value is not None}
        if paper == "fwdllm":
            every = {} if evaluate_every is None else {"evaluate_every": evaluate_every}
            _print_rounds(source, given | every, as_json=as_json)
            return
        _refuse(["evaluate_every"] * (evaluate_every is not None), "--published --paper fwdllm")
        if published and labels is not None:
            raise UserError(
                "--labels sets the size of the head, which --published takes from its tables; give one of them"
            )
        if method is not None and method not in get_args(EstimateMethod):
            raise UserError(f"--method {method} is for --published --paper fwdllm, accepted: {_listed(EstimateMethod)}")
        _print_trajectory(source, given | {"published": published}, as_json=as_json)


def _refuse(names: list[str], what: str) -> None:
    for name in names[:1]:
        option = {"sequence_length": "seq-len"}.get(name, name).replace("_", "-")
        raise UserError(f"--{option} is for {what}")


def _listed(names: Any) -> str:
    return ", ".join(get_args(names))


def _print_rounds(path: Path, given: dict[str, Any], *, as_json: bool) -> None:
    from fedlab.estimate.fwdllm.bill import FwdllmSlot, bill  # noqa: PLC0415  (keeps the command line quick to start)
    from fedlab.estimate.fwdllm.rendering import plain_rounds, render_rounds  # noqa: PLC0415
    from fedlab.estimate.fwdllm.rounds import read_rounds  # noqa: PLC0415
    from fedlab.estimate.named import bandwidth_of  # noqa: PLC0415

    _refuse([key for key in ("codec", "targets", "checkpointing") if key in given], "AdaFL and our own cost model")
    if given.get("method", "forward") not in get_args(FwdllmMethod):
        raise UserError(f"--method {given['method']}: FwdLLM has no figures of it, accepted: {_listed(FwdllmMethod)}")
    if "bandwidth" in given:
        given = given | {"bandwidth": bandwidth_of(given["bandwidth"])}
    slot = FwdllmSlot(**given)
    found = bill(read_rounds(path, slot.method), slot)
    _check_finite(found.estimate.seconds)
    _show(render_rounds(found, slot), plain_rounds(found), as_json=as_json)


def _print_trajectory(path: Path, given: dict[str, Any], *, as_json: bool) -> None:
    from fedlab.estimate.named import Named, estimate_named  # noqa: PLC0415  (keeps the command line quick to start)
    from fedlab.estimate.rendering import as_plain, render_estimate  # noqa: PLC0415

    named = Named(**given)
    if named.device == ALL_BOARDS:
        _print_boards(path, named, as_json=as_json)
        return
    found = estimate_named(path, named)
    _show(render_estimate(found, str(named), room_bytes=named.profile().memory_bytes), as_plain(found), as_json=as_json)


def _print_boards(path: Path, named: "Named", *, as_json: bool) -> None:
    from fedlab.estimate.boards import on_every_board, plain_boards, render_boards  # noqa: PLC0415
    from fedlab.estimate.trajectory import read_trajectory  # noqa: PLC0415

    boards = on_every_board(read_trajectory(path), named)
    for board in boards:
        _check_finite(board.estimate.seconds if board.estimate else 0.0)
    _show(render_boards(boards, str(named)), plain_boards(boards), as_json=as_json)


def _print_planned(
    path: Path, settings: list[str], trajectory: Path | None, counted: dict[str, int | None], *, as_json: bool
) -> None:
    from fedlab.config.file import load_experiment  # noqa: PLC0415
    from fedlab.estimate.trajectory import read_trajectory  # noqa: PLC0415

    experiment = load_experiment(path, settings)
    followed = None if trajectory is None else read_trajectory(trajectory)
    from fedlab.estimate.experiment.estimate import estimate_experiment  # noqa: PLC0415  (seconds of imports)

    labels = counted["labels"] or 20
    found = estimate_experiment(experiment, trajectory=followed, batches=counted["batches"], labels=labels)
    _show(found.rendered(), found.plain(), as_json=as_json)


def _check_finite(seconds: float) -> None:
    if not math.isfinite(seconds):
        raise UserError("the result overflows; check the bandwidth")


def _show(table: Any, plain: dict[str, Any], *, as_json: bool) -> None:
    from rich.console import Console  # noqa: PLC0415

    _check_finite(plain.get("seconds", 0.0))
    if as_json:
        typer.echo(json.dumps(plain))
    else:
        Console().print(table)
