"""Mandheling's four techniques as the cost model bills them, each with a switch.

* Co-scheduling of CPU and DSP is `fedlab.devices.costmodel.placement`.
* Self-adaptive rescaling: a result whose shift is known takes 1 byte of traffic in place of 9.
* Batch splitting: an operator runs on the largest part of the batch whose working set fits the on-chip memory.
* Subgraph reuse: a subgraph is prepared once, and kept until the memory for prepared subgraphs is full.

The thresholds of the paper were not found (`docs/results/mandheling-paper.md`), so the rules are inferred.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fedlab.devices.costmodel.conv_operators import ConvOperator
from fedlab.errors import UserError

ACCUMULATOR_BYTES = 4  # of a sum of int8 products
# Bytes of traffic of a result: an int32 is written, read for the largest, read and written as int8; or written once.
RESCALED_BYTES, KNOWN_BYTES = 9, 1
# Share of the results whose shift is computed again, with adaptive rescaling. Assumed: the rule of Adaptive Fixed-Point
# that it follows recomputes each scale once an epoch after the first epoch.
RECOMPUTED_SHARE = 0.01


@dataclass(frozen=True, kw_only=True)
class Techniques:
    """Which of the four techniques are on."""

    co_scheduling: bool = False
    adaptive_rescaling: bool = False
    batch_splitting: bool = False
    subgraph_reuse: bool = False


NO_TECHNIQUES = Techniques()
ALL_TECHNIQUES = Techniques(co_scheduling=True, adaptive_rescaling=True, batch_splitting=True, subgraph_reuse=True)


@dataclass(frozen=True, kw_only=True)
class Subgraph:
    """A part of a network that is prepared as a whole: its weights, and what it takes in memory with its buffers."""

    name: str
    weights: int
    num_bytes: float


def rescaled_bytes(*, adaptive: bool, recomputed_share: float = RECOMPUTED_SHARE) -> float:
    """Return the bytes of traffic of one result: 9 where its shift is computed, 1 where it is known.

    With adaptive rescaling a share of the shifts is computed again. Raises UserError unless it is from 0 to 1.
    """
    if not 0 <= recomputed_share <= 1:
        raise UserError(f"recomputed_share is {recomputed_share}, expected a share from 0 to 1")
    share = recomputed_share if adaptive else 1.0
    return KNOWN_BYTES + share * (RESCALED_BYTES - KNOWN_BYTES)


def working_set_bytes(operator: ConvOperator, batch_size: int, *, shift_known: bool) -> float:
    """Return what an integer operator has to hold at once for a part of a batch.

    Input, output and weights; results are int32 while their shift is not known. The gradient of weights, which is
    summed over the batch, is taken for a few output channels at a time.
    """
    result = 1 if shift_known else ACCUMULATOR_BYTES
    return batch_size * (operator.read + operator.written * result) + operator.weights


def largest_part(operator: ConvOperator, batch_size: int, on_chip_bytes: float, *, shift_known: bool) -> int:
    """Return the largest part of a batch whose working set fits the on-chip memory, 0 if that of one sample does not.

    It is at most the batch.
    """
    fixed = working_set_bytes(operator, 0, shift_known=shift_known)
    sample = working_set_bytes(operator, 1, shift_known=shift_known) - fixed
    if fixed + sample > on_chip_bytes:
        return 0
    return batch_size if sample == 0 else min(batch_size, int((on_chip_bytes - fixed) // sample))


def to_prepare(accesses: Sequence[Subgraph], memory_bytes: float, *, reuse: bool) -> list[Subgraph]:
    """Return the subgraphs that a batch has to prepare, in order, once the same batch has run before.

    Without `reuse` that is each subgraph once, as its weights have changed. With it, an access prepares nothing if the
    subgraph is still kept: prepared subgraphs are dropped in the order of their last use (LRU), so that one is kept if
    all that were used since, and it, fit the memory.
    """
    if not reuse:
        return list({each.name: each for each in accesses}.values())
    twice = [*accesses, *accesses]
    return [twice[at] for at in range(len(accesses), len(twice)) if not _is_kept(twice, at, memory_bytes)]


def _is_kept(accesses: Sequence[Subgraph], at: int, memory_bytes: float) -> bool:
    """Tell whether the subgraph of an access is still prepared from its last use."""
    wanted, used = accesses[at], {accesses[at].name: accesses[at].num_bytes}
    for each in reversed(accesses[:at]):
        if each.name == wanted.name or sum(used.values()) > memory_bytes:
            break
        used[each.name] = each.num_bytes
    return sum(used.values()) <= memory_bytes
