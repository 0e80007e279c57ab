"""The server side of codecs: a grid that encodes the models a strategy sends and decodes the replies."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count

from flwr.app import ArrayRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedlab.codecs.codec import GarbledError
from fedlab.codecs.spec import Coding
from fedlab.codecs.transport.delta import base_of, decode_update, encode_model, floats, is_encoded
from fedlab.codecs.transport.reference import Reference
from fedlab.common.arrays import Arrays
from fedlab.common.seeds import generator
from fedlab.messages.flower_private import holding, unusable
from fedlab.messages.grids import GridAround
from fedlab.messages.orders import CodecOrder, encoded_order, group_of, plain_content, server_round_of
from fedlab.messages.pack import records_of
from fedlab.messages.replies import read_ticket
from fedlab.messages.updates import kind_of

_KEPT = 4  # sending calls whose models are remembered, because replies may be this late


class CodingGrid(GridAround):
    """Sends and receives coded messages; the strategy above only sees decoded models.

    The billing grid is below this one, so it bills messages as they are sent. The update of a reply is added to the
    arrays that the strategy sent, in full precision: loss on the way down only moves the starting point of a client,
    and does not enter the model. Unencoded replies pass through. A reply that cannot be decoded becomes an error, and
    `refuse` is called with the node and the reason.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        coding: Coding,
        reference: Reference,
        refuse: Callable[[int, str], None],
    ) -> None:
        super().__init__(grid)
        self._coding = coding
        self._reference = reference
        self._refuse = refuse
        self._numbers = count(1)
        self._calls: list[dict[str, _SentRecords]] = []

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages encoded."""
        return self._grid.push_messages(self._encoded(list(messages)))

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that have arrived, decoded."""
        return [self._decoded(reply) for reply in self._grid.pull_messages(message_ids)]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages encoded and return the replies decoded."""
        replies = self._grid.send_and_receive(self._encoded(list(messages)), timeout=timeout)
        return [self._decoded(reply) for reply in replies]

    def _encoded(self, messages: Sequence[Message]) -> list[Message]:
        """Encode each content once, because strategies share one content among many messages."""
        self._calls = [*self._calls[1 - _KEPT :], {}]
        alike: dict[tuple[int, str], list[Message]] = {}
        for message in messages:
            alike.setdefault(_key(message), []).append(message)
        contents = {key: self._encode(each) for key, each in alike.items()}
        return [holding(message, contents[_key(message)]) for message in messages]

    def _encode(self, messages: Sequence[Message]) -> RecordDict:
        """Encode the content that these messages share."""
        content, kind = messages[0].content, messages[0].metadata.message_type
        terms, down = self._coding.terms, self._coding.down
        records = records_of(content, ArrayRecord)
        trains = kind.partition(".")[0] == MessageType.TRAIN
        if not records or not (trains or terms.down):
            return content
        ticket = self._ticket(messages, records) if trains else ""
        if terms.down:
            purpose = f"codec-down-{kind}-{group_of(messages[0])}"
            draws = generator(terms.seed, purpose, server_round_of(messages[0]))
            records = {key: encode_model(each, self._reference, down, draws) for key, each in records.items()}
        return encoded_order(content, records, CodecOrder(terms=terms, ticket=ticket))

    def _ticket(self, messages: Sequence[Message], records: Mapping[str, ArrayRecord]) -> str:
        """Remember what is sent to which nodes; return the ticket by which a reply refers to it."""
        ticket = f"{next(self._numbers):08x}"  # of fixed length, so that a resumed run sends as many bytes
        self._calls[-1][ticket] = _SentRecords(records, [message.metadata.dst_node_id for message in messages])
        return ticket

    def _decoded(self, reply: Message) -> Message:
        ticket = None if reply.has_error() else read_ticket(reply)
        try:
            if ticket is not None:
                reply.content = self._decode(reply.content, ticket)
        except Exception as error:  # whatever a client sends must not end the run
            reason = f"the encoded reply cannot be read: {' '.join(str(error).split()) or type(error).__name__}"
            self._refuse(reply.metadata.src_node_id, reason)
            reply = unusable(reply, reason)
        self._settle(reply.metadata.src_node_id, ticket)
        return reply

    def _decode(self, content: RecordDict, ticket: str) -> RecordDict:
        sent = next((call[ticket] for call in self._calls if ticket in call), None)
        if sent is None:
            raise GarbledError("it answers an order that is too old")
        records = {
            key: decode_update(record, base_of(kind_of(content), sent.base(key)), self._coding.up)
            for key, record in records_of(content, ArrayRecord).items()
            if is_encoded(record)
        }
        return plain_content(content, records)

    def _settle(self, node_id: int, ticket: str | None) -> None:
        """Forget an order once all nodes have answered; a reply without a ticket answers the latest order."""
        for call in reversed(self._calls):
            for each, sent in call.items():
                if node_id in sent.awaited and ticket in (None, each):
                    sent.awaited.remove(node_id)
                    if not sent.awaited:
                        del call[each]
                    return


def _key(message: Message) -> tuple[int, str]:
    return id(message.content), message.metadata.message_type


class _SentRecords:
    """The records of an order, unpacked when the first reply comes, and the nodes that have not answered."""

    def __init__(self, records: Mapping[str, ArrayRecord], awaited: list[int]) -> None:
        self.awaited = awaited
        self._records = records
        self._bases: dict[str, Arrays] = {}

    def base(self, key: str) -> Arrays:
        """Return the arrays of a record; raises `GarbledError` if no record of this key was sent."""
        if key not in self._records:
            raise GarbledError(f"no record '{key}' was sent")
        if key not in self._bases:
            self._bases[key] = floats(self._records[key])
        return self._bases[key]
