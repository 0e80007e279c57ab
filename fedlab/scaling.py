"""What a workload needs on a board: the one place that carries the tables over to other sizes.

A table holds for the base encoder of its family (the workload's own family where the profile has it, else the other),
for one batch size, sequence length and adapter width. From there:

* Latency is linear in batch size and in sequence length (published: length 64 takes a quarter of length 256).
* A block of another size takes its share r of matrix-product work: (4 H^2 + 2 H I) over the reference's.
* Of an uncached batch, the depth-0 figure is the forward pass and grows with the number of blocks; the rest is what
  training the top blocks adds. A cached batch takes the cached table as it is, but never more than an uncached one.
* Depths beyond a table go on with its last step. Training all blocks whole also trains the embeddings: the excess of
  `full`'s last step over the step before belongs to them, at whatever depth all blocks are reached.
* An adapter of another width adds or removes its own matrix products in each adapted block, 2 H (w - 32) against the
  reference block's 4 H^2 + 2 H I, times what the adapted blocks take.
* More depth never costs less time: a depth takes the most that any depth up to it takes.
* Peak memory is the blocks' weights (4 bytes each) plus the rest, which is linear in batch size, sequence length and
  hidden size, and which goes on beyond the table as latency does. The weights are its floor.

At the measured point, each is the table's own figure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import get_args

from fedlab.devices import REFERENCE_SHAPES, DeviceProfile, Family, Quantity, Standing, Table, TableName
from fedlab.errors import UserError
from fedlab.workload import EncoderShape, Workload

_WEIGHT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one batch takes on a board, and where the two figures come from."""

    seconds: float
    memory_bytes: int
    seconds_standing: Standing
    memory_standing: Standing


@dataclass(frozen=True, kw_only=True)
class DepthRow:
    """A depth, and what one batch takes by each table the profile has."""

    depth: int
    cells: Mapping[TableName, Cell]


def compute_seconds(profile: DeviceProfile, workload: Workload, shape: EncoderShape) -> float:
    """Return the seconds the board computes for a workload.

    Only adapters start from stored activations: `cached_batches` of other methods are billed like the rest. Raises
    UserError where the profile lacks the table the method needs.
    """
    assert 0 <= workload.depth <= shape.blocks, f"depth {workload.depth} of {shape.blocks} blocks"
    assert 0 <= workload.cached_batches <= workload.batches, "cached batches are some of the batches"
    cached = workload.cached_batches if workload.method == "adapter" else 0
    uncached = workload.batches - cached
    seconds = 0.0
    if uncached:
        seconds += uncached * _uncached_batch_seconds(profile, workload, shape)
    if cached:
        seconds += cached * _cached_batch_seconds(profile, workload, shape)
    return seconds


def peak_memory_bytes(profile: DeviceProfile, workload: Workload, shape: EncoderShape) -> int:
    """Return the peak memory of a workload; a single uncached batch makes it the uncached peak."""
    uncached = _peak_bytes(profile, workload, shape, _uncached_table(workload))
    if workload.method != "adapter" or not workload.cached_batches == workload.batches > 0:
        return uncached
    # Beyond the tables' depth their last slopes lead on, and the cached one's is the steeper.
    return min(uncached, _peak_bytes(profile, workload, shape, "cached_adapter"))


def _peak_bytes(profile: DeviceProfile, workload: Workload, shape: EncoderShape, name: TableName) -> int:
    table, reference = _find(profile, "peak_memory_bytes", shape.family, name)
    value = _at_depth(table, name, _trained_depth(workload), shape.blocks)
    rest = max(0.0, value - _weight_bytes(reference)) * shape.hidden / reference.hidden
    return round(_weight_bytes(shape) + rest * _batch_share(table, workload))


def describe(profile: DeviceProfile, shape: EncoderShape) -> list[DepthRow]:
    """List, for each depth of an encoder, what one batch takes on the board by the tables the profile has."""
    present = [name for name in get_args(TableName) if _has(profile.latency_seconds, name)]
    return [
        DepthRow(depth=depth, cells={name: _cell(profile, shape, name, depth) for name in present})
        for depth in range(shape.blocks + 1)
    ]


def _cell(profile: DeviceProfile, shape: EncoderShape, name: TableName, depth: int) -> Cell:
    latency, reference = _find(profile, "latency_seconds", shape.family, name)
    memory, _ = _find(profile, "peak_memory_bytes", shape.family, name)
    workload = Workload(
        method="full" if name == "full" else "adapter",
        depth=depth,
        batches=1,
        cached_batches=1 if name == "cached_adapter" else 0,
        num_examples=latency.point.batch_size,
        **asdict(latency.point),
    )
    same = shape == reference
    return Cell(
        seconds=compute_seconds(profile, workload, shape),
        memory_bytes=peak_memory_bytes(profile, workload, shape),
        seconds_standing=latency.provenance.standing if same else "scaled",
        memory_standing=memory.provenance.standing if same and latency.point == memory.point else "scaled",
    )


