"""The backprop client answers the gradient of one batch."""

import numpy as np
import pytest
from flwr.app import Message, MessageType

from clients.adapter import adapter
from clients.backprop import backprop
from fedlab.errors import UserError
from fedlab.messages.flower_private import with_id
from fedlab.messages.orders import order_content
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.probes import StepOrder, add_step
from fedlab.messages.replies import read_workload
from fedlab.messages.updates import kind_of
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.workload.passes import bottleneck


@pytest.fixture
def model(new_model):
    return new_model(Bottleneck(depth=1, width=4))


def test_a_step_down_its_gradient_is_the_adapter_clients_local_step(device_with, model):
    content = order_content(to_record(model.arrays), server_round=1, configuration=model.configuration)
    add_step(content, StepOrder(step=0))
    client = device_with(backprop)(batch_size=14)  # all of its texts
    reply = client.app(with_id(Message(content, 7, MessageType.TRAIN), "1"), client.context)
    local = device_with(adapter)(batch_size=14, learning_rate=0.1, clip_norm=1e9).trained(model)
    gradient = from_record(reply.content["arrays"])
    assert kind_of(reply.content) == "gradient"
    for name, array in model.arrays.items():
        np.testing.assert_allclose(local[name], array - 0.1 * gradient[name], atol=1e-6)
    forward, backward = read_workload(reply).passes
    assert (forward.count, forward.blocks, backward.blocks) == (1, range(2), range(1, 2))
    assert backward.trained == bottleneck(4)


def test_it_does_not_train_locally(device_with, model):
    with pytest.raises(UserError, match="the strategy must ask for steps, as fedsgd does"):
        device_with(backprop)()(model)
