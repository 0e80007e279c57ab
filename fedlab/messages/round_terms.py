"""When a round is over: what the server waits for, and whom it waits for in vain."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Literal

Late = Literal["drop", "carry"]
RESENT = "resent"  # the group of orders that are sent again (`fedlab.messages.kept_model`), unless they name one


@dataclass(frozen=True, kw_only=True)
class RoundTerms:
    """What a strategy tells a group's clients about its round.

    The round ends when `wait_for` clients are done (None: all), at `deadline_seconds` at the latest. What comes later
    is lost (`drop`), or is still finished and handed in (`carry`).
    """

    deadline_seconds: float | None = None
    wait_for: int | None = None
    late: Late = "drop"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a client's part ends, and how many seconds after it began.

    One that `failed` says so; one that is `gone` leaves without a word.
    """

    seconds: float
    how: Literal["finished", "failed", "gone"]


def round_seconds(endings: Iterable[Ending], terms: RoundTerms) -> float:
    """Return how long a round lasts.

    Without a deadline nobody waits for a client longer than until it is gone. A server that has set one cannot tell
    a client that is gone from a slow one, and waits for it until then.
    """
    parts = list(endings)
    finished = sorted(part.seconds for part in parts if part.how == "finished")
    deadline = inf if terms.deadline_seconds is None else terms.deadline_seconds
    silent = any(part.how == "gone" for part in parts)
    last = inf if silent and terms.deadline_seconds is not None else max((part.seconds for part in parts), default=0.0)
    if terms.wait_for is not None and len(finished) >= terms.wait_for:
        last = finished[terms.wait_for - 1]
    return min(deadline, last)
