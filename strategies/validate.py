"""Which replies can be averaged: what does not fit the model, or would spoil it, is turned away."""

import math

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord

from fedlab.common.arrays import Arrays, in_dtypes_of
from fedlab.messages.pack import NUM_EXAMPLES, from_record, records_of


def objection(reply: Message, sent: Arrays, *, max_update_norm: float | None) -> str | None:
    """Say why a reply to an order of these arrays cannot be averaged; None if it can."""
    records = records_of(reply.content, ArrayRecord)
    if len(records) != 1:
        return f"has {len(records)} records of arrays, expected one"
    try:
        num_examples_of(reply)
        with np.errstate(over="ignore"):  # numbers too large for float32 come out as infinite
            arrays = in_dtypes_of(from_record(arrays_of(reply)), sent)
    except (ValueError, TypeError, OSError, EOFError) as error:  # what NumPy raises on bytes that are no array
        return f"cannot be read: {error}"
    return _misfit(arrays, sent) or _spoiled(arrays, sent, max_update_norm)


def arrays_of(reply: Message) -> ArrayRecord:
    """Return a reply's arrays, packed."""
    return next(iter(records_of(reply.content, ArrayRecord).values()))


def num_examples_of(reply: Message) -> float:
    """Return what a reply weighs in an average; raises ValueError if it does not say, or nothing that can be."""
    metrics = records_of(reply.content, MetricRecord).values()
    said = [each[NUM_EXAMPLES] for each in metrics if NUM_EXAMPLES in each]
    for value in said[:1]:
        if isinstance(value, int | float) and 0 < value < math.inf:
            return value
    raise ValueError(f"{NUM_EXAMPLES} is {said[0] if said else 'missing'}, expected a number above 0")


def _misfit(arrays: Arrays, sent: Arrays) -> str | None:
    if arrays.keys() != sent.keys():
        missing, extra = sorted(sent.keys() - arrays.keys()), sorted(arrays.keys() - sent.keys())
        return f"has other arrays than were sent: lacks {missing[:3]}, has {extra[:3]} besides"
    for name, array in arrays.items():
        if array.shape != sent[name].shape:
            return f"{name} has the shape {array.shape}, but {sent[name].shape} was sent"
    return None


def _spoiled(arrays: Arrays, sent: Arrays, max_update_norm: float | None) -> str | None:
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            return f"{name} has values that are not finite"
    if max_update_norm is None:
        return None
    with np.errstate(over="ignore"):  # too far for single precision is infinitely far
        norm = math.hypot(*(float(np.linalg.norm(array - sent[name])) for name, array in arrays.items()))
    return f"is {norm:.3g} from what was sent, {max_update_norm:g} is the most" if norm > max_update_norm else None