def _uncached_batch_seconds(profile: DeviceProfile, workload: Workload, shape: EncoderShape) -> float:
    name = _uncached_table(workload)
    table, reference = _find(profile, "latency_seconds", shape.family, name)
    forward = table.values[0]
    block_share, width_share = _block_share(shape, reference), _width_share(workload, table, shape, reference)

    def seconds(depth: int) -> float:
        value = _at_depth(table, name, depth, shape.blocks)
        adapted = value - forward + forward * depth / reference.blocks
        every = value + forward * (shape.blocks / reference.blocks - 1)
        return block_share * every + width_share * max(0.0, adapted)

    return _most_up_to(_trained_depth(workload), seconds) * _batch_share(table, workload)


def _cached_batch_seconds(profile: DeviceProfile, workload: Workload, shape: EncoderShape) -> float:
    table, reference = _find(profile, "latency_seconds", shape.family, "cached_adapter")
    block_share, width_share = _block_share(shape, reference), _width_share(workload, table, shape, reference)

    def seconds(depth: int) -> float:
        value = _at_depth(table, "cached_adapter", depth, shape.blocks)
        return block_share * value + width_share * max(0.0, value - table.values[0])

    cached = _most_up_to(workload.depth, seconds) * _batch_share(table, workload)
    if not _has(profile.latency_seconds, "adapter"):
        return cached
    return min(cached, _uncached_batch_seconds(profile, workload, shape))


def _uncached_table(workload: Workload) -> TableName:
    return "full" if workload.method in ("full", "freeze") else "adapter"


def _trained_depth(workload: Workload) -> int:
    return 0 if workload.method == "evaluate" else workload.depth


def _has(tables: Mapping[tuple[Family, TableName], Table], name: TableName) -> bool:
    return any((family, name) in tables for family in REFERENCE_SHAPES)


def _find(profile: DeviceProfile, quantity: Quantity, family: Family, name: TableName) -> tuple[Table, EncoderShape]:
    """Return a table and the encoder it is for: the family's own, else another's."""
    tables: Mapping[tuple[Family, TableName], Table] = getattr(profile, quantity)
    for candidate in (family, *REFERENCE_SHAPES):
        if (candidate, name) in tables:
            return tables[candidate, name], REFERENCE_SHAPES[candidate]
    present = ", ".join(f"{quantity}.{f}.{n}" for f, n in tables) or "none"
    raise UserError(
        f"device profile {profile.name}: {quantity}.{family}.{name}: missing, needed here; it has {present}"
    )


def _at_depth(table: Table, name: TableName, depth: int, blocks: int) -> float:
    """Read a table at a depth of an encoder of `blocks` blocks; `full` at all blocks adds the embeddings."""
    if name != "full":
        return _extended(table.values, depth)
    body = table.values[:-1]
    if depth < blocks:
        return _extended(body, depth)
    return table.values[-1] + (_extended(body, depth) - _extended(body, len(body)))


def _extended(values: Sequence[float], depth: int) -> float:
    """Read entry `depth`, or go on beyond the end by the last step, never down."""
    if depth < len(values):
        return values[depth]
    return values[-1] + (depth - len(values) + 1) * max(0.0, values[-1] - values[-2])


def _most_up_to(depth: int, seconds: Callable[[int], float]) -> float:
    return max(seconds(lower) for lower in range(depth + 1))


def _block_products(shape: EncoderShape) -> int:
    """Count a block's multiplications per token: four H x H projections and the two H x I of the feed-forward part."""
    return 4 * shape.hidden**2 + 2 * shape.hidden * shape.intermediate


def _block_share(shape: EncoderShape, reference: EncoderShape) -> float:
    return _block_products(shape) / _block_products(reference)


def _width_share(workload: Workload, table: Table, shape: EncoderShape, reference: EncoderShape) -> float:
    """Return the products an adapter has more than the table's (less: negative), as a share of a reference block's."""
    if workload.method != "adapter":
        return 0.0
    return 2 * shape.hidden * (workload.width - table.point.width) / _block_products(reference)


def _batch_share(table: Table, workload: Workload) -> float:
    point = table.point
    return (workload.batch_size * workload.sequence_length) / (point.batch_size * point.sequence_length)


def _weight_bytes(shape: EncoderShape) -> int:
    return shape.blocks * _block_products(shape) * _WEIGHT_BYTES
