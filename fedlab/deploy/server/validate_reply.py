"""Whether what a client says of its work can be right: real ones can send anything."""

import math
from typing import get_args

import numpy as np
from flwr.app import Message, MessageType

from fedlab.common.arrays import Arrays
from fedlab.messages.replies import read_workload
from fedlab.workload.workload import Method, Workload


def furthest(sent: Arrays) -> float:
    """Return how far an update may be from what was sent: as far as that is from 0, but at least 1 a value.

    The latter as the root of the mean square. No training of a round comes near it: weights of transformers are
    hundredths. It is for what has diverged, or come out of broken memory.
    """
    norm = math.hypot(*(float(np.linalg.norm(array)) for array in sent.values()))
    return max(norm, math.sqrt(sum(array.size for array in sent.values())))


def flaw(reply: Message) -> str | None:
    """Say what is wrong with the workload of a reply to train or evaluate; None if nothing is."""
    if reply.metadata.message_type.partition(".")[0] not in (MessageType.TRAIN, MessageType.EVALUATE):
        return None
    try:
        workload = read_workload(reply)
    except TypeError as error:
        return f"its workload cannot be read: {error}"
    return "it reports no workload" if workload is None else _flaw_of(workload)


def _flaw_of(workload: Workload) -> str | None:
    if workload.method not in get_args(Method):
        return f"its workload has the method {workload.method!r}"
    for name, value in vars(workload).items():
        if name != "method" and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            return f"its workload says {name} = {value!r}"
    return None
