"""Sizes worked out from shapes are those of Flower's own encoding."""

from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message, MessageType, RecordDict

from fedlab.codecs.spec import build_pipeline
from fedlab.codecs.transport.delta import encode_model, encode_update
from fedlab.estimate.wire import (
    ORDER_BYTES,
    TOLERANCE_BYTES,
    encoded_bytes,
    num_parameters,
    order_bytes,
    reply_bytes,
)
from fedlab.messages.flower_private import record_bytes, with_id
from fedlab.messages.orders import order_content
from fedlab.messages.pack import to_record
from fedlab.messages.replies import TrainReport, train_reply
from fedlab.workload.passes import bottleneck
from fedlab.workload.workload import Workload, training_passes

SHAPES = {
    "block.10.down.weight": (8, 768),
    "block.10.down.bias": (8,),
    "head.weight": (20, 768),
    "odd": (3, 5, 200_000),
}
WORK = Workload(
    passes=training_passes(
        batches=2900,
        cached_batches=2871,
        batch_size=16,
        input_shape=(512,),
        model_blocks=12,
        depth=12,
        trained=bottleneck(64),
    ),
    num_examples=50_000,
)
CONFIGURATION = {"set": "bottleneck", "depth": 12, "width": 64}


def arrays(shapes=SHAPES):
    draws = np.random.default_rng(1)
    return {name: draws.standard_normal(shape, np.float32) for name, shape in shapes.items()}


@pytest.fixture
def order(server_identity):
    content = order_content(to_record(arrays()), server_round=300, group="shallow", configuration=CONFIGURATION)
    return with_id(Message(content, 3, MessageType.TRAIN), "1")


@pytest.mark.parametrize("shapes", [SHAPES, {"head.bias": (1,)}, {"x": (127,), "y": (128,), "z": (16_384, 3)}])
def test_arrays_are_sized_to_the_byte(shapes):
    assert order_bytes(shapes) - ORDER_BYTES == record_bytes(RecordDict({"arrays": to_record(arrays(shapes))}))


def test_an_order_is_within_the_tolerance(order):
    assert abs(order_bytes(SHAPES) - record_bytes(order.content)) <= TOLERANCE_BYTES


def test_a_reply_is_within_the_tolerance(order):
    report = TrainReport(arrays=arrays(), num_examples=50_000, train_loss=0.1, workload=WORK)
    assert abs(reply_bytes(SHAPES) - record_bytes(train_reply(order, report).content)) <= TOLERANCE_BYTES


@pytest.mark.parametrize("codec", ["int8", "int4", "fp16", "top-k:0.01"])
def test_encoded_arrays_are_sized_as_they_are_encoded(codec):
    pipeline, draws = build_pipeline([codec], "codec.up", Path()), np.random.default_rng(2)
    ours, real = encoded_bytes(SHAPES, pipeline), len(pipeline.encode(arrays(), draws))
    assert ours == pytest.approx(real, rel=0.01 if codec.startswith("top-k") else 0)


def test_frames_are_sized_as_they_travel():
    pipeline, record = build_pipeline(["int8"], "codec", Path()), to_record(arrays())
    down = encode_model(record, lambda names: {}, pipeline, np.random.default_rng(3))
    up, _ = encode_update(record, arrays(), None, pipeline, np.random.default_rng(3))
    payload = encoded_bytes(SHAPES, pipeline)
    for ours, framed in ((order_bytes(SHAPES, payload), down), (reply_bytes(SHAPES, payload), up)):
        rest = ours - record_bytes(RecordDict({"arrays": framed}))
        assert 0 < rest < 400  # what else is in a message


def test_parameters_are_counted_from_shapes():
    assert num_parameters(SHAPES) == 8 * 768 + 8 + 20 * 768 + 3_000_000
