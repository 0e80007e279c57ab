"""The published tables and figures that can be recomputed without training."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from fedlab.config.schema import BackboneTable
from fedlab.devices.costmodel.base import compute_seconds
from fedlab.devices.profile import DeviceProfile, built_in_profiles, load_profile
from fedlab.devices.tables import Point
from fedlab.estimate.exact import trained_shapes
from fedlab.estimate.published import published_rules
from fedlab.estimate.slot import Estimate, Slot, estimate
from fedlab.estimate.spec import CodecName, EstimateMethod
from fedlab.estimate.trajectory import Segment
from fedlab.estimate.wire import num_parameters
from fedlab.models.sizes import EncoderSizes, read_sizes
from fedlab.network.links import constant
from fedlab.paper.cells import PaperCell, Section
from fedlab.paper.figures import METHODS, SHARES, Boards, Figures, PaperMethod, PaperTask
from fedlab.workload.passes import WHOLE, bottleneck
from fedlab.workload.workload import Workload, training_passes

_BOARD = "jetson-tx2"
_BACKBONE = "bert-base"
_LABELS = 20  # of the head in Table 1
_BATCH_SIZE = 4
_KIND: Mapping[PaperMethod, EstimateMethod] = {
    "FT": "full",
    "FTQ": "full",
    "LF": "freeze",
    "LFQ": "freeze",
    "AdaFL": "adapter",
}


def table1(figures: Figures) -> list[Section]:
    """Return Table 1: seconds for a batch on the TX2 and trained parameters, of adapters or of all weights."""
    seconds, parameters = [], []
    for row in figures.table1:
        sizes, name = _sizes(row.backbone), f"{row.backbone} {'FT' if row.method == 'full' else 'adapters'}"
        blocks, width = sizes.shape.blocks, Point().width
        ours = _batch_seconds(_BOARD, sizes, row.method)
        seconds.append(PaperCell(row=name, column="seconds a batch", ours=ours, paper=row.seconds))
        count = num_parameters(trained_shapes(row.method, sizes, _LABELS)(blocks, width)) / 1e6
        parameters.append(PaperCell(row=name, column="parameters", ours=count, paper=row.million_parameters))
    return [
        Section(title="Table 1: a batch of 4 x 256 tokens on the TX2", unit="s", cells=tuple(seconds)),
        Section(title="Table 1: trained parameters, 20 labels", unit="million", cells=tuple(parameters)),
    ]


def table2(figures: Figures) -> list[Section]:
    """Return Table 2: the best configurations, which only training can find, with the seconds of a round at each."""
    cells = tuple(
        PaperCell(
            row=figures.tasks[key].name,
            column=f"{share:.0%}",
            ours=_round_at(figures.tasks[key], *best).seconds,
            note=f"({best[0]}, {best[1]})",
        )
        for key, configurations in figures.table2.items()
        for share, best in zip(SHARES, configurations, strict=True)
    )
    return [Section(title="Table 2: a round at the best fixed configuration, TX2, 1 MB/s", unit="s", cells=cells)]


def table3(figures: Figures) -> list[Section]:
    """Return Table 3: seconds for a batch by board."""
    sizes = _sizes("distilbert-base")
    cells = tuple(
        PaperCell(row=board, column="seconds a batch", ours=_batch_seconds(board, sizes, "full"), paper=paper)
        for board, paper in figures.table3.items()
    )
    return [Section(title="Table 3: a batch of 4 x 256 tokens, DistilBERT, full fine-tuning", unit="s", cells=cells)]


def table5(figures: Figures) -> list[Section]:
    """Return Table 5: hours to each share of the full-convergence accuracy, and energy to the first share."""
    return [*(_hours_of(figures, key) for key in figures.tasks), _energy(figures)]


def figure6(figures: Figures) -> list[Section]:
    """Return Figure 6: hours by bandwidth, after the rounds of Table 5."""
    panel = figures.figure6
    task = figures.tasks[panel.task]
    rounds = {row.method: row.rounds[0] for row in figures.table5 if row.task == panel.task}
    cells = tuple(
        PaperCell(
            row=method,
            column=bandwidth,
            ours=billed(task, method, rounds[method], bandwidth=bandwidth).hours,
            paper=paper,
        )
        for method in METHODS
        for bandwidth, paper in zip(panel.bandwidths, panel.hours[method], strict=True)
    )
    return [Section(title=f"Figure 6: hours to 99% on {task.name} by bandwidth, TX2", unit="h", cells=cells)]


def figure7(figures: Figures) -> list[Section]:
    """Return Figure 7: hours by board, and the mean of the boards."""
    return [_boards(figures.tasks[panel.task], panel) for panel in figures.figure7]


COST_TABLES: Mapping[str, Callable[[Figures], list[Section]]] = {
    "table1": table1,
    "table2": table2,
    "table3": table3,
    "table5": table5,
    "figure6": figure6,
    "figure7": figure7,
}


def billed(
    task: PaperTask,
    method: PaperMethod,
    rounds: int,
    *,
    board: str = _BOARD,
    bandwidth: str = "1MB/s",
    sequence_length: int | None = None,
) -> Estimate:
    """Return the cost of `rounds` rounds of a method on BERT, by the artifact's rules."""
    kind, shape = _KIND[method], _sizes(_BACKBONE).shape
    slot = Slot(
        method=kind,
        shape=shape,
        profile=_board(board),
        link=constant(bandwidth),
        batches=task.batches,
        batch_size=_BATCH_SIZE,
        sequence_length=sequence_length or task.sequence_length,
    )
    return estimate(trajectory(task, method, rounds), slot, published_rules(kind, shape.family, _codec(method, task)))


