"""What FwdLLM's methods train of its four encoders: counted from the shape of the backbone, not copied.

Adapters sit after the feed-forward part of a block and have 1/16 of the hidden size; ALBERT's "adapter" is a LoRA of
rank 8 beside queries and values of the one block that it has. BitFit trains every bias. `forward` trains the adapters
of DistilBERT and the biases of the others. The head is one linear layer; BERT's and ALBERT's read the pooler.

Source: the code of the artifact, github.com/UbiquitousLearning/FwdLLM.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fedlab.config.plugins import nearest
from fedlab.config.schema import BackboneTable
from fedlab.devices.costmodel.memory import memory_parts
from fedlab.devices.costmodel.projections import trained_weights
from fedlab.errors import UserError
from fedlab.estimate.spec import FwdllmMethod
from fedlab.models.sizes import EncoderSizes, read_sizes
from fedlab.workload.passes import WHOLE, Format, TrainedSpec, bottleneck, lora
from fedlab.workload.weights import num_weights, stored_blocks
from fedlab.workload.workload import forward_passes, steps_of, training_passes

_REDUCTION = 16
_LORA = lora(8, ("q", "v"))
_BIASES = TrainedSpec(kind="bias")
_TRAINED_BYTES = 4
_LABELS = 4  # of AGNEWS, for which the artifact gives its numbers of parameters


@dataclass(frozen=True, kw_only=True)
class BilledEncoder:
    """An encoder of FwdLLM: what `forward` trains of it, and how many top blocks FedAdapter adapts (None: unknown).

    `fedadapter` are the numbers of parameters that are billed for FedAdapter, by the number of labels, where they do
    not follow from the shape: a number, or the method whose number is billed instead.
    """

    pooler: bool
    forward: FwdllmMethod
    fedadapter_blocks: int | None
    fedadapter: Mapping[int, int | FwdllmMethod]


class TrainedCount(NamedTuple):
    """How many parameters are trained; `note` says what does not follow from the shape."""

    number: int
    note: str = ""


ENCODERS: Mapping[str, BilledEncoder] = {
    "distilbert-base": BilledEncoder(pooler=False, forward="adapter", fedadapter_blocks=2, fedadapter={}),
    "bert-base": BilledEncoder(pooler=True, forward="bitfit", fedadapter_blocks=2, fedadapter={}),
    "albert-base": BilledEncoder(
        pooler=True, forward="bitfit", fedadapter_blocks=None, fedadapter={4: 2228, 10: 2690, 2: 4073}
    ),
    "roberta-large": BilledEncoder(
        pooler=False, forward="bitfit", fedadapter_blocks=4, fedadapter={10: "bitfit", 2: "bitfit"}
    ),
}


def parameters(backbone: str, method: FwdllmMethod, labels: int) -> TrainedCount:
    """Return how many parameters a method trains, and sends after a step.

    Raises:
        UserError: FwdLLM has no such backbone, or the number for this count of labels is unknown.
    """
    encoder = _encoder(backbone)
    if method in ("forward", "fedavg"):
        return TrainedCount(_counted(backbone, encoder.forward, labels))
    if method != "fedadapter":
        return TrainedCount(_counted(backbone, method, labels))
    billed = encoder.fedadapter.get(labels)
    if isinstance(billed, str):
        note = f"the artifact bills FedAdapter of {backbone} with {labels} labels as {billed}"
        return TrainedCount(_counted(backbone, billed, labels), note)
    if billed is not None:
        return TrainedCount(billed, "this number of parameters is the artifact's, and does not follow from the shape")
    if encoder.fedadapter_blocks is None:
        return _more_labels(backbone, labels)
    return TrainedCount(_counted(backbone, method, labels))


def peak_memory_bytes(
    backbone: str, method: FwdllmMethod, labels: int, *, batch_size: int, tokens: int, number_format: Format
) -> int:
    """Return the peak memory from its parts; of `forward`, that of inference and 4 bytes a trained parameter."""
    shape = _sizes(backbone).shape
    batch: dict[str, Any] = {
        "batches": 1,
        "batch_size": batch_size,
        "input_shape": (tokens,),
        "model_blocks": shape.blocks,
    }
    if method == "forward":
        [step] = steps_of(forward_passes(format=number_format, **batch))
        return round(memory_parts(step, shape).total) + _TRAINED_BYTES * parameters(backbone, method, labels).number
    depth = _encoder(backbone).fedadapter_blocks if method == "fedadapter" else None
    trained = _trained(backbone, "adapter" if method in ("fedadapter", "fedavg") else method)
    [step] = steps_of(training_passes(depth=depth or shape.blocks, trained=trained, format=number_format, **batch))
    return round(memory_parts(step, shape).total)


def _encoder(backbone: str) -> BilledEncoder:
    if backbone not in ENCODERS:
        raise UserError(f"--backbone: FwdLLM has no figures of '{backbone}': {nearest(backbone, ENCODERS)}")
    return ENCODERS[backbone]


@cache
def _sizes(backbone: str) -> EncoderSizes:
    return read_sizes(BackboneTable(name=backbone), resolve=Path)


def _trained(backbone: str, method: FwdllmMethod) -> TrainedSpec:
    if method == "full":
        return WHOLE
    if method == "bitfit":
        return _BIASES
    sizes = _sizes(backbone)
    return _LORA if sizes.shares_blocks else bottleneck(sizes.shape.hidden // _REDUCTION)


def _counted(backbone: str, method: FwdllmMethod, labels: int) -> int:
    sizes, encoder = _sizes(backbone), _encoder(backbone)
    shape = sizes.shape
    head = labels * (shape.hidden + 1)
    pooler_biases = shape.hidden if encoder.pooler else 0
    if method == "full":
        return num_weights(shape) + pooler_biases * (shape.hidden + 1) + head
    if method == "bitfit":
        embedding = [*sizes.embedding["norm_bias"], *sizes.embedding.get("projection_bias", ())]
        return trained_weights(_BIASES, shape, shape.blocks) + sum(embedding) + pooler_biases + head
    blocks = encoder.fedadapter_blocks if method == "fedadapter" else None
    return trained_weights(_trained(backbone, method), shape, blocks or stored_blocks(shape, shape.blocks)) + head


def _more_labels(backbone: str, labels: int) -> TrainedCount:
    """Return FedAdapter's number for other labels: that of AGNEWS, and a row of the head for each further label."""
    at_agnews = ENCODERS[backbone].fedadapter[_LABELS]
    assert isinstance(at_agnews, int), "a number is known where no blocks are"
    count = at_agnews + (labels - _LABELS) * (_sizes(backbone).shape.hidden + 1)
    if count < 1:
        raise UserError(f"--labels {labels}: FwdLLM has no number of parameters of FedAdapter on {backbone} for it")
    return TrainedCount(count, "this number of parameters is assumed: that of 4 labels, and a row for each further")
