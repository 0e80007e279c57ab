"""The work of records that were written before there were passes: a method, and counts of batches."""

from collections.abc import Mapping
from typing import Any

from fedlab.workload.passes import WHOLE, bottleneck
from fedlab.workload.workload import Workload, forward_passes, training_passes

_FORWARD_ONLY = ("evaluate", "prefill")


def old_workload(
    work: Mapping[str, Any], *, batches: int, cached_batches: int, num_examples: int, model_blocks: int
) -> Workload:
    """Return what a method meant: `adapter`, `full` or `freeze` trained the top `depth` blocks, others ran forward.

    Raises:
        UserError: the counts make no sense.
    """
    batch = {"batch_size": work["batch_size"], "input_shape": (work["sequence_length"],), "model_blocks": model_blocks}
    if work["method"] in _FORWARD_ONLY:
        return Workload(passes=forward_passes(batches=batches, **batch), num_examples=num_examples)
    adapts = work["method"] == "adapter"
    passes = training_passes(
        batches=batches,
        cached_batches=cached_batches if adapts else 0,  # nothing else started from stored activations
        depth=work["depth"],
        trained=bottleneck(work["width"]) if adapts else WHOLE,
        **batch,
    )
    return Workload(passes=passes, num_examples=num_examples)
