"""The Ray actor that is any client of a run, on one core."""

import os
import platform
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch
from flwr.app import Context, Message, RecordDict

from fedlab.common.arrays import Arrays
from fedlab.common.machine import keep_freed_memory
from fedlab.common.spans import collecting, span
from fedlab.messages.flower_private import CLIENT_RAISED, copied, error_reply, record_from_wire, record_to_wire
from fedlab.messages.trains_together import TrainsTogether
from fedlab.models.peft.base import SplitPoint
from fedlab.server.factory import load_client
from fedlab.simulation.engine.shipping import states_folder, unpack
from fedlab.training.bundle import Split, open_workbench
from fedlab.training.evaluate import predict

if TYPE_CHECKING:
    import ray

RUN_ID = 1


@dataclass(frozen=True, kw_only=True)
class ClientSetup:
    """What an actor needs to be any client of the run."""

    reference: str  # of the client, as in the experiment file
    options: Mapping[str, Any]
    base_folder: Path
    run_config: Mapping[str, str]
    node_config: Mapping[str, str]
    num_partitions: int
    codecs: Sequence[str] = ()  # of the experiment, by name
    sets: Sequence[str] = ()  # the trainable sets of the experiment, by name
    shipped: "ray.ObjectRef[dict[str, bytes]] | None" = None  # the bundle's files, where machines share no disk


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A message to a client, its content apart, and the client's state as encoded."""

    message: Message
    partition_id: int
    state: bytes


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a client replied, or the traceback of what it raised; and its state afterwards."""

    reply: Message
    state: bytes
    traceback: str | None = None


Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Done(Generic[Result]):
    """What a call of an actor came to, and the real seconds it took, by kind of work.

    `trouble` is what kept clients from being trained together, in words and as a traceback, if alone all of them could.
    """

    result: Result
    seconds: Mapping[str, float]
    actor: str  # whose they are
    trouble: tuple[str, str] | None = None


class ClientActor:
    """Answers for any client; keeps what it has loaded between messages."""

    def __init__(self, setup: ClientSetup) -> None:
        torch.set_num_threads(1)
        keep_freed_memory()
        self._name = f"{platform.node()}:{os.getpid()}"
        self._setup = setup if setup.shipped is None else _unpacked(setup, setup.shipped)
        self._app = load_client(setup.reference, setup.options, setup.base_folder, setup.codecs, setup.sets)

    def handle(self, asked: Sequence[Asked], content: RecordDict) -> Done[list[Answer]]:
        """Let clients answer messages that hold the same: together if they can, else one after the other."""
        with collecting() as seconds, span("client"):
            answers, trouble = self._handle(asked, content)
        return Done(result=answers, seconds=seconds, actor=self._name, trouble=trouble)

    def predict(self, arrays: Arrays, split: Split, start: int, stop: int, at: SplitPoint) -> Done[np.ndarray]:
        """Predict the labels of some rows of a split by a model that is split there."""
        workbench = open_workbench(self._setup.run_config, self._setup.node_config)
        with collecting() as seconds, span("evaluate"):
            predictions = predict(workbench, arrays, split, start, stop, at)
        return Done(result=predictions, seconds=seconds, actor=self._name)

    def _handle(self, asked: Sequence[Asked], content: RecordDict) -> tuple[list[Answer], tuple[str, str] | None]:
        for each in asked:
            each.message.content = copied(content)
        trouble = None
        together = len(asked) > 1 and asked[0].message.metadata.message_type == "train"
        if together and isinstance(self._app, TrainsTogether):
            contexts = [self._context(each) for each in asked]
            try:
                replies = self._app.train_together([each.message for each in asked], contexts)
                answers = zip(replies, contexts, strict=True)
                return [Answer(reply=reply, state=record_to_wire(where.state)) for reply, where in answers], None
            except Exception as error:  # of one client, or of the pack, which shows when each is alone
                trouble = f"{type(error).__name__}: {error}", traceback.format_exc()
        alone = [self._answer(each) for each in asked]
        return alone, None if any(answer.reply.has_error() for answer in alone) else trouble

    def _answer(self, asked: Asked) -> Answer:
        context = self._context(asked)
        try:
            return Answer(reply=self._app(asked.message, context), state=record_to_wire(context.state))
        except Exception as error:  # whatever a user's client raises is the run's to report
            reply = error_reply(asked.message, CLIENT_RAISED, f"{type(error).__name__}: {error}")
            return Answer(reply=reply, state=asked.state, traceback=traceback.format_exc())

    def _context(self, asked: Asked) -> Context:
        where = {"partition-id": asked.partition_id, "num-partitions": self._setup.num_partitions}
        return Context(
            run_id=RUN_ID,
            node_id=asked.message.metadata.dst_node_id,
            node_config={**self._setup.node_config, **where},
            state=record_from_wire(asked.state),
            run_config=dict(self._setup.run_config),
        )


def _unpacked(setup: ClientSetup, shipped: "ray.ObjectRef[dict[str, bytes]]") -> ClientSetup:
    """Return the setup with the bundle and the stored states in a folder of this machine."""
    prefix = setup.node_config["activation-prefix"]
    folder = unpack(shipped, Path(setup.node_config["activations"]), prefix)
    here = {"bundle": str(folder), "activations": str(states_folder(folder, prefix))}
    return replace(setup, node_config={**setup.node_config, **here})
