"""The client's side of a codec: a ClientApp around another, which is told whole models and answers with whole ones."""

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
from fedlab.messages.orders import CodecOrder, plain_content, read_codec, server_round_of
from fedlab.messages.pack import records_of
from fedlab.messages.replies import add_ticket
from fedlab.messages.trains_together import TrainsTogether
from fedlab.messages.updates import kind_of

_MEMORY = "codec-memory"  # in a client's state: the residual of each record it last sent


class CodedClient(ClientApp):
    """Decodes the orders of a client and encodes its replies, by the terms that each order brings.

    Orders without terms, and replies without arrays, pass through. `reference` returns the arrays of these names that
    models sent down are differences to. Codecs that are not built in are found from `base`, if they are `trusted`.
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
        if isinstance(app, TrainsTogether):
            self.train_together = self._train_together

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer one order."""
        return self._answer([message], [context], lambda orders: [self._app(orders[0], context)])[0]

    def _train_together(self, messages: Sequence[Message], contexts: Sequence[Context]) -> list[Message]:
        """Train the clients of several orders that hold the same."""
        assert isinstance(self._app, TrainsTogether)
        app = self._app
        return self._answer(messages, contexts, lambda orders: app.train_together(orders, contexts))

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
        """Return an order as it would be without a codec."""
        encoded = {key: record for key, record in records_of(content, ArrayRecord).items() if is_encoded(record)}
        pipeline, reference = self._pipeline(order, "down"), partial(self._reference, context)
        return plain_content(content, {key: decode_model(each, reference, pipeline) for key, each in encoded.items()})

    def _encode(
        self, reply: Message, sent: Mapping[str, Arrays], order: CodecOrder, context: Context, server_round: int
    ) -> None:
        """Encode the models in a reply, and keep what is lost of them in the client's state."""
        if reply.has_error():
            return
        up = self._pipeline(order, "up")
        memory = None if order.terms.memory is None else self._pipeline(order, "memory")
        draws = generator(order.terms.seed, "codec-up", server_round, _identity(context))
        content = RecordDict(dict(reply.content))  # the app may have answered with a content that others share
        for key, record in records_of(reply.content, ArrayRecord).items():
            if key in sent:
                base = base_of(kind_of(reply.content), sent[key])
                content[key] = _encoded(key, record, base, up, memory, context.state, draws)
        add_ticket(content, order.ticket)
        reply.content = content

    def _pipeline(self, order: CodecOrder, which: str) -> Pipeline:
        return build_pipeline(getattr(order.terms, which), f"codec.{which}", self._base, self._trusted)


def _encoded(
    key: str,
    record: ArrayRecord,
    base: Arrays,
    up: Pipeline,
    memory: Pipeline | None,
    state: RecordDict,
    draws: np.random.Generator,
) -> ArrayRecord:
    """Encode one record; without a memory nothing is fed back."""
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
    return int(context.node_config.get("partition-id", context.node_id))
