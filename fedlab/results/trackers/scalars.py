"""What trackers keep of a round and of a trial, as names and numbers."""

from collections.abc import Iterable, Sequence

from fedlab.results.configuration import numeric_axes
from fedlab.results.display import trial_line
from fedlab.results.records import ClientRecord, RoundRecord, TrialRecord
from fedlab.results.report import is_upgrade

_COSTS = ("joules", "bytes_down", "bytes_up")


class RunningTotals:
    """Joules and bytes, trials and upgrades since the first round."""

    def __init__(self) -> None:
        self._costs = dict.fromkeys(_COSTS, 0.0)
        self._trials, self._upgrades = 0, 0

    def of_round(self, record: RoundRecord) -> dict[str, float]:
        """Add a round, and return the totals after it."""
        for name in _COSTS:
            self._costs[name] += _sum(record, name)
        return {f"total/{name}": value for name, value in self._costs.items()}

    def of_trial(self, record: TrialRecord) -> dict[str, float]:
        """Add a trial, and return the totals after it."""
        self._trials += 1
        self._upgrades += is_upgrade(record)
        return {"total/trials": float(self._trials), "total/upgrades": float(self._upgrades)}


def scalars_of_round(record: RoundRecord, clients: Iterable[ClientRecord], score: str) -> dict[str, float]:
    """Return the time, scores, measures, loss, costs and peak memory of a round, and the sizes of what is trained.

    Seconds and hours are simulated (real in a deployed run), except for `wall_seconds`, which are always real. Memory
    is the most that a client's board needed, in bytes. The training loss is the mean of the groups.
    """
    values: dict[str, float | None] = {
        "round": record.server_round,
        "simulated_seconds": record.simulated_seconds,
        "simulated_hours": record.simulated_seconds / 3600,
        "wall_seconds": record.wall_seconds,
        f"validation/{score}": record.validation_accuracy,
        f"test/{score}": record.test_accuracy,
        "train/loss": _mean([each.train_loss for each in record.groups if each.train_loss is not None]),
        "round/seconds": max((each.seconds for each in record.groups), default=None),
        "round/peak_memory_bytes": max((each.peak_memory_bytes for each in clients), default=None),
    }
    values |= {f"{split}/{name}": each for split, found in record.measures.items() for name, each in found.items()}
    values |= {f"round/{name}": _sum(record, name) for name in (*_COSTS, "clients", "failures")}
    values |= {f"configuration/{axis}": size for axis, size in numeric_axes(record.configuration).items()}
    return {name: float(value) for name, value in values.items() if value is not None}


def scalars_of_trial(record: TrialRecord) -> dict[str, float]:
    """Return the validation accuracy of each group of a trial."""
    return {f"trial/{each.group}": each.validation_accuracy for each in record.candidates}


def line_of_trial(record: TrialRecord) -> str:
    """Return the outcome of a trial in words, and whether the model was upgraded."""
    return f"{trial_line(record)}{'  upgrade' if is_upgrade(record) else ''}"


def _sum(record: RoundRecord, name: str) -> float:
    return float(sum(getattr(group, name) for group in record.groups))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
