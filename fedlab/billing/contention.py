"""Contention: durations of transfers that share the server's line, by a fluid model with max-min fair shares.

The capacity of the line is shared equally among the concurrent transfers. A transfer is also limited by its client's
link; the rest of its share goes to the others (Bertsekas and Gallager, Data Networks, section 6.5.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SLACK = 1e-12  # relative: transfers that end this close together end together


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A transfer: its start, its bytes, and the seconds it takes over the client's link without contention."""

    start_seconds: float
    num_bytes: int
    alone_seconds: float


def shared_seconds(transfers: Sequence[Transfer], capacity_bytes_per_second: float | None) -> list[float]:
    """Return the seconds of each transfer over a line of this capacity; None means unlimited.

    A transfer that is never slowed down takes exactly its `alone_seconds`. A client's link has its mean rate.
    """
    alone = [transfer.alone_seconds for transfer in transfers]
    sharing = [at for at, transfer in enumerate(transfers) if transfer.num_bytes > 0]
    if capacity_bytes_per_second is None or not sharing:
        return alone
    ends, held_back = _simulate([transfers[at] for at in sharing], capacity_bytes_per_second)
    for at, end, held in zip(sharing, ends, held_back, strict=True):
        if held:
            alone[at] = max(alone[at], float(end) - transfers[at].start_seconds)
    return alone


def _simulate(transfers: Sequence[Transfer], capacity: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the end of each transfer, and whether its rate was ever below that of its own link."""
    starts = np.array([transfer.start_seconds for transfer in transfers])
    remaining = np.array([transfer.num_bytes for transfer in transfers], float)
    with np.errstate(divide="ignore"):  # a link that takes no time has an infinite rate
        caps = remaining / np.array([transfer.alone_seconds for transfer in transfers])
    ends, held_back = np.zeros(len(starts)), np.zeros(len(starts), bool)
    slowest_first, waiting = np.argsort(caps, kind="stable"), np.ones(len(starts), bool)
    now = starts.min()
    while waiting.any():
        active = slowest_first[(waiting & (starts <= now))[slowest_first]]
        upcoming = starts[starts > now].min(initial=np.inf)
        rates = _fair_rates(caps[active], capacity)
        left = remaining[active] / rates
        step = min(left.min(initial=np.inf), upcoming - now)
        remaining[active] -= rates * step
        held_back[active] |= rates < caps[active]
        now = upcoming if now + step >= upcoming else now + step
        done = active[left <= step * (1 + _SLACK)]
        ends[done], waiting[done] = now, False
    return ends, held_back


def _fair_rates(caps: np.ndarray, capacity: float) -> np.ndarray:
    """Return the max-min fair rates of transfers, which are sorted by the rate of their links, slowest first."""
    if caps.sum() <= capacity:
        return caps
    taken = np.concatenate([[0.0], np.cumsum(caps[:-1])])
    even = (capacity - taken) / np.arange(len(caps), 0, -1)
    # The first transfer that its link does not limit, and all faster ones, share equally what the slower ones leave.
    rates: np.ndarray = np.minimum(caps, even[np.argmax(caps > even)])
    return rates
