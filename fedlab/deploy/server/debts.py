"""Which nodes still owe an answer to an order that was given up."""

from collections import Counter
from collections.abc import Callable


class Debts:
    """Nodes that are to be asked for nothing more until they are done with what they were asked for.

    One that never is, is asked again after `at_most_seconds`, and after twice as long every further time: nobody can
    tell one that hangs from one that was started again unnoticed.
    """

    def __init__(self, *, at_most_seconds: float, now_seconds: Callable[[], float]) -> None:
        self._at_most_seconds = at_most_seconds
        self._now_seconds = now_seconds
        self._until_seconds: dict[int, float] = {}
        self._times: Counter[int] = Counter()

    def enter(self, node: int) -> float:
        """Note that a node owes an answer; return for how many seconds that counts at most."""
        if not self.owes(node):
            self._until_seconds[node] = self._now_seconds() + self._at_most_seconds * 2 ** self._times[node]
            self._times[node] += 1
        return self._until_seconds[node] - self._now_seconds()

    def settle(self, node: int) -> bool:
        """Note that a node has answered; tell whether it was awaited."""
        self._times.pop(node, None)
        return self._until_seconds.pop(node, None) is not None

    def owes(self, node: int) -> bool:
        """Tell whether a node is not to be asked now."""
        return self._now_seconds() < self._until_seconds.get(node, 0.0)
