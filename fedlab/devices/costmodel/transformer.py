"""What a workload needs on a board: the one place that carries the tables over to other sizes.

A table holds for one encoder (the workload's own family where the profile has it, else the other), one batch size,
sequence length and adapter width. From that point:

* Latency is linear in batch size and in sequence length (published: length 64 takes a quarter of length 256).
* A frozen block of another size takes its share of matrix products, 4 H^2 + 2 H I a token. A block that carries an
  adapter of width w takes its share of 4 H^2 + 2 H I + 2 H w.
* Of an uncached batch, the depth-0 figure is the forward pass and grows with the number of blocks; the rest is what
  training the top blocks adds. A cached batch takes the cached table as it is, but never more than an uncached one.
* Depths beyond a table go on with its mean step. Training all blocks whole also trains the embeddings: the excess of
  `full`'s last step over the mean of those before belongs to them, at whatever depth all blocks are reached.
* More depth never costs less time: a depth takes the most that any depth up to it takes.
* Peak memory is a fixed part (the process and the blocks' weights, 4 bytes each, which change with the encoder alone)
  and the rest, which is linear in batch size, sequence length and hidden size, and goes on beyond the table as latency
  does. By depth it is the table's own, also where that falls (DistilBERT's published adapters do, from 2 to 3).
* A board that is n times as fast as its profile takes an n-th of the time.

At the measured point, each is the table's own figure, or that of a lower depth which takes longer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from fedlab.devices.profile import DeviceProfile
from fedlab.devices.tables import DepthTable, Point, Provenance, ProvenanceLevel, Quantity, TableName, least_sure
from fedlab.errors import UserError
from fedlab.workload.shape import REFERENCE_SHAPES, Family, ModelShape
from fedlab.workload.workload import FORWARD_ONLY, Workload

_WEIGHT_BYTES = 4


def compute_seconds(profile: DeviceProfile, workload: Workload, shape: ModelShape) -> float:
    """Return the seconds the board computes for a workload.

    Only adapters start from stored activations: `cached_batches` of other methods are billed like the rest. Raises
    UserError where the profile lacks the table the method needs.
    """
    assert 0 <= workload.depth <= shape.blocks, f"depth {workload.depth} of {shape.blocks} blocks"
    cached = _cached_batches(workload)
    uncached = workload.batches - cached
    seconds = 0.0
    if uncached:
        seconds += uncached * _uncached_batch_seconds(profile, workload, shape)
    if cached:
        seconds += cached * _cached_batch_seconds(profile, workload, shape)
    return seconds / profile.relative_throughput


def peak_memory_bytes(profile: DeviceProfile, workload: Workload, shape: ModelShape) -> int:
    """Return the peak memory of a workload; a single uncached batch makes it the uncached peak."""
    uncached = _peak_bytes(profile, workload, shape, _uncached_name(profile, workload))
    if not _all_cached(workload):
        return uncached
    # Beyond the tables' depth their slopes lead on, and the cached one's is the steeper.
    return min(uncached, _peak_bytes(profile, workload, shape, "cached_adapter"))


def standing(profile: DeviceProfile, workload: Workload, shape: ModelShape) -> ProvenanceLevel:
    """Return how sure the latency of a workload is. Raises as `compute_seconds`."""
    return provenance(profile, workload, shape, "latency_seconds").standing


def provenance(
    profile: DeviceProfile, workload: Workload, shape: ModelShape, quantity: Quantity = "latency_seconds"
) -> Provenance:
    """Return where a workload's figure comes from; a scaled one names the point it was scaled from.

    Where several tables have a part in it, that is the least sure of them. A figure is never surer than the table it
    is scaled from. Raises UserError where the profile lacks a table.
    """
    found = [_of_table(profile, workload, shape, quantity, name) for name in _names(profile, workload, quantity)]
    least = least_sure(*(each.standing for each in found))
    return next(each for each in found if each.standing == least)


def weight_bytes(shape: ModelShape) -> int:
    """Return the bytes of the weights of all blocks, embeddings apart."""
    return shape.blocks * _block_products(shape) * _WEIGHT_BYTES


def _names(profile: DeviceProfile, workload: Workload, quantity: Quantity) -> list[TableName]:
    """Return the tables a workload is billed by; one of no batches is known as an uncached one."""
    if _all_cached(workload):
        return ["cached_adapter"]
    uncached = _uncached_name(profile, workload)
    return ["cached_adapter", uncached] if quantity == "latency_seconds" and _cached_batches(workload) else [uncached]


def _of_table(
    profile: DeviceProfile, workload: Workload, shape: ModelShape, quantity: Quantity, name: TableName
) -> Provenance:
    table = _find(profile, quantity, shape.family, name)
    trains_adapters = workload.method == "adapter" and workload.depth > 0 and quantity == "latency_seconds"
    at = Point(
        batch_size=workload.batch_size,
        sequence_length=workload.sequence_length,
        width=workload.width if trains_adapters else table.point.width,
    )
    speed = profile.relative_throughput if quantity == "latency_seconds" else 1.0
    known = table.provenance
    depth = workload.depth if name == "cached_adapter" else _trained_depth(workload)
    raised = quantity == "latency_seconds" and max(table.values[: depth + 1]) > _extended(table.values, depth)
    if (shape, at, speed) == (table.shape, table.point, 1.0) and not raised:
        return known
    as_fast = "" if speed == 1.0 else f", x{speed:.2g} as fast"
    place = f"{quantity}.{table.shape.family}.{name} at {_place(table)}{as_fast}"
    return Provenance(
        standing=least_sure(known.standing, "scaled"),
        source=f"from {place} ({known.standing}: {known.source or 'no source given'})",
    )


def _place(table: DepthTable) -> str:
    sizes, point = asdict(table.shape), asdict(table.point)
    return (
        "{blocks} blocks of {hidden} x {intermediate}, batches of {batch_size} x {sequence_length} tokens, "
        "width {width}"
    ).format(**sizes, **point)


def _peak_bytes(profile: DeviceProfile, workload: Workload, shape: ModelShape, name: TableName) -> int:
    table = _find(profile, "peak_memory_bytes", shape.family, name)
    value, weights = _at_depth(table, name, _trained_depth(workload), shape.blocks), weight_bytes(table.shape)
    fixed = min(value, weights if table.fixed is None else table.fixed)
    # Only this much of the fixed part is weights: those of blocks that are never run are not in memory.
    share_of_weights = min(fixed, weights) / weights
    process = fixed - weights * share_of_weights
    batch = (value - fixed) * shape.hidden / table.shape.hidden * _batch_share(table, workload)
    return round(process + weight_bytes(shape) * share_of_weights + batch)


def _uncached_batch_seconds(profile: DeviceProfile, workload: Workload, shape: ModelShape) -> float:
    name = _uncached_name(profile, workload)
    table = _find(profile, "latency_seconds", shape.family, name)
    blocks, forward = table.shape.blocks, table.values[0]
    frozen, adapted = _frozen_share(shape, table), _adapted_share(shape, table, workload)

    def seconds(depth: int) -> float:
        value = _at_depth(table, name, depth, shape.blocks)
        every = value + forward * (shape.blocks / blocks - 1)
        in_adapted = value - forward + forward * depth / blocks
        return frozen * every + (adapted - frozen) * max(0.0, in_adapted)

    return _most_up_to(_trained_depth(workload), seconds) * _batch_share(table, workload)


def _cached_batch_seconds(profile: DeviceProfile, workload: Workload, shape: ModelShape) -> float:
    table = _find(profile, "latency_seconds", shape.family, "cached_adapter")
    frozen, adapted = _frozen_share(shape, table), _adapted_share(shape, table, workload)

    def seconds(depth: int) -> float:
        value = _at_depth(table, "cached_adapter", depth, shape.blocks)
        return frozen * value + (adapted - frozen) * max(0.0, value - table.values[0])

    cached = _most_up_to(workload.depth, seconds) * _batch_share(table, workload)
    if not _has(profile.latency_seconds, "adapter"):
        return cached
    return min(cached, _uncached_batch_seconds(profile, workload, shape))


def _cached_batches(workload: Workload) -> int:
    assert 0 <= workload.cached_batches <= workload.batches, "cached batches are some of the batches"
    return workload.cached_batches if workload.method == "adapter" else 0


def _all_cached(workload: Workload) -> bool:
    return _cached_batches(workload) == workload.batches > 0


def _uncached_name(profile: DeviceProfile, workload: Workload) -> TableName:
    if workload.method in ("full", "freeze"):
        return "full"
    only_full = not _has(profile.latency_seconds, "adapter") and _has(profile.latency_seconds, "full")
    return "full" if workload.method in FORWARD_ONLY and only_full else "adapter"


def _trained_depth(workload: Workload) -> int:
    return 0 if workload.method in FORWARD_ONLY else workload.depth


def _has(tables: Mapping[tuple[Family, TableName], DepthTable], name: TableName) -> bool:
    return any((family, name) in tables for family in REFERENCE_SHAPES)


def _find(profile: DeviceProfile, quantity: Quantity, family: Family, name: TableName) -> DepthTable:
    """Return the nearest table: the family's own, else another's."""
    tables: Mapping[tuple[Family, TableName], DepthTable] = getattr(profile, quantity)
    for candidate in (family, *REFERENCE_SHAPES):
        if (candidate, name) in tables:
            return tables[candidate, name]
    present = ", ".join(f"{quantity}.{f}.{n}" for f, n in tables) or "none"
    raise UserError(
        f"device profile {profile.name}: {quantity}.{family}.{name}: missing, needed here; it has {present}"
    )


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


def _adapted_share(shape: ModelShape, table: DepthTable, workload: Workload) -> float:
    """Return the products of a trained block, its adapter included, as a share of those of the table's."""
    if workload.method != "adapter":
        return _frozen_share(shape, table)
    here = _block_products(shape) + 2 * shape.hidden * workload.width
    there = _block_products(table.shape) + 2 * table.shape.hidden * table.point.width
    return here / there


def _batch_share(table: DepthTable, workload: Workload) -> float:
    point = table.point
    return (workload.batch_size * workload.sequence_length) / (point.batch_size * point.sequence_length)
