"""What a step of training needs of a board, for encoders like BERT: tables of one point, carried over by rule.

The families are BERT, DistilBERT, RoBERTa and ALBERT. A table holds for one encoder (the step's own family where the
profile has it, else another of these), one batch size, sequence length and adapter width. From that point:

* Latency is linear in batch size and in sequence length (published: length 64 takes a quarter of length 256).
* A frozen block of another size takes its share of matrix products, 4 H^2 + 2 H I a token. A block that carries an
  adapter of width w takes its share of 4 H^2 + 2 H I + 2 H w.
* Of a step without cache, the depth-0 figure is the forward pass and grows with the number of blocks; the rest is what
  training the top blocks adds. A cached step takes the cached table as it is, but never more than one without cache.
* Depths beyond a table go on with its mean step. Training all blocks whole also trains the embeddings: the excess of
  `full`'s last step over the mean of those before belongs to them, at whatever depth all blocks are reached.
* More depth never costs less time: a depth takes the most that any depth up to it takes.
* Peak memory is a fixed part (the process and the blocks' weights, which change with the encoder alone; ALBERT's blocks
  share one block's weights) and the rest, which is linear in batch size, sequence length and hidden size, and goes on
  beyond the table as latency does. By depth it is the table's own, also where that falls (DistilBERT's published
  adapters do, from 2 to 3).
* A forward pass alone, through all blocks, and training the head alone take the depth-0 figure of `adapter`, or of
  `full` where a profile has no adapters.

At the measured point, each is the table's own figure, or that of a lower depth which takes longer. Everything else,
such as LoRA, biases alone, whole blocks from stored activations, or blocks that are not the top ones, has no rule. It
is priced by the roofline where the board has rates (`fedlab.devices.costmodel.roofline`), and is an error elsewhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from fedlab.devices.costmodel.base import misfit, processor_watts
from fedlab.devices.costmodel.roofline import RooflineCosts, has_peak
from fedlab.devices.filled_tables import TablePlace
from fedlab.devices.profile import DeviceProfile
from fedlab.devices.tables import (
    DepthTable,
    Figure,
    FormatTables,
    Point,
    Provenance,
    Quantity,
    TableName,
    Tables,
    least_sure,
)
from fedlab.errors import UserError
from fedlab.workload.passes import Format, Pass
from fedlab.workload.shape import ModelShape, TabledFamily
from fedlab.workload.workload import Step

FAMILIES: tuple[TabledFamily, ...] = ("bert", "distilbert", "roberta", "albert")
_SHARES_BLOCKS: tuple[TabledFamily, ...] = ("albert",)
_WEIGHT_BYTES: Mapping[Format, float] = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1, "int4": 0.5}


class TransformerCosts:
    """The cost model of encoders like BERT (`fedlab.devices.costmodel.base.CostModel`)."""

    def seconds(self, device: DeviceProfile, step: Step, shape: ModelShape) -> Figure:
        """Return the seconds of a step's batches; raises UserError where the profile lacks a table, or a rule does."""
        if _by_roofline(device, step, shape, "latency_seconds"):
            return _ROOFLINE.seconds(device, step, shape)
        case = _case(device, step, shape)
        batch = _cached_batch_seconds(case) if case.table == "cached_adapter" else _uncached_batch_seconds(case)
        return Figure(value=step.count * batch, provenance=_provenance(case, "latency_seconds"))

    def computing_watts(self, device: DeviceProfile, step: Step, shape: ModelShape) -> Figure:
        """Return the power of the processor."""
        return processor_watts(device, step)

    def peak_bytes(self, device: DeviceProfile, step: Step, shape: ModelShape) -> Figure:
        """Return the peak memory of a step; raises UserError as `seconds` does."""
        if _by_roofline(device, step, shape, "peak_memory_bytes"):
            return _ROOFLINE.peak_bytes(device, step, shape)
        case = _case(device, step, shape)
        peak = _peak_bytes(case, case.uncached_table)
        if case.table == "cached_adapter":  # beyond the tables' depth their slopes lead on, and its own is the steeper
            peak = min(peak, _peak_bytes(case, "cached_adapter"))
        return Figure(value=peak, provenance=_provenance(case, "peak_memory_bytes"))


_ROOFLINE = RooflineCosts()


def _by_roofline(device: DeviceProfile, step: Step, shape: ModelShape, quantity: Quantity) -> bool:
    """Tell whether no table is for a step, and the board has rates to price it by."""
    run = step.forward
    if len(run.input_shape) != 1 or not has_peak(device, run):
        return False
    tables = device.tables(run.processor, run.format)
    name = _table_name(run, step.backward, shape, tables.latency_seconds)
    return name is None or not _has(_of_quantity(tables, quantity), name)


