"""Clients of a process's own behind a grid that encodes: simple ones, and the adapter client on a small task."""

from pathlib import Path

import numpy as np
import pytest
from flwr.app import RecordDict

from fedlab.codecs.spec import Coding, build_pipeline
from fedlab.messages.codec_terms import CodecTerms
from fedlab.messages.flower_private import record_from_wire, record_to_wire


@pytest.fixture
def coding():
    """Return a function that makes what a server encodes with, of specs."""

    def make(up=(), down=(), memory=None, seed=5):
        terms = CodecTerms(up=tuple(up), down=tuple(down), memory=memory, seed=seed)
        pipelines = {which: build_pipeline(getattr(terms, which), which, Path()) for which in ("up", "down")}
        return Coding(terms=terms, **pipelines)

    return make


@pytest.fixture
def nodes(server_identity, hosted):
    """Return a class of clients that keep their states; `answer` is what a grid in memory asks."""

    class Nodes:
        def __init__(self, app, workbench=None):
            self.app, self.states, self._workbench = app, {}, workbench

        def context(self, node_id):
            return hosted(self._workbench, node_id, state=self.states.setdefault(node_id, RecordDict()))

        def answer(self, message):
            context = self.context(message.metadata.dst_node_id)
            reply = self.app(message, context)
            self.states[message.metadata.dst_node_id] = context.state
            return reply

        # What a checkpoint holds of them.
        def state(self):
            return {str(node): record_to_wire(state) for node, state in self.states.items()}

        def restore(self, state):
            self.states = {int(node): record_from_wire(data) for node, data in state.items()}

    return Nodes


@pytest.fixture
def update():
    """Return the update of a client that draws it: large in some rows, none in others."""

    def draw(server_round, partition_id, shape=(20, 300)):
        draws = np.random.default_rng([server_round, partition_id])
        drawn = draws.normal(size=shape).astype(np.float32)
        drawn[::3] = 0.0
        return drawn

    return draw
