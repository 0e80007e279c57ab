"""Built-in clients train a set that a user wrote, if the experiment names it, and no file that an order names alone."""

import shutil

import numpy as np
import pytest
from flwr.app import Message, MessageType

from fedlab.config.file import experiment_from
from fedlab.errors import UserError
from fedlab.messages.flower_private import with_id
from fedlab.messages.orders import order_content
from fedlab.messages.pack import from_record, to_record
from fedlab.server.bench import initial_set
from fedlab.server.factory import load_client, set_names

BIASES = '''
"""The biases of the attention of the top blocks, and the head."""

from dataclasses import dataclass

from fedlab.models.peft.base import SplitPoint
from fedlab.workload.passes import TrainedSpec
from fedlab.models.peft.head import HeadOnly


@dataclass(frozen=True, kw_only=True)
class Biases:
    depth: int
    name: str = "in"

    @property
    def configuration(self):
        return {"set": "biases.py:Biases", "depth": self.depth, "name": self.name}

    @property
    def spec(self):
        return TrainedSpec(kind="bias")

    def shapes(self, sizes):
        width = {"in": 3 * sizes.hidden, "out": sizes.hidden}[self.name]
        blocks = range(sizes.blocks - self.depth, sizes.blocks)
        return {f"block.{i}.attention.{self.name}.bias": (width,) for i in blocks} | HeadOnly().shapes(sizes)

    def initial(self, sizes, generator, weights):
        return weights(list(self.shapes(sizes))) | HeadOnly().initial(sizes, generator, weights)

    def split_point(self, blocks):
        return SplitPoint(kind="block_input", block=blocks - self.depth)
'''


@pytest.fixture
def experiment(tmp_path, day_and_night):
    """Return an experiment that trains a set of a user's own."""
    (tmp_path / "biases.py").write_text(BIASES)
    client = {"name": "full", "trains": "biases.py:Biases", "depth": 1, "axes": {"name": "out"}}
    table = {"rounds": 1, "task": {"data": str(day_and_night)}, "backbone": {"name": "bert-tiny"}, "client": client}
    return experiment_from(table, "mine").model_copy(update={"base_folder": str(tmp_path)})


@pytest.fixture
def ask(server_identity, workbench, hosted):
    """Return a function that sends a client an order to train, and returns the arrays of its reply."""

    def train(client, arrays, configuration):
        content = order_content(to_record(arrays), server_round=1, configuration=configuration)
        order = with_id(Message(content, 2, MessageType.TRAIN), "1")
        return from_record(client(order, hosted(workbench, 2)).content["arrays"])

    return train


def test_a_set_of_a_users_own_is_made_with_its_axes_and_trained(experiment, ask, new_model, workbench):
    trained = initial_set(experiment, workbench.network.encoder.shape)
    client = load_client("full", {}, experiment.path("."), sets=set_names(experiment))
    start = new_model(trained)

    after = ask(client, start.arrays, trained.configuration)

    assert trained.configuration == {"set": "biases.py:Biases", "depth": 1, "name": "out"}
    assert list(after) == ["block.1.attention.out.bias", "head.weight", "head.bias"]
    assert not [name for name, array in after.items() if np.array_equal(array, start.arrays[name])]


def test_a_client_imports_no_set_that_its_experiment_does_not_name(experiment, ask, new_model, workbench, tmp_path):
    trained = initial_set(experiment, workbench.network.encoder.shape)
    start = new_model(trained)
    shutil.copy(tmp_path / "biases.py", tmp_path / "other.py")
    client = load_client("full", {}, experiment.path("."), sets=set_names(experiment))

    with pytest.raises(UserError, match=r"the set 'other\.py:Biases' is not built in, and the experiment does not"):
        ask(client, start.arrays, {"set": "other.py:Biases", "depth": 1})


def test_a_depth_beyond_the_encoder_is_refused_before_anything_runs(experiment, workbench):
    deep = experiment.model_copy(update={"client": experiment.client.model_copy(update={"depth": 3})})

    with pytest.raises(UserError, match=r"client\.depth = 3: the encoder has 2 blocks"):
        initial_set(deep, workbench.network.encoder.shape)


def test_an_axis_that_a_set_does_not_have_is_refused(experiment, workbench):
    client = experiment.client.model_copy(update={"axes": {"rank": 4}})

    with pytest.raises(UserError, match=r"the set 'biases\.py:Biases' has no axis 'rank': accepted: depth, name"):
        initial_set(experiment.model_copy(update={"client": client}), workbench.network.encoder.shape)
