"""The rules of what is really sent and done: messages as they are encoded, adapters of any width, a cache to fill."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from fedlab.codecs.pipeline import Pipeline
from fedlab.codecs.spec import build_pipeline
from fedlab.common.arrays import Shape
from fedlab.estimate.slot import Rules, Traffic
from fedlab.estimate.spec import CodecName, EstimateMethod
from fedlab.estimate.wire import encoded_bytes, order_bytes, reply_bytes
from fedlab.models.peft.base import ModelSizes
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.whole_blocks import TopBlocks
from fedlab.models.sizes import EncoderSizes

Shapes = Callable[[int, int], dict[str, Shape]]


def exact_rules(method: EstimateMethod, sizes: EncoderSizes, *, labels: int, codec: CodecName) -> Rules:
    """Return the rules for an encoder with a head of `labels` labels; a codec encodes the messages both ways."""
    pipeline = None if codec == "none" else build_pipeline([codec], "--codec", Path())
    return Rules(traffic=traffic_of(trained_shapes(method, sizes, labels), pipeline, pipeline), fills_cache=True)


def trained_shapes(method: EstimateMethod, sizes: EncoderSizes, labels: int, *, pooler: bool = False) -> Shapes:
    """Return which arrays are trained and sent at a depth and width; `pooler` as in `ModelSizes`."""
    model = ModelSizes(encoder=sizes, labels=labels, pooler=pooler)

    def shapes(depth: int, width: int) -> dict[str, Shape]:
        if method in ("full", "freeze"):
            return TopBlocks(depth=depth).shapes(model)
        return Bottleneck(depth=depth, width=max(1, width)).shapes(model)

    return shapes


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
