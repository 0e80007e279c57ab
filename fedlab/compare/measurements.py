"""What a run had reached and spent whenever its accuracy was measured."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fedlab.results.records import ClientRecord, RoundRecord

MeasuredSplit = Literal["test", "validation"]

_ROUNDING = 1e-9  # targets are shares of means, whose last digits are nobody's


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """An accuracy measured after a round; time, traffic and energy are of the whole run up to the round's end."""

    server_round: int
    seconds: float
    accuracy: float
    num_bytes: int
    joules: float


def measurements(
    rounds: Sequence[RoundRecord], clients: Iterable[ClientRecord], split: MeasuredSplit
) -> tuple[Measurement, ...]:
    """Return the accuracies a run measured on a split, in the order of its rounds."""
    spent_bytes: dict[int, int] = defaultdict(int)
    spent_joules: dict[int, float] = defaultdict(float)
    for client in clients:
        spent_bytes[client.server_round] += client.bytes_down + client.bytes_up
        spent_joules[client.server_round] += client.joules
    found, num_bytes, joules = [], 0, 0.0
    for record in rounds:
        num_bytes += spent_bytes[record.server_round]
        joules += spent_joules[record.server_round]
        accuracy = record.test_accuracy if split == "test" else record.validation_accuracy
        if accuracy is not None:
            found.append(
                Measurement(
                    server_round=record.server_round,
                    seconds=record.simulated_seconds,
                    accuracy=accuracy,
                    num_bytes=num_bytes,
                    joules=joules,
                )
            )
    return tuple(found)


def smoothed(measured: Sequence[Measurement], window: int) -> tuple[Measurement, ...]:
    """Replace each accuracy by the mean of the last `window` ones up to it, of as many as there are at the start."""
    return tuple(
        replace(each, accuracy=_mean([past.accuracy for past in measured[max(0, at + 1 - window) : at + 1]]))
        for at, each in enumerate(measured)
    )


def first_reaching(measured: Iterable[Measurement], accuracy: float) -> Measurement | None:
    """Return the first measurement of at least an accuracy, None if there is none. Nothing is interpolated."""
    return next((each for each in measured if each.accuracy >= accuracy - _ROUNDING), None)


def best_accuracy(measured: Iterable[Measurement]) -> float | None:
    """Return the highest accuracy, None where nothing was measured."""
    return max((each.accuracy for each in measured), default=None)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
