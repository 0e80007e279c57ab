"""What a published trajectory cost, with the simplifications of AdaFL's own artifact.

They are: traffic by a rounded table of trained parameters (4 bytes each, once down and once up a round, MB = 10^6
bytes), a codec that divides all of it, latency by depth alone (whatever the width), and a cache that is never filled.
A figure is for one participant that takes part in every round; a round lasts as long for all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from fedlab.costs import charge
from fedlab.devices import REFERENCE_SHAPES, DeviceProfile, Family, Point
from fedlab.errors import UserError
from fedlab.links import Link
from fedlab.workload import Cost, Workload

EstimateMethod = Literal["adapter", "adapter-nocache", "full", "freeze"]
Codec = Literal["none", "int8", "int4"]
BackboneName = Literal["bert-base", "distilbert-base"]

_FAMILIES: Mapping[BackboneName, Family] = {"bert-base": "bert", "distilbert-base": "distilbert"}
_DIVISORS: Mapping[Codec, int] = {"none": 1, "int8": 4, "int4": 8}
_PARAMETER_BYTES = 4

# Trained parameters by depth, head and pooler included, as the artifact rounds them; all blocks: the embeddings too.
# DistilBERT's are not published but for its 67 M in all: its blocks are BERT's, so the depths below are BERT's.
_BERT_PARAMETERS = (
    *(600_000, 7_700_000, 14_800_000, 21_900_000, 29_000_000, 36_000_000, 43_100_000),
    *(50_200_000, 57_300_000, 64_400_000, 71_500_000, 78_600_000, 109_500_000),
)
_WHOLE_PARAMETERS: Mapping[Family, tuple[int, ...]] = {
    "bert": _BERT_PARAMETERS,
    "distilbert": (*_BERT_PARAMETERS[:6], 67_000_000),
}


class Segment(NamedTuple):
    """A stretch of a trajectory: up to and including `last_round`, this configuration was trained."""

    last_round: int
    depth: int
    width: int


@dataclass(frozen=True, kw_only=True)
class SegmentEstimate:
    """What the rounds of one segment cost a participant."""

    segment: Segment
    rounds: int
    seconds: float
    joules: float
    bytes_down: int
    bytes_up: int
    peak_memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a whole trajectory cost a participant."""

    by_segment: tuple[SegmentEstimate, ...]
    seconds: float
    joules: float
    bytes_down: int
    bytes_up: int
    peak_memory_bytes: int


def estimate(
    trajectory: Sequence[tuple[int, int, int]],
    *,
    method: EstimateMethod,
    codec: Codec,
    backbone: BackboneName,
    profile: DeviceProfile,
    link: Link,
    batches: int,
    sequence_length: int,
    batch_size: int,
) -> Estimate:
    """Return the cost of a trajectory of (last round, depth, width), for one participant of every round.

    `batches` is per round; the link is asked as partition 0. `full` trains all blocks whatever the depths say. Raises
    UserError where the rounds do not rise or a depth or width cannot be.
    """
    family = _FAMILIES[backbone]
    segments = _checked(trajectory, REFERENCE_SHAPES[family].blocks)
    parts = []
    for first_round, segment in zip((1, *(past.last_round + 1 for past in segments)), segments, strict=False):
        workload = _workload(
            method, family, segment, batches=batches, sequence_length=sequence_length, batch_size=batch_size
        )
        num_bytes = parameters(method, family, workload.depth, segment.width) * _PARAMETER_BYTES // _DIVISORS[codec]
        cost = charge(
            workload,
            profile=profile,
            link=link,
            shape=REFERENCE_SHAPES[family],
            bytes_down=num_bytes,
            bytes_up=num_bytes,
            partition_id=0,
            server_round=first_round,
        )
        parts.append(_repeated(cost, segment, segment.last_round - first_round + 1))
    return _total(tuple(parts))


def parameters(method: EstimateMethod, family: Family, depth: int, width: int) -> int:
    """Return the trained parameters as the artifact rounds (adapters: 0.02 M + depth x 0.0125 M x width / 8)."""
    if method in ("full", "freeze"):
        return _WHOLE_PARAMETERS[family][depth]
    return 20_000 + depth * 12_500 * width // 8


def _checked(trajectory: Sequence[tuple[int, int, int]], blocks: int) -> list[Segment]:
    segments = [Segment(*entry) for entry in trajectory]
    last_rounds = [0, *(segment.last_round for segment in segments)]
    if not segments or any(later <= earlier for earlier, later in pairwise(last_rounds)):
        raise UserError(f"trajectory: last rounds are {last_rounds[1:]}, expected one or more that rise, from 1 up")
    for segment in segments:
        if not 0 <= segment.depth <= blocks or segment.width < 1:
            raise UserError(f"trajectory: {segment}, expected a depth of 0 to {blocks} and a width from 1 up")
    return segments


def _workload(
    method: EstimateMethod, family: Family, segment: Segment, *, batches: int, sequence_length: int, batch_size: int
) -> Workload:
    return Workload(
        method="adapter" if method == "adapter-nocache" else method,
        depth=REFERENCE_SHAPES[family].blocks if method == "full" else segment.depth,
        width=Point().width,  # the tables' own: the artifact's latency does not depend on width
        batches=batches,
        cached_batches=batches if method == "adapter" else 0,
        batch_size=batch_size,
        sequence_length=sequence_length,
        num_examples=batches * batch_size,
    )


def _repeated(cost: Cost, segment: Segment, rounds: int) -> SegmentEstimate:
    return SegmentEstimate(
        segment=segment,
        rounds=rounds,
        seconds=rounds * cost.seconds,
        joules=rounds * cost.joules,
        bytes_down=rounds * cost.bytes_down,
        bytes_up=rounds * cost.bytes_up,
        peak_memory_bytes=cost.peak_memory_bytes,
    )


def _total(parts: tuple[SegmentEstimate, ...]) -> Estimate:
    return Estimate(
        by_segment=parts,
        seconds=sum(part.seconds for part in parts),
        joules=sum(part.joules for part in parts),
        bytes_down=sum(part.bytes_down for part in parts),
        bytes_up=sum(part.bytes_up for part in parts),
        peak_memory_bytes=max(part.peak_memory_bytes for part in parts),
    )
