"""The client side of codecs: a ClientApp around another one, which receives and returns decoded models."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedlab.codecs.pipeline import Pipeline
from fedlab.codecs.spec import build_pipeline
from fedlab.codecs.transport.delta import (
    base_of,
    decode_model,
    decode_residual,
    encode_residual,
    encode_update,
    floats,
    is_encoded,
)
from fedlab.common.arrays import Arrays
from fedlab.common.seeds import generator
from fedlab.common.spans import span
from fedlab.messages.flower_private import holding
from fedlab.messages.node_config import read_node_config
from fedlab.messages.orders import CodecOrder, plain_content, read_codec, server_round_of
from fedlab.messages.pack import records_of
from fedlab.messages.replies import add_ticket
from fedlab.messages.trains_together import TrainsTogether
from fedlab.messages.updates import kind_of

_MEMORY = "codec-memory"  # key of a client's state: the residual of each record it last sent


class CodedClient(ClientApp):
    """Decodes the orders of a client and encodes its replies, by the codec terms in each order.

    Orders without terms and replies without arrays pass through. Models are sent down as differences to the arrays that
    `reference` returns. Codecs that are not built in are resolved from `base`, if they are `trusted`.
    """

    def __init__(
        self,
        app: ClientApp,
        *,
        reference: Callable[[Context, Collection[str]], Arrays],
        base: Path,
        trusted: Collection[str] = (),
    ) -> None:
        super().__init__()
        self._app = app
        self._reference = reference
        self._base = base
        self._trusted = trusted

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer one order."""
        return self._answer([message], [context], lambda orders: [self._app(orders[0], context)])[0]

    def _answer(
        self,
        messages: Sequence[Message],
        contexts: Sequence[Context],
        ask: Callable[[Sequence[Message]], list[Message]],
    ) -> list[Message]:
        order = read_codec(messages[0])
        if order is None:
            return ask(messages)
        with span("codec"):
            content = self._decoded(messages[0].content, order, contexts[0])
        replies = ask([holding(message, content) for message in messages])
        if order.ticket:
            with span("codec"):
                sent = {key: floats(record) for key, record in records_of(content, ArrayRecord).items()}
                for message, reply, context in zip(messages, replies, contexts, strict=True):
                    self._encode(reply, sent, order, context, server_round_of(message))
        return replies

    def _decoded(self, content: RecordDict, order: CodecOrder, context: Context) -> RecordDict:
        """Return the content of an order with its models decoded."""
        encoded = {key: record for key, record in records_of(content, ArrayRecord).items() if is_encoded(record)}
        pipeline, reference = self._pipeline(order, "down"), partial(self._reference, context)
        return plain_content(content, {key: decode_model(each, reference, pipeline) for key, each in encoded.items()})

    def _encode(
        self, reply: Message, sent: Mapping[str, Arrays], order: CodecOrder, context: Context, server_round: int
    ) -> None:
        """Encode the models in a reply; the encoding error is kept in the client's state."""
        if reply.has_error():
            return
        up = self._pipeline(order, "up")
        memory = None if order.terms.memory is None else self._pipeline(order, "memory")
        draws = generator(order.terms.seed, "codec-up", server_round, _identity(context))
        content = RecordDict(dict(reply.content))  # replies of the app may share one content
        for key, record in records_of(reply.content, ArrayRecord).items():
            if key in sent:
                base = base_of(kind_of(reply.content), sent[key])
                content[key] = _encoded(key, record, base, up, memory, context.state, draws)
        add_ticket(content, order.ticket)
        reply.content = content

    def _pipeline(self, order: CodecOrder, which: str) -> Pipeline:
        return build_pipeline(getattr(order.terms, which), f"codec.{which}", self._base, self._trusted)


class CodedTrainsTogether(CodedClient):
    """The same around a client that trains several clients side by side."""

    def train_together(self, messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
        """Train the clients of several orders that hold the same."""
        assert isinstance(self._app, TrainsTogether)
        app = self._app
        return self._answer(messages, contexts, lambda orders: app.train_together(orders, contexts))


def with_codecs(
    app: ClientApp,
    *,
    reference: Callable[[Context, Collection[str]], Arrays],
    base: Path,
    trusted: Collection[str] = (),
) -> CodedClient:
    """Return a client that decodes orders and encodes replies around another, and trains together if that does."""
    kind = CodedTrainsTogether if isinstance(app, TrainsTogether) else CodedClient
    return kind(app, reference=reference, base=base, trusted=trusted)


def _encoded(
    key: str,
    record: ArrayRecord,
    base: Arrays,
    up: Pipeline,
    memory: Pipeline | None,
    state: RecordDict,
    draws: np.random.Generator,
) -> ArrayRecord:
    """Encode one record; without a memory there is no error feedback."""
    if memory is None:
        return encode_update(record, base, None, up, draws)[0]
    kept = records_of(state, ArrayRecord).get(_MEMORY, ArrayRecord())
    residual = decode_residual(kept[key], memory) if key in kept else {}
    encoded, left = encode_update(record, base, residual, up, draws)
    kept[key] = encode_residual(left, memory, draws)
    state[_MEMORY] = kept
    return encoded


def _identity(context: Context) -> int:
    """Return what tells clients apart: the partition, or the node where that is not configured."""
    partition_id = read_node_config(context.node_config).partition_id
    return context.node_id if partition_id is None else partition_id
