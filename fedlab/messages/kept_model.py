"""Orders without the model, for clients that have kept it: what a strategy hands down, and what a client answers.

A strategy that takes a client to have kept the model of its order puts it into the record `kept` in the place of
`arrays`. That record is not sent (`fedlab.server.resending_grid`). A client that has not kept the model of the order
answers with `lacks-model` in its record `config`, and gets the same order again, this time with the model.
"""

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from fedlab.messages.pack import config_of, records_of
from fedlab.messages.replies import workload_record
from fedlab.messages.round_terms import RESENT
from fedlab.workload.workload import Workload

_MODEL, _KEPT, _LACKS = "arrays", "kept", "lacks-model"


def as_kept(content: RecordDict) -> RecordDict:
    """Return the content of an order whose model clients are taken to have kept."""
    return RecordDict({_KEPT if key == _MODEL else key: record for key, record in content.items()})


def is_kept(content: RecordDict) -> bool:
    """Tell whether clients are taken to have kept the model of an order."""
    return _KEPT in records_of(content, ArrayRecord)


def without_kept(content: RecordDict) -> RecordDict:
    """Return the content of an order as it is sent to clients that have kept its model."""
    return RecordDict({key: record for key, record in content.items() if key != _KEPT})


def with_kept(content: RecordDict) -> RecordDict:
    """Return the content of an order as it is sent to clients that answered that they have not kept its model.

    It is of a group of its own, as it is billed after the order without the model and not side by side with it.
    """
    config = config_of(content, "config").copy()
    config["group"] = config.get("group") or RESENT
    whole = {_MODEL if key == _KEPT else key: record for key, record in content.items()}
    return RecordDict({**whole, "config": config})


def lacking_reply(order: Message) -> Message:
    """Return the reply of a client that has not kept the model of an order: it has done nothing."""
    workload = workload_record(Workload(passes=(), num_examples=0))
    return Message(RecordDict({"config": ConfigRecord({_LACKS: True}), "workload": workload}), reply_to=order)


def lacks_model(reply: Message) -> bool:
    """Tell whether a client answers that it has not kept the model of an order."""
    return not reply.has_error() and config_of(reply.content, "config").get(_LACKS) is True
