"""What becomes of a round's replies: put together with late ones of earlier rounds, and averaged.

The replies have been checked below the strategy (`fedlab.server.vetting_grid`).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from flwr.app import ArrayRecord, Message

from fedlab.common.arrays import Arrays
from fedlab.messages.pack import to_record
from fedlab.messages.replies import late_seconds_of
from fedlab.messages.updates import Update, read_update
from fedlab.server.context import Server
from fedlab.workload.workload import Configuration
from strategies.cohort import CohortRules

TAKES: frozenset[str] = frozenset({"model", "delta"})  # the kinds of updates that `gather` can average


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What a round gave: the average, None where it failed; and the updates that are still on their way."""

    arrays: ArrayRecord | None
    coming: tuple[Update, ...]


def gather(
    replies: Iterable[Message],
    sent: Arrays,
    *,
    coming: Sequence[Update],
    rules: CohortRules,
    server: Server,
    group: str,
    configuration: Configuration,
    now_seconds: float,
    read: Callable[[Update], Update] = lambda update: update,
) -> Gathered:
    """Average what a group's clients sent back, and what has come since of earlier rounds, weighted by examples.

    `read` makes of each of this round's updates what is averaged.

    Updates that are too far from what was sent are noted in the server's ledger, as is a round that fails because too
    few are left.
    """
    updates = [*coming]
    limit = server.update_limit(sent) if rules.max_update_norm is None else rules.max_update_norm
    for reply in replies:
        if not reply.has_error():
            arrives_seconds = now_seconds + late_seconds_of(reply)
            update = read(read_update(reply, configuration=configuration, arrives_seconds=arrives_seconds))
            model = _as_model(update, sent)
            reason = _overflow(update, model) or objection(model.arrays, sent, max_update_norm=limit)
            if reason is None:
                updates.append(model)
            else:
                server.ledger.refuse(server.partitions[update.node_id], f"turned away: {reason}")
    there = [update for update in updates if update.arrives_seconds <= now_seconds]
    still_coming = tuple(update for update in updates if update.arrives_seconds > now_seconds)
    if len(there) < rules.min_replies:
        server.ledger.fail(group, f"{len(there)} updates to average, {rules.min_replies} needed: the model stays")
        return Gathered(arrays=None, coming=still_coming)
    return Gathered(arrays=to_record(average(there)), coming=still_coming)


def _as_model(update: Update, sent: Arrays) -> Update:
    """Return an update as a trained model: a delta is added to what was sent."""
    if update.kind == "model":
        return update
    assert update.kind == "delta", f"replies of the kind {update.kind} are refused before"
    with np.errstate(over="ignore"):
        return replace(update, kind="model", arrays={name: sent[name] + each for name, each in update.arrays.items()})


def _overflow(update: Update, model: Update) -> str | None:
    """Say so if adding a finite delta has led beyond what its type can hold; models were checked when they came."""
    finite = update is model or all(np.isfinite(array).all() for array in model.arrays.values())
    return None if finite else "leads to values that are not finite"


def objection(arrays: Arrays, sent: Arrays, *, max_update_norm: float | None) -> str | None:
    """Say why a trained model is too far from what was sent to be averaged; None if it is not."""
    if max_update_norm is None:
        return None
    with np.errstate(over="ignore"):  # too far for single precision is infinitely far
        norm = math.hypot(*(float(np.linalg.norm(array - sent[name])) for name, array in arrays.items()))
    return f"is {norm:.3g} from what was sent, {max_update_norm:g} is the most" if norm > max_update_norm else None


def average(updates: Sequence[Update]) -> Arrays:
    """Return the mean of updates weighted by their examples, in the order and precision of Flower's FedAvg."""
    total = sum(update.num_examples for update in updates)
    mean: Arrays = {}
    for update in updates:  # one after the other: whole models are large
        for name, array in update.arrays.items():
            part = np.asarray(array * (update.num_examples / total))
            mean[name] = np.add(mean[name], part, out=mean[name]) if name in mean else part
    return mean


def busy_nodes(updates: Iterable[Update], now_seconds: float) -> set[int]:
    """Return the nodes that are still at work on an earlier round."""
    return {update.node_id for update in updates if update.arrives_seconds > now_seconds}


def fits(update: Update, configuration: Configuration) -> bool:
    """Tell whether an update is to a model of this configuration; arrays alone do not tell configurations apart."""
    return dict(update.configuration) == dict(configuration)
