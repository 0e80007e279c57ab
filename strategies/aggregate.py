"""What becomes of a round's replies: vetted, put together with late ones of earlier rounds, and averaged."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Message

from fedlab.common.arrays import Arrays
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.replies import late_seconds_of
from fedlab.server.context import Server
from strategies.cohort import CohortRules
from strategies.validate import arrays_of, num_examples_of, objection


@dataclass(frozen=True, kw_only=True)
class Update:
    """What one client has sent, or is still sending until `arrives_seconds` of simulated time."""

    node_id: int
    arrays: ArrayRecord
    num_examples: float
    arrives_seconds: float

    def state(self) -> dict[str, Any]:
        """Return it as a checkpoint holds it."""
        return vars(self) | {"arrays": from_record(self.arrays)}


def restored(state: Mapping[str, Any]) -> Update:
    """Return an update as a checkpoint held it."""
    return Update(**{**state, "arrays": to_record(state["arrays"])})


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
    now_seconds: float,
) -> Gathered:
    """Average what a group's clients sent back, and what has come since of earlier rounds, weighted by examples.

    Replies that cannot be used are noted in the server's ledger, as is a round that fails for want of others.
    """
    updates = [*coming]
    limit = server.update_limit(sent) if rules.max_update_norm is None else rules.max_update_norm
    for reply in replies:
        if not reply.has_error():
            reason = objection(reply, sent, max_update_norm=limit)
            if reason is None:
                updates.append(_update(reply, now_seconds))
            else:
                server.ledger.refuse(server.partitions[reply.metadata.src_node_id], f"turned away: {reason}")
    there = [update for update in updates if update.arrives_seconds <= now_seconds]
    still_coming = tuple(update for update in updates if update.arrives_seconds > now_seconds)
    if len(there) < rules.min_replies:
        server.ledger.fail(group, f"{len(there)} updates to average, {rules.min_replies} needed: the model stays")
        return Gathered(arrays=None, coming=still_coming)
    return Gathered(arrays=to_record(average(there)), coming=still_coming)


def _update(reply: Message, now_seconds: float) -> Update:
    return Update(
        node_id=reply.metadata.src_node_id,
        arrays=arrays_of(reply),
        num_examples=num_examples_of(reply),
        arrives_seconds=now_seconds + late_seconds_of(reply),
    )


def average(updates: Sequence[Update]) -> Arrays:
    """Return the mean of updates weighted by their examples, in the order and precision of Flower's FedAvg."""
    total = sum(update.num_examples for update in updates)
    mean: Arrays = {}
    for update in updates:  # one after the other: whole models are large
        for name, array in from_record(update.arrays).items():
            part = array * (update.num_examples / total)
            mean[name] = np.add(mean[name], part, out=mean[name]) if name in mean else part
    return mean


def busy_nodes(updates: Iterable[Update], now_seconds: float) -> set[int]:
    """Return the nodes that are still at work on an earlier round."""
    return {update.node_id for update in updates if update.arrives_seconds > now_seconds}


def fits(update: Update, arrays: Arrays) -> bool:
    """Tell whether an update is to a model of these names and shapes."""
    return {name: tuple(array.shape) for name, array in update.arrays.items()} == {
        name: array.shape for name, array in arrays.items()
    }
