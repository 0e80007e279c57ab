"""The Ray actor that can be any client of a run, on one core."""

import os
import platform
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from flwr.app import Context, Message, RecordDict

from fedlab.common.arrays import Arrays
from fedlab.common.machine import keep_freed_memory
from fedlab.common.spans import collecting, span
from fedlab.messages.flower_private import CLIENT_RAISED, copied, error_reply, record_from_wire, record_to_wire
from fedlab.messages.node_config import NodeConfig
from fedlab.messages.trains_together import TrainsTogether
from fedlab.models.peft.base import SplitPoint
from fedlab.server.factory import load_client
from fedlab.simulation.engine.shipping import Shipped, states_folder, unpack
from fedlab.training.bundle import PreparedBundle
from fedlab.training.evaluate import predict
from fedlab.training.workbench import HostedContext, Split
from fedlab.training.write import write

RUN_ID = 1
# What a client may raise; SystemExit would end the actor, and Ray takes a KeyboardInterrupt for its own.
_RAISED = (Exception, SystemExit, KeyboardInterrupt)


@dataclass(frozen=True, kw_only=True)
class ClientSetup:
    """What an actor needs to be any client of the run.

    `reference` names the client as in the experiment file, `codecs` and `sets` the experiment's codecs and
    trainable sets. `shipped` has the files of the bundle where machines share no disk.
    """

    reference: str
    options: Mapping[str, Any]
    base_folder: Path
    bundle: PreparedBundle
    num_partitions: int
    codecs: Sequence[str] = ()
    sets: Sequence[str] = ()
    shipped: Shipped | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A message to a client without its content, which travels apart, and the client's encoded state."""

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
    """The result of a call of an actor, and the real seconds it took, by kind of work.

    If clients could not be trained together, but each alone, `trouble` says why, in words and as a traceback.
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
        self._setup = setup
        bundle = setup.bundle if setup.shipped is None else _unpacked(setup.bundle, setup.shipped)
        self._opener = bundle.opener()
        self._app = load_client(setup.reference, setup.options, setup.base_folder, setup.codecs, setup.sets)

    def handle(self, asked: Sequence[Asked], content: RecordDict) -> Done[list[Answer]]:
        """Let clients answer messages that hold the same: together if they can, else one after the other."""
        with collecting() as seconds, span("client"):
            answers, trouble = self._handle(asked, content)
        return Done(result=answers, seconds=seconds, actor=self._name, trouble=trouble)

    def predict(self, arrays: Arrays, split: Split, start: int, stop: int, at: SplitPoint) -> Done[np.ndarray]:
        """Predict the labels of some rows of a split by a model that is split there."""
        workbench = self._opener()
        with collecting() as seconds, span("evaluate"):
            predictions = predict(workbench, arrays, split, start, stop, at)
        return Done(result=predictions, seconds=seconds, actor=self._name)

    def write(self, arrays: Arrays, split: Split, start: int, stop: int, at: SplitPoint) -> Done[np.ndarray]:
        """Continue the prompts of some rows of a split by a language model that is split there."""
        workbench = self._opener()
        with collecting() as seconds, span("evaluate"):
            written = write(workbench, arrays, split, start, stop, at)
        return Done(result=written, seconds=seconds, actor=self._name)

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
            except _RAISED as error:  # of one client, or of the pack, which shows when each is alone
                trouble = f"{type(error).__name__}: {error}", traceback.format_exc()
        alone = [self._answer(each) for each in asked]
        return alone, None if any(answer.reply.has_error() for answer in alone) else trouble

    def _answer(self, asked: Asked) -> Answer:
        context = self._context(asked)
        try:
            return Answer(reply=self._app(asked.message, context), state=record_to_wire(context.state))
        except _RAISED as error:  # whatever a user's client raises is the run's to report
            reply = error_reply(asked.message, CLIENT_RAISED, f"{type(error).__name__}: {error}")
            return Answer(reply=reply, state=asked.state, traceback=traceback.format_exc())

    def _context(self, asked: Asked) -> Context:
        node = NodeConfig(partition_id=asked.partition_id, num_partitions=self._setup.num_partitions)
        context = Context(
            run_id=RUN_ID,
            node_id=asked.message.metadata.dst_node_id,
            node_config=node.mapping(),
            state=record_from_wire(asked.state),
            run_config={},
        )
        return HostedContext(context, self._opener)


def _unpacked(bundle: PreparedBundle, shipped: Shipped) -> PreparedBundle:
    """Return the bundle, and the stored states, in folders of this machine."""
    folder = unpack(shipped, bundle.activations, bundle.prefix)
    return replace(bundle, folder=folder, activations=states_folder(folder, bundle.prefix))