def _round_at(task: PaperTask, depth: int, width: int) -> Estimate:
    """Return the cost of one round at a configuration."""
    return billed(task.model_copy(update={"segments": ((1, depth, width),)}), "AdaFL", 1)


def trajectory(task: PaperTask, method: PaperMethod, rounds: int) -> list[Segment]:
    """Return the configurations trained in `rounds` rounds: AdaFL's trajectory up to there, or a fixed depth."""
    if method != "AdaFL":
        depth = task.freeze_depth if method in ("LF", "LFQ") else _sizes(_BACKBONE).shape.blocks
        return [Segment(rounds, depth, 0)]
    started = [0, *(last for last, _, _ in task.segments)]
    return [
        Segment(min(last, rounds), depth, width)
        for first, (last, depth, width) in zip(started, task.segments, strict=False)
        if first < rounds
    ]


def _codec(method: PaperMethod, task: PaperTask) -> CodecName:
    """Return the quantisation of updates: 8 bits, or 4 bits for LFQ up to depth 2."""
    if method == "LFQ" and task.freeze_depth <= 2:
        return "int4"
    return "int8" if method in ("FTQ", "LFQ") else "none"


def _hours_of(figures: Figures, key: str) -> Section:
    task = figures.tasks[key]
    cells = [
        PaperCell(
            row=row.method,
            column=f"{share:.0%}",
            ours=billed(task, row.method, rounds, sequence_length=row.billed_sequence_length).hours,
            paper=paper,
            inferred=inferred,
        )
        for row in figures.table5
        if row.task == key
        for share, rounds, paper, inferred in zip(SHARES, row.rounds, row.hours, row.inferred, strict=True)
    ]
    title = f"Table 5: hours to a share of full convergence on {task.name}, BERT, TX2, 1 MB/s"
    return Section(title=title, unit="h", cells=tuple(cells))


def _energy(figures: Figures) -> Section:
    cells = [
        PaperCell(
            row=method,
            column=figures.tasks[row.task].name,
            ours=billed(figures.tasks[row.task], method, rounds).joules / 1e3,
            paper=paper,
        )
        for row in figures.energy
        for method, rounds, paper in zip(METHODS, row.rounds, row.kilojoules, strict=True)
    ]
    return Section(title="Energy of a participant to 99%, TX2 (drawn in the paper)", unit="kJ", cells=tuple(cells))


def _boards(task: PaperTask, panel: Boards) -> Section:
    cells = [
        PaperCell(row=method, column=board, ours=billed(task, method, rounds, board=board).hours, paper=paper[place])
        for place, (method, rounds) in enumerate(zip(METHODS, panel.rounds, strict=True))
        for board, paper in panel.hours.items()
    ]
    means = [_mean([cell for cell in cells if cell.row == method]) for method in METHODS]
    title = f"Figure 7: hours to {panel.share:.0%} on {task.name} by board, 1 MB/s"
    return Section(title=title, unit="h", cells=(*cells, *means))


def _mean(cells: Sequence[PaperCell]) -> PaperCell:
    papers = [cell.paper for cell in cells if cell.paper is not None]
    ours = [cell.ours for cell in cells if cell.ours is not None]
    return PaperCell(
        row=cells[0].row, column="heterogeneous", ours=sum(ours) / len(ours), paper=sum(papers) / len(papers)
    )


def _batch_seconds(board: str, sizes: EncoderSizes, method: EstimateMethod) -> float:
    point = Point()
    blocks = sizes.shape.blocks
    passes = training_passes(
        batches=1,
        batch_size=point.batch_size,
        input_shape=(point.sequence_length,),
        model_blocks=blocks,
        depth=blocks,
        trained=WHOLE if method == "full" else bottleneck(point.width),
    )
    return compute_seconds(_board(board), Workload(passes=passes, num_examples=point.batch_size), sizes.shape)


@cache
def _board(name: str) -> DeviceProfile:
    assert name in built_in_profiles(), f"{name} is a board of the study"
    return load_profile(name, Path())


@cache
def _sizes(backbone: str) -> EncoderSizes:
    return read_sizes(BackboneTable(name=backbone), resolve=Path)
