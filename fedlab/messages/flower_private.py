"""What we need of Flower that it does not offer in public; everything else imports its public API only.

The project's requirements name the versions of Flower that are tested (`make test-versions`); a run says so if another
one is installed.
"""

import copy
import functools
import logging
import random
from importlib import metadata
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, Metadata, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode
from flwr.common.serde import config_record_to_proto, recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import Array as ProtoArray
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from fedlab.common.protobuf import field_bytes, varint_bytes

SERVER_NODE_ID = 1
CLIENT_RAISED = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
CLIENT_CRASHED = ErrorCode.CLIENT_APP_CRASHED
CLIENT_UNAVAILABLE = ErrorCode.NODE_UNAVAILABLE
REPLY_UNUSABLE = ErrorCode.REPLY_MESSAGE_UNAVAILABLE
REPLY_LATE = ErrorCode.MESSAGE_UNAVAILABLE
MESSAGE_EXPIRED = ErrorCode.MESSAGE_UNAVAILABLE


TESTED_FLOWER = ("1.41", "1.42")


def untested_flower() -> str | None:
    """Return a line if the installed version of Flower is not one that fedlab is tested with, else None."""
    installed = metadata.version("flwr")
    if ".".join(installed.split(".")[:2]) in TESTED_FLOWER:
        return None
    tested = " and ".join(TESTED_FLOWER)
    return f"flwr {installed}: fedlab is tested with {tested}, and needs names of Flower that other versions may change"


def assume_identity(run_id: int) -> None:
    """Make this process the server of a run, so that `Message(...)` can be called as the strategies do."""
    TaskIdentity.run_id = run_id
    TaskIdentity.node_id = SERVER_NODE_ID
    TaskIdentity.task_id = run_id


def is_simulated(grid: Grid) -> bool:
    """Tell whether the nodes of a grid are those of Flower's own simulation."""
    # Imported here: it brings a database, and only a server asks.
    from flwr.superlink.grid.inmemory_grid import InMemoryGrid  # noqa: PLC0415

    return isinstance(grid, InMemoryGrid)


def with_id(message: Message, message_id: str) -> Message:
    """Return the same message under an id; Flower leaves giving ids to its own server."""
    metadata = _metadata(message, message_id, message.metadata.reply_to_message_id)
    return Message(metadata=metadata, content=message.content)  # type: ignore[call-overload,no-any-return]


def answering(reply: Message, message_id: str) -> Message:
    """Return a reply, or an error in its place, as that to the message of another id."""
    metadata = _metadata(reply, reply.metadata.message_id, message_id)
    said = {"error": reply.error} if reply.has_error() else {"content": reply.content}
    return Message(metadata=metadata, **said)  # type: ignore[call-overload,no-any-return]


def _metadata(message: Message, message_id: str, reply_to_message_id: str) -> Metadata:
    old = message.metadata
    return Metadata(
        run_id=old.run_id,
        message_id=message_id,
        src_node_id=old.src_node_id,
        dst_node_id=old.dst_node_id,
        reply_to_message_id=reply_to_message_id,
        group_id=old.group_id,
        created_at=old.created_at,
        ttl=old.ttl,
        message_type=old.message_type,
    )


def holding(message: Message, content: RecordDict) -> Message:
    """Return a message of the same metadata with another content."""
    other = copy.copy(message)
    other.content = content
    return other


def envelope(message: Message) -> Message:
    """Return a message without its content, which can travel apart."""
    return holding(message, RecordDict())


def copied(content: RecordDict) -> RecordDict:
    """Return records that can be changed without those of others that hold the same."""
    return RecordDict({key: record.copy() for key, record in content.items()})


def error_reply(message: Message, code: int, reason: str) -> Message:
    """Return the reply a message gets when its client could not answer."""
    return Message(Error(code=code, reason=reason), reply_to=message)


def unusable(reply: Message, reason: str, code: int = REPLY_UNUSABLE) -> Message:
    """Return the error that stands for a reply which cannot be used."""
    error = Error(code=code, reason=reason)
    return Message(metadata=reply.metadata, error=error)  # type: ignore[call-overload,no-any-return]


def record_bytes(content: RecordDict) -> int:
    """Return how many bytes a message's content takes on the wire (Flower's own encoding, headers included).

    Exactly as many as `record_to_wire` gives, but nothing is encoded for it: the data of arrays are not copied.
    """
    return sum(field_bytes(_text(key) + field_bytes(_items_bytes(record))) for key, record in content.items())


def _items_bytes(record: ArrayRecord | MetricRecord | ConfigRecord) -> int:
    if isinstance(record, ArrayRecord):
        return sum(_array_bytes(name, a.dtype, tuple(a.shape), a.stype, len(a.data)) for name, a in record.items())
    return sum(field_bytes(_text(name) + field_bytes(_value_bytes(value))) for name, value in record.items())


def _text(text: str) -> int:
    return field_bytes(len(text.encode())) if text else 0  # what is empty is left out


def _value_bytes(value: Any) -> int:
    if isinstance(value, bool):
        return 2
    if isinstance(value, int):
        fits = value < 2**63  # a signed number has its sign in the last bit
        return 1 + varint_bytes((-2 * value - 1 if value < 0 else 2 * value) if fits else value)
    if isinstance(value, float):
        return 9
    if isinstance(value, str | bytes):
        return field_bytes(len(value.encode() if isinstance(value, str) else value))
    return int(next(iter(config_record_to_proto(ConfigRecord({"": value})).items)).value.ByteSize())  # a list


@functools.lru_cache(maxsize=4096)
def _array_bytes(name: str, dtype: str, shape: tuple[int, ...], stype: str, length: int) -> int:
    """Return the bytes of a named array whose data are of such a length."""
    header = int(ProtoArray(dtype=dtype, shape=shape, stype=stype).ByteSize())
    return field_bytes(_text(name) + field_bytes(header + (field_bytes(length) if length else 0)))


def record_to_wire(content: RecordDict) -> bytes:
    """Encode records as Flower sends them."""
    return bytes(recorddict_to_proto(content).SerializeToString())


def record_from_wire(data: bytes) -> RecordDict:
    """Decode records as Flower receives them."""
    return recorddict_from_proto(ProtoRecordDict.FromString(data))


def seed_strategies(seed: int) -> None:
    """Seed the global generators, which Flower's own strategies draw from, for one round."""
    random.seed(seed)
    np.random.seed(seed % 2**32)


def quiet() -> None:
    """Keep Flower's own strategies from narrating every round on the terminal."""
    logging.getLogger("flwr").setLevel(logging.ERROR)


def say_plainly(*kinds: type[Exception]) -> None:
    """Have Flower log errors of some kinds by what they say, and not by where in the code they were raised.

    Its own report of an app's error is a traceback; that the run failed, and why, it notes from the exception itself.
    """

    def plain(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, kinds):
            record.msg, record.args, record.exc_info = "the run failed: %s", (str(error),), None
        return True

    logging.getLogger("flwr").addFilter(plain)