def weight_bytes(shape: ModelShape, number_format: Format = "fp32") -> float:
    """Return the bytes of the weights of all blocks, embeddings apart."""
    blocks = 1 if shape.family in _SHARES_BLOCKS else shape.blocks
    return blocks * _block_products(shape) * _WEIGHT_BYTES[number_format]


@dataclass(frozen=True, kw_only=True)
class _Case:
    """A step, the table it is priced by, and the number of top blocks it trains, of adapters of `width` if any."""

    device: DeviceProfile
    shape: ModelShape
    run: Pass  # its forward pass
    tables: FormatTables
    table: TableName
    depth: int
    width: int | None

    @property
    def uncached_table(self) -> TableName:
        return "adapter" if self.table == "cached_adapter" else self.table

    @property
    def sequence_length(self) -> int:
        return self.run.input_shape[0]

    def find(self, quantity: Quantity, name: TableName) -> DepthTable:
        """Return the nearest table: the family's own, else another's. Raises UserError if there is none."""
        tables = _of_quantity(self.tables, quantity)
        for candidate in sorted(FAMILIES, key=lambda family: family != self.shape.family):
            if (candidate, name) in tables:
                return tables[candidate, name]
        present = ", ".join(f"{quantity}.{family}.{other}" for family, other in tables) or "none"
        raise UserError(
            f"device profile {self.device.name}: {self.place}{quantity}.{self.shape.family}.{name}: missing, needed "
            f"here; it has {present}"
        )

    @property
    def place(self) -> TablePlace:
        return TablePlace(processor=self.run.processor, format=self.run.format)


def _case(device: DeviceProfile, step: Step, shape: ModelShape) -> _Case:
    """Return by which table a step is priced. Raises UserError if no table or rule is for such a step."""
    run, backward = step.forward, step.backward
    if problem := misfit([run, *([backward] if backward else [])], shape):
        raise UserError(problem)
    if len(run.input_shape) != 1:
        raise UserError(f"workload: input_shape is {run.input_shape}, expected (tokens,) for a {shape.family}")
    tables = device.tables(run.processor, run.format)
    depth = len(backward.blocks) if backward else 0
    name = _table_name(run, backward, shape, tables.latency_seconds)
    if name is None:
        raise UserError(
            f"device profile {device.name}: no table or rule for {_words(run, backward, shape)}; {_ACCEPTED}"
        )
    width = backward.trained.width if backward and backward.trained.kind == "bottleneck" else None
    return _Case(device=device, shape=shape, run=run, tables=tables, table=name, depth=depth, width=width)


_ACCEPTED = "accepted: a whole forward pass, and training the top blocks whole, their adapters or the head alone"


def _table_name(run: Pass, backward: Pass | None, shape: ModelShape, tables: Tables) -> TableName | None:
    """Return which table is for a step, None if none is."""
    forward: TableName = "full" if not _has(tables, "adapter") and _has(tables, "full") else "adapter"
    whole = run.blocks == range(shape.blocks) and not run.cached
    if backward is None:
        return forward if whole else None
    if not (run.blocks == backward.blocks if run.cached else whole) or not _as_measured(backward, shape):
        return None
    adapter: TableName = "cached_adapter" if run.cached else "adapter"
    if backward.trained.kind == "none":
        return None if backward.blocks else "cached_adapter" if run.cached else forward
    if backward.trained.kind == "whole":
        return None if run.cached else "full"
    return adapter if backward.trained.kind == "bottleneck" else None


def _as_measured(backward: Pass, shape: ModelShape) -> bool:
    """Tell whether the top blocks are trained as for the tables: by SGD, with all activations kept."""
    top = not backward.blocks or backward.blocks.stop == shape.blocks
    recomputes = backward.checkpointing and backward.blocks  # without blocks there is nothing to compute again
    return top and not recomputes and backward.trained.optimiser == "sgd"


def _words(run: Pass, backward: Pass | None, shape: ModelShape) -> str:
    """Describe a step that has no rule."""
    stored = " from stored activations" if run.cached else ""
    if backward is None:
        return f"a forward pass{stored} through {_span(run.blocks)} of {shape.blocks} of a {shape.family}"
    return (
        f"training '{backward.trained.kind}' in {_span(backward.blocks)} of {shape.blocks} of a {shape.family}{stored}"
    )


def _span(blocks: range) -> str:
    return f"blocks {blocks.start} to {blocks.stop - 1}" if blocks else "no blocks"


def _provenance(case: _Case, quantity: Quantity) -> Provenance:
    """Return where a figure comes from; one that is not the table's own names the point it was scaled from."""
    table = case.find(quantity, case.table)
    of_latency = quantity == "latency_seconds"
    trains_adapters = of_latency and case.width is not None and case.depth > 0
    at = Point(
        batch_size=case.run.batch_size,
        sequence_length=case.sequence_length,
        width=case.width if trains_adapters and case.width else table.point.width,
    )
    speed = case.device.relative_throughput if of_latency else 1.0
    known = table.provenance
    raised = of_latency and max(table.values[: case.depth + 1]) > _extended(table.values, case.depth)
    if (case.shape, at, speed) == (table.shape, table.point, 1.0) and not raised:
        return known
    as_fast = "" if speed == 1.0 else f", x{speed:.2g} as fast"
    place = f"{case.place}{quantity}.{table.shape.family}.{case.table} at {_place(table)}{as_fast}"
    return Provenance(
        level=least_sure(known.level, "scaled"),
        source=f"from {place} ({known.level}: {known.source or 'no source given'})",
    )


