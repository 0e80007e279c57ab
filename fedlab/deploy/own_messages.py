"""Whose messages a node pushes: the SuperLink checks who calls it, but not whose messages the caller brings."""

from flwr.proto.fleet_pb2 import PushMessagesRequest


def are_own_messages(body: bytes) -> bool:
    """Tell whether the caller of `push-messages` is the sender of all messages in it.

    The SuperLink compares the caller that is named here with the key that signed the request.
    """
    try:
        request = PushMessagesRequest.FromString(body)
    except Exception:  # protobuf's own kind: the bytes are no such request
        return False
    return all(message.metadata.src_node_id == request.node.node_id for message in request.messages_list)
