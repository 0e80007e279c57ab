"""What became of a run whose processes were killed, and the table of many."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The kills that hit a run, by kind in their order, and how it ended.

    `fault` is None if it was resumed to its end and has the digests of one that was left alone.
    """

    name: str
    kills: tuple[str, ...]
    resumed: bool
    fault: str | None = None
    seconds: float = 0.0

    def line(self) -> str:
        """Return what is printed when the run has ended."""
        how = "digests equal" if self.fault is None else self.fault
        return f"{self.name}: {', '.join(self.kills) or 'no kill'}: {how} ({self.seconds:.0f} s)"


def table(outcomes: Sequence[Outcome], kinds: Sequence[str]) -> str:
    """Return how many kills of each kind hit a run, how many of these runs were resumed, and how many are equal."""
    lines = [f"{'kind':<12}{'kills':>8}{'resumed':>10}{'equal':>8}"]
    for kind in (*kinds, "all"):
        counted = [(each, sum(kind in (hit, "all") for hit in each.kills)) for each in outcomes]
        kills = sum(count for _, count in counted)
        resumed = sum(count for each, count in counted if each.resumed)
        equal = sum(count for each, count in counted if each.fault is None)
        lines.append(f"{kind:<12}{kills:>8}{resumed:>10}{equal:>8}")
    return "\n".join(lines)