def _place(table: DepthTable) -> str:
    sizes, point = asdict(table.shape), asdict(table.point)
    return (
        "{blocks} blocks of {hidden} x {intermediate}, batches of {batch_size} x {sequence_length} tokens, "
        "width {width}"
    ).format(**sizes, **point)


def _peak_bytes(case: _Case, name: TableName) -> int:
    table, shape, number_format = case.find("peak_memory_bytes", name), case.shape, case.run.format
    value, weights = _at_depth(table, name, case.depth, shape.blocks), weight_bytes(table.shape, number_format)
    fixed = min(value, weights if table.fixed is None else table.fixed)
    # Only this much of the fixed part is weights: those of blocks that are never run are not in memory.
    share_of_weights = min(fixed, weights) / weights
    process = fixed - weights * share_of_weights
    batch = (value - fixed) * shape.hidden / table.shape.hidden * _batch_share(table, case)
    return round(process + weight_bytes(shape, number_format) * share_of_weights + batch)


def _uncached_batch_seconds(case: _Case) -> float:
    name, shape = case.uncached_table, case.shape
    table = case.find("latency_seconds", name)
    blocks, forward = table.shape.blocks, table.values[0]
    frozen, trained = _frozen_share(shape, table), _trained_share(table, case)

    def seconds(depth: int) -> float:
        value = _at_depth(table, name, depth, shape.blocks)
        every = value + forward * (shape.blocks / blocks - 1)
        in_trained = value - forward + forward * depth / blocks
        return frozen * every + (trained - frozen) * max(0.0, in_trained)

    return _most_up_to(case.depth, seconds) * _batch_share(table, case)


def _cached_batch_seconds(case: _Case) -> float:
    table = case.find("latency_seconds", "cached_adapter")
    frozen, trained = _frozen_share(case.shape, table), _trained_share(table, case)

    def seconds(depth: int) -> float:
        value = _at_depth(table, "cached_adapter", depth, case.shape.blocks)
        return frozen * value + (trained - frozen) * max(0.0, value - table.values[0])

    cached = _most_up_to(case.depth, seconds) * _batch_share(table, case)
    if not _has(case.tables.latency_seconds, "adapter"):
        return cached
    return min(cached, _uncached_batch_seconds(case))


def _of_quantity(tables: FormatTables, quantity: Quantity) -> Tables:
    return tables.latency_seconds if quantity == "latency_seconds" else tables.peak_memory_bytes


def _has(tables: Tables, name: TableName) -> bool:
    return any((family, name) in tables for family in FAMILIES)


def _at_depth(table: DepthTable, name: TableName, depth: int, blocks: int) -> float:
    """Read a table at a depth of an encoder of `blocks` blocks; `full` at all blocks adds the embeddings."""
    if name != "full":
        return _extended(table.values, depth)
    body = table.values[:-1]
    if depth < blocks:
        return _extended(body, depth)
    return table.values[-1] + (_extended(body, depth) - _extended(body, len(body)))


def _extended(values: Sequence[float], depth: int) -> float:
    """Read entry `depth`, or go on beyond the end by the mean step, never down."""
    last = len(values) - 1
    if depth <= last:
        return values[depth]
    step = (values[last] - values[0]) / last if last else 0.0
    return values[last] + (depth - last) * max(0.0, step)


def _most_up_to(depth: int, seconds: Callable[[int], float]) -> float:
    return max(seconds(lower) for lower in range(depth + 1))


def _block_products(shape: ModelShape) -> int:
    """Count a block's multiplications per token: four H x H projections and the two H x I of the feed-forward part."""
    return 4 * shape.hidden**2 + 2 * shape.hidden * shape.intermediate


def _frozen_share(shape: ModelShape, table: DepthTable) -> float:
    return _block_products(shape) / _block_products(table.shape)


def _trained_share(table: DepthTable, case: _Case) -> float:
    """Return the products of a trained block, its adapter included, as a share of those of the table's."""
    if case.width is None:
        return _frozen_share(case.shape, table)
    here = _block_products(case.shape) + 2 * case.shape.hidden * case.width
    there = _block_products(table.shape) + 2 * table.shape.hidden * table.point.width
    return here / there


def _batch_share(table: DepthTable, case: _Case) -> float:
    point = table.point
    return (case.run.batch_size * case.sequence_length) / (point.batch_size * point.sequence_length)
