from types import SimpleNamespace

import pytest
from flwr.app import Message, MessageType, RecordDict

from fedlab.simulation.engine.actor import Asked, ClientActor


@pytest.mark.parametrize("error", [KeyError("w"), SystemExit(0), KeyboardInterrupt()], ids=repr)
def test_whatever_a_client_raises_is_its_reply_and_not_the_end_of_its_actor(server_identity, monkeypatch, error):
    def app(message, context):
        raise error

    actor = object.__new__(ClientActor)
    actor._app = app
    monkeypatch.setattr(actor, "_context", lambda asked: SimpleNamespace(state=RecordDict()))
    message = Message(RecordDict(), 3, MessageType.TRAIN)

    answer = actor._answer(Asked(message=message, partition_id=0, state=b"before"))

    assert answer.reply.error.reason == f"{type(error).__name__}: {error}"
    assert (answer.state, "Traceback" in answer.traceback) == (b"before", True)
