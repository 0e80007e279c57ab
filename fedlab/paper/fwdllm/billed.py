"""The slots of FwdLLM's published figures, and what rounds cost there."""

from fedlab.estimate.fwdllm.bill import BillTerms, FwdllmSlot, RoundsEstimate, bill
from fedlab.estimate.fwdllm.rounds import RoundsSegment
from fedlab.estimate.spec import FwdllmMethod
from fedlab.paper.fwdllm.figures import FwdllmTask

METHODS: tuple[FwdllmMethod, ...] = ("full", "adapter", "bitfit", "fedadapter", "forward")
NAMES: dict[FwdllmMethod, str] = {
    "full": "FT", "adapter": "adapter", "bitfit": "BitFit", "fedadapter": "FedAdapter", "forward": "FwdLLM",
    "fedavg": "FedAvg",
}  # fmt: skip
NPU, GPU = "npu", "gpu"
_PHONE = "pixel-7-pro"


def slot_of(backbone: str, method: FwdllmMethod, task: FwdllmTask, processor: str = NPU) -> FwdllmSlot:
    """Return the slot of a method on the phone: `forward` on a processor, backpropagation on the CPU."""
    return FwdllmSlot(
        method=method,
        backbone=backbone,
        device=_PHONE,
        processor=processor if method == "forward" else "cpu",
        batches=task.batches,
        labels=task.labels,
        evaluate_every=task.evaluate_every,
    )


def after_rounds(
    slot: FwdllmSlot, rounds: int, perturbations: float = 1, terms: BillTerms | None = None
) -> RoundsEstimate:
    """Return the bill of a number of rounds, all with the same perturbations of a client in a step."""
    return bill([RoundsSegment(1, rounds, perturbations)], slot, terms)


def after_evaluations(slot: FwdllmSlot, evaluations: int) -> RoundsEstimate:
    """Return the bill until an evaluation: the first comes after round 1."""
    return after_rounds(slot, 1 + (evaluations - 1) * slot.evaluate_every)


def after_pacing(slot: FwdllmSlot, rounds: int, evaluations: int) -> RoundsEstimate:
    """Return the bill of rounds in which a client evaluated a number of perturbations in all, of one batch each."""
    return after_rounds(slot, rounds, evaluations / (rounds * slot.batches))


def minutes(found: RoundsEstimate) -> float:
    """Return the time in minutes."""
    return found.estimate.seconds / 60
