"""The rules of what is really sent and done: messages as they are encoded, adapters of any width, a cache to fill."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from fedlab.codecs.pipeline import Pipeline
from fedlab.codecs.spec import build_pipeline
from fedlab.common.arrays import Shape
from fedlab.devices.costmodel.projections import added_matrices
from fedlab.estimate.slot import Rules, Traffic
from fedlab.estimate.spec import CodecName, EstimateMethod
from fedlab.estimate.wire import encoded_bytes, order_bytes, reply_bytes
from fedlab.messages.integer_arrays import EXPONENTS
from fedlab.models.peft.base import ModelSizes
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.whole_blocks import TopBlocks
from fedlab.models.sizes import EncoderSizes
from fedlab.workload.passes import bottleneck, lora
from fedlab.workload.shape import ModelShape
from fedlab.workload.weights import block_matrices, block_vectors, embedding_weights, head_weights

Shapes = Callable[[int, int], dict[str, Shape]]


def exact_rules(
    method: EstimateMethod, sizes: EncoderSizes, *, labels: int, codec: CodecName, targets: tuple[str, ...] = ()
) -> Rules:
    """Return the rules for a backbone; a codec encodes the messages both ways.

    An encoder has a head of `labels` labels, which is trained and sent too. `targets` are LoRA's projections.
    """
    pipeline = None if codec == "none" else build_pipeline([codec], "--codec", Path())
    if method in ("lora", "forward") or sizes.shape.is_decoder:
        shapes = _shapes_without_model(method, sizes, labels, targets)
    else:
        shapes = trained_shapes(method, sizes, labels)
    return Rules(traffic=traffic_of(shapes, pipeline, pipeline), fills_cache=True)


def _shapes_without_model(method: EstimateMethod, sizes: EncoderSizes, labels: int, targets: tuple[str, ...]) -> Shapes:
    """Return the arrays of LoRA, and of all sets of a decoder, from the sizes of the projections alone."""
    shape = sizes.shape
    head = {} if shape.is_decoder else {"head.weight": (labels, shape.hidden), "head.bias": (labels,)}

    def shapes(depth: int, width: int) -> dict[str, Shape]:
        blocks = range(shape.blocks - depth, shape.blocks)
        if method in ("full", "freeze"):
            return _whole(shape, blocks) | head
        spec = bottleneck(max(1, width))
        if method in ("lora", "forward"):
            spec = lora(max(1, width), targets)
        small = added_matrices(spec, shape)
        of_block = {f"{at}.weight": (each.size_out, each.size_in) for at, each in enumerate(small)}
        return {f"blocks.{block}.{name}": each for block in blocks for name, each in of_block.items()} | head

    return shapes


def _whole(shape: ModelShape, blocks: range) -> dict[str, Shape]:
    """Return the arrays of whole blocks, biases and norms as one; all blocks have embeddings and head as well."""
    of_block: dict[str, Shape] = {
        f"{name}.weight": (m.size_out, m.size_in) for name, m in block_matrices(shape).items()
    }
    of_block["vectors"] = (block_vectors(shape),)
    found = {f"blocks.{block}.{name}": each for block in blocks for name, each in of_block.items()}
    if len(blocks) == shape.blocks:
        found |= {"words": (embedding_weights(shape),), "norm": (shape.hidden,)}
        found |= {"words.head": (head_weights(shape),)} if head_weights(shape) else {}
    return found


def trained_shapes(method: EstimateMethod, sizes: EncoderSizes, labels: int, *, pooler: bool = False) -> Shapes:
    """Return which arrays are trained and sent at a depth and width; `pooler` as in `ModelSizes`."""
    model = ModelSizes(encoder=sizes, labels=labels, pooler=pooler)

    def shapes(depth: int, width: int) -> dict[str, Shape]:
        if method in ("full", "freeze"):
            return TopBlocks(depth=depth).shapes(model)
        return Bottleneck(depth=depth, width=max(1, width)).shapes(model)

    return shapes


def integer_traffic(shapes: Shapes) -> Callable[[int, int], Traffic]:
    """Return the bytes of a round of int8 mantissas with an exponent an array, by depth and width."""

    @cache
    def traffic(depth: int, width: int) -> Traffic:
        arrays = shapes(depth, width)
        arrays |= {EXPONENTS: (len(arrays),)}
        return Traffic(order_bytes(arrays, dtype="int8"), reply_bytes(arrays, dtype="int8"))

    return traffic


def traffic_of(shapes: Shapes, down: Pipeline | None, up: Pipeline | None) -> Callable[[int, int], Traffic]:
    """Return the bytes of a round by depth and width; each configuration is sized once."""

    @cache
    def traffic(depth: int, width: int) -> Traffic:
        arrays = shapes(depth, width)
        payloads = {each: encoded_bytes(arrays, each) for each in {down, up} if each is not None}
        return Traffic(
            order_bytes(arrays, None if down is None else payloads[down]),
            reply_bytes(arrays, None if up is None else payloads[up]),
        )

    return traffic
