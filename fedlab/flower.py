"""What we need of Flower that it does not offer in public; everything else imports its public API only.

Held to flwr 1.41 by the project's requirements.
"""

import logging
import random

import numpy as np
from flwr.app import Error, Message, Metadata, RecordDict
from flwr.common.constant import ErrorCode
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict
from flwr.supercore.task_identity import TaskIdentity

SERVER_NODE_ID = 1
CLIENT_RAISED = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
CLIENT_CRASHED = ErrorCode.CLIENT_APP_CRASHED


def assume_identity(run_id: int) -> None:
    """Make this process the server of a run, so that `Message(...)` can be called as the strategies do."""
    TaskIdentity.run_id = run_id
    TaskIdentity.node_id = SERVER_NODE_ID
    TaskIdentity.task_id = run_id


def with_id(message: Message, message_id: str) -> Message:
    """Return the same message under an id; Flower leaves giving ids to its own server."""
    return _remade(message, message_id, message.content)


def envelope(message: Message) -> Message:
    """Return a message without its content, which can travel apart."""
    return _remade(message, message.metadata.message_id, RecordDict())


def _remade(message: Message, message_id: str, content: RecordDict) -> Message:
    old = message.metadata
    metadata = Metadata(
        run_id=old.run_id,
        message_id=message_id,
        src_node_id=old.src_node_id,
        dst_node_id=old.dst_node_id,
        reply_to_message_id=old.reply_to_message_id,
        group_id=old.group_id,
        created_at=old.created_at,
        ttl=old.ttl,
        message_type=old.message_type,
    )
    return Message(metadata=metadata, content=content)  # type: ignore[call-overload,no-any-return]


def error_reply(message: Message, code: int, reason: str) -> Message:
    """Return the reply a message gets when its client could not answer."""
    return Message(Error(code=code, reason=reason), reply_to=message)


def record_bytes(content: RecordDict) -> int:
    """Return how many bytes a message's content takes on the wire (Flower's own encoding, headers included)."""
    return int(recorddict_to_proto(content).ByteSize())


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
