"""What rounds cost by FwdLLM's cost model: one client that takes part in all of them.

With t seconds for a batch, n batches a round, v perturbations (1 with backpropagation) and c seconds for one transfer
of the trained parameters, a round computes for n t v seconds and transfers for w n c: w is 2, or 1 where `forward`
sends the parameters down alone; FedAvg transfers for 2 c. The first evaluation comes after round 1, then one after
every e rounds:

    seconds of R rounds = n t v R + w n c (number of evaluations)

The artifact bills in time only the traffic of the rounds that end in an evaluation, in energy and bytes that of all.
Server, evaluation and waiting cost nothing.

Source: the notebooks of the artifact, github.com/UbiquitousLearning/FwdLLM. Its Mbit is 1024^2 bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fedlab.common.units import parse_bandwidth
from fedlab.devices.tables import ProvenanceLevel
from fedlab.estimate.fwdllm.backbones import parameters, peak_memory_bytes
from fedlab.estimate.fwdllm.boards import billed_board, priced
from fedlab.estimate.fwdllm.rounds import RoundsSegment
from fedlab.estimate.slot import Estimate, SegmentEstimate, total
from fedlab.estimate.spec import FwdllmMethod
from fedlab.workload.passes import DEFAULT_PROCESSOR, Format

_BINARY_THOUSAND = 1024


@dataclass(frozen=True, kw_only=True)
class FwdllmSlot:
    """A client of FwdLLM, in the words of the command line; the defaults are those of DistilBERT on AGNEWS.

    `batches` is per round. `sequence_length` matters to memory alone, as the seconds are the same for all lengths.
    """

    method: FwdllmMethod = "forward"
    backbone: str = "distilbert-base"
    device: str = "pixel-7-pro"
    processor: str = DEFAULT_PROCESSOR
    format: Format = "fp32"
    bandwidth: str | float = "10Mbit/s"
    batches: int = 15
    batch_size: int = 8
    labels: int = 4
    sequence_length: int = 256
    evaluate_every: int = 1

    def __str__(self) -> str:
        """Say all of it in a line."""
        processor = "" if self.processor == DEFAULT_PROCESSOR else f" ({self.processor})"
        number_format = "" if self.format == "fp32" else f" in {self.format}"
        return (
            f"{self.method} of {self.backbone}{number_format} on {self.device}{processor}, {self.bandwidth}, "
            f"{self.batches} batches of {self.batch_size} a round, {self.labels} labels, as FwdLLM bills it"
        )


@dataclass(frozen=True, kw_only=True)
class BillTerms:
    """What the cost model needs of a slot.

    `transfers` are those of a round, of `transfer_seconds` and `transfer_bytes` each; a share of 1 or 1/2 goes down.
    `batch_seconds` are for the slot's batch size.
    """

    parameters: int
    batch_seconds: float
    transfer_seconds: float
    transfer_bytes: int
    transfers: int
    sends_up: bool
    provenance: ProvenanceLevel
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RoundsEstimate:
    """What rounds cost a client, and what it is made of.

    `transfer_seconds` are those of all rounds, which the energy bills; `estimate.seconds` has those of the rounds with
    an evaluation. `provenance` is that of the seconds of a batch; `notes` say what does not follow from the rules.
    """

    estimate: Estimate
    parameters: int
    evaluations: int
    compute_seconds: float
    transfer_seconds: float
    provenance: ProvenanceLevel
    notes: tuple[str, ...]


def bill(segments: Sequence[RoundsSegment], slot: FwdllmSlot, terms: BillTerms | None = None) -> RoundsEstimate:
    """Return what rounds cost a client; `terms` are used in the place of the slot's own, if given.

    Raises:
        UserError: FwdLLM has no figures of the slot's backbone, board, processor, format or method.
    """
    terms = terms or terms_of(slot)
    memory = peak_memory_bytes(
        slot.backbone, slot.method, slot.labels,
        batch_size=slot.batch_size, tokens=slot.sequence_length, number_format=slot.format,
    )  # fmt: skip
    rounds = sum(each.rounds for each in segments)
    computed = sum(_compute_seconds(each, slot, terms) for each in segments)
    return RoundsEstimate(
        estimate=total([_segment(each, slot, terms, memory) for each in segments]),
        parameters=terms.parameters,
        evaluations=evaluations_until(rounds, slot.evaluate_every),
        compute_seconds=computed,
        transfer_seconds=rounds * terms.transfers * terms.transfer_seconds,
        provenance=terms.provenance,
        notes=terms.notes,
    )


def terms_of(slot: FwdllmSlot) -> BillTerms:
    """Return the terms of the cost model. Raises UserError as `bill`."""
    board = billed_board(slot.device)
    trained = parameters(slot.backbone, slot.method, slot.labels)
    price = priced(slot.device, slot.processor, slot.format, slot.method, slot.backbone)
    transfer_bytes = price.parameter_bytes * trained.number
    ways = board.forward_transfers if slot.method == "forward" else 2
    scale = slot.batch_size / board.batch_size
    scaled = [] if scale == 1 else [f"the seconds of a batch are scaled from a batch of {board.batch_size}"]
    return BillTerms(
        parameters=trained.number,
        batch_seconds=price.seconds.value * scale,
        transfer_seconds=transfer_bytes / parse_bandwidth(slot.bandwidth, thousand=_BINARY_THOUSAND),
        transfer_bytes=transfer_bytes,
        transfers=ways if slot.method == "fedavg" else ways * slot.batches,
        sends_up=ways == 2,
        provenance=price.seconds.provenance.level,
        notes=tuple(note for note in (price.seconds.provenance.source, trained.note, *scaled) if note),
    )


def evaluations_until(rounds: int, every: int) -> int:
    """Return how many evaluations there are in the first rounds: after round 1, and after every `every` more."""
    return (rounds - 1) // every + 1


def _compute_seconds(segment: RoundsSegment, slot: FwdllmSlot, terms: BillTerms) -> float:
    return segment.rounds * slot.batches * terms.batch_seconds * segment.perturbations


def _segment(segment: RoundsSegment, slot: FwdllmSlot, terms: BillTerms, memory: int) -> SegmentEstimate:
    board = billed_board(slot.device)
    computing = _compute_seconds(segment, slot, terms)
    transferring = terms.transfers * terms.transfer_seconds
    evaluations = evaluations_until(segment.last_round, slot.evaluate_every) - evaluations_until(
        segment.first_round - 1, slot.evaluate_every
    )
    one_way = segment.rounds * terms.transfers * terms.transfer_bytes // (2 if terms.sends_up else 1)
    whole = int(segment.perturbations) == segment.perturbations
    perturbations = int(segment.perturbations) if whole else f"{segment.perturbations:g}"
    return SegmentEstimate(
        first_round=segment.first_round,
        last_round=segment.last_round,
        rounds=segment.rounds,
        configuration={"set": slot.method, "perturbations": perturbations},
        seconds=computing + evaluations * transferring,
        bytes_down=one_way,
        bytes_up=one_way if terms.sends_up else 0,
        joules=board.computing_watts.value * computing
        + board.communicating_watts.value * segment.rounds * transferring,
        peak_memory_bytes=memory,
    )
