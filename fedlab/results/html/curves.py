"""What a run had reached and spent by the end of each round, and when its trials were: the data of the curves."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from fedlab.results.configuration import describe, label
from fedlab.results.html.columns import ChartColumns, columns, thinned
from fedlab.results.records import ClientRecord, RoundRecord, TrialRecord
from fedlab.results.report import is_upgrade

MOST_ROUNDS = 1500  # in a curve; of longer runs rounds are left out evenly

_SHARES = (0.99, 0.95, 0.9, 0.8, 0.7)
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What curves are drawn over: a column, its title with the unit, and the size of that unit."""

    key: str
    title: str
    size: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The first measurement of at least an accuracy: what the run had spent by then; None where it was not reached."""

    share: float
    accuracy: float
    server_round: int | None = None
    seconds: float | None = None
    joules: float | None = None
    num_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What a run had spent by the end of a round, all of it."""

    server_round: int
    seconds: float
    joules: float
    num_bytes: int


_TIMES = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"))
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_JOULES = ((1e9, "GJ"), (1e6, "MJ"), (1e3, "kJ"))


def spendings(rounds: Sequence[RoundRecord]) -> list[Spending]:
    """Return what was spent by the end of each round; the first entry is the start of the run."""
    joules = accumulate(sum(group.joules for group in record.groups) for record in rounds)
    traffic = accumulate(sum(group.bytes_down + group.bytes_up for group in record.groups) for record in rounds)
    ends = [
        Spending(server_round=record.server_round, seconds=record.simulated_seconds, joules=energy, num_bytes=sent)
        for record, energy, sent in zip(rounds, joules, traffic, strict=True)
    ]
    return [Spending(server_round=0, seconds=0.0, joules=0.0, num_bytes=0), *ends]


def spending_of(clients: Iterable[ClientRecord]) -> Spending:
    """Return what clients spent in all, their seconds added up, waiting among it."""
    listed = list(clients)
    return Spending(
        server_round=max((each.server_round for each in listed), default=0),
        seconds=sum(each.seconds + each.idle_seconds for each in listed),
        joules=sum(each.joules for each in listed),
        num_bytes=sum(each.bytes_down + each.bytes_up for each in listed),
    )


def axes(rounds: Sequence[RoundRecord], *, deployed: bool = False) -> list[Axis]:
    """Return what a run's curves can be drawn over; energy only if any is known."""
    return axes_up_to(spendings(rounds)[-1], time="Measured time" if deployed else "Simulated time")


def axes_up_to(end: Spending, *, time: str) -> list[Axis]:
    """Return what can be drawn over that ends there; `time` names the seconds."""
    unit, time_size = _unit(end.seconds, _TIMES, "seconds")
    sent, sent_size = _unit(end.num_bytes, _BYTES, "bytes")
    energy, energy_size = _unit(end.joules, _JOULES, "J")
    found = [
        Axis(key="time", title=f"{time} ({unit})", size=time_size),
        Axis(key="round", title="Round"),
        Axis(key="energy", title=f"Energy of all clients ({energy})", size=energy_size),
        Axis(key="traffic", title=f"Traffic, down and up ({sent})", size=sent_size),
    ]
    return [each for each in found if each.key != "energy" or end.joules > 0]


def place(at: Spending, axis: Axis) -> float:
    """Return where on an axis something is, in the axis's unit."""
    values = {"time": at.seconds, "round": float(at.server_round), "energy": at.joules, "traffic": float(at.num_bytes)}
    return values[axis.key] / axis.size


def accuracy_columns(rounds: Sequence[RoundRecord], over: Sequence[Axis]) -> ChartColumns:
    """Return each measured round with its accuracies and its place on every axis."""
    spent = spendings(rounds)[1:]
    measured = [at for at, each in enumerate(rounds) if (each.validation_accuracy, each.test_accuracy) != (None, None)]
    kept = [measured[at] for at in thinned(len(measured), MOST_ROUNDS)]
    rows = [
        {
            **_places(spent[at], over),
            "validation": rounds[at].validation_accuracy,
            "test": rounds[at].test_accuracy,
            "configuration": describe(rounds[at].configuration),
        }
        for at in kept
    ]
    return columns(rows, [*(axis.key for axis in over), "validation", "test", "configuration"])


def loss_columns(rounds: Sequence[RoundRecord], over: Sequence[Axis]) -> ChartColumns:
    """Return the training loss of each group of each round; a loss that is not finite is left out."""
    spent = spendings(rounds)[1:]
    rows = [
        {**_places(spent[at], over), "group": group.group, "loss": group.train_loss}
        for at in thinned(len(rounds), MOST_ROUNDS)
        for group in rounds[at].groups
        if group.train_loss is not None and math.isfinite(group.train_loss)
    ]
    return columns(rows, [*(axis.key for axis in over), "group", "loss"])


def trial_columns(rounds: Sequence[RoundRecord], trials: Sequence[TrialRecord], over: Sequence[Axis]) -> ChartColumns:
    """Return where each trial begins and ends on every axis, who won, and whether that was an upgrade."""
    at_round = {each.server_round: each for each in spendings(rounds)}
    first = _first_rounds(rounds)
    rows = []
    for number, trial in enumerate(trials):
        end = at_round.get(trial.server_round)
        begin = at_round.get(first.get(trial.trial, trial.server_round) - 1)
        if end is None or begin is None:  # its rounds are not recorded
            continue
        rows.append(
            {
                **{f"{axis.key}_from": place(begin, axis) for axis in over},
                **{axis.key: place(end, axis) for axis in over},
                "trial": trial.trial,
                "shade": number % 2,
                "winner": trial.winner,
                "upgrade": label(trial.configuration) if is_upgrade(trial) else None,
                "candidates": ", ".join(f"{each.group} {each.validation_accuracy:.3f}" for each in trial.candidates),
            }
        )
    names = [name for axis in over for name in (f"{axis.key}_from", axis.key)]
    return columns(rows, [*names, "trial", "shade", "winner", "upgrade", "candidates"])


def times_to_accuracy(rounds: Sequence[RoundRecord], split: str) -> list[Reached]:
    """Return when a run first reached shares of its own best accuracy on a split; nothing is interpolated."""
    measured = [
        (spent, accuracy)
        for spent, record in zip(spendings(rounds)[1:], rounds, strict=True)
        if (accuracy := record.test_accuracy if split == "test" else record.validation_accuracy) is not None
    ]
    best = max((accuracy for _, accuracy in measured), default=None)
    return [] if best is None else [_reached(measured, share, share * best) for share in _SHARES]


def _reached(measured: Iterable[tuple[Spending, float]], share: float, target: float) -> Reached:
    first = next((spent for spent, accuracy in measured if accuracy >= target - _ROUNDING), None)
    if first is None:
        return Reached(share=share, accuracy=target)
    return Reached(
        share=share,
        accuracy=target,
        server_round=first.server_round,
        seconds=first.seconds,
        joules=first.joules,
        num_bytes=first.num_bytes,
    )


def _first_rounds(rounds: Iterable[RoundRecord]) -> dict[int, int]:
    first: dict[int, int] = {}
    for record in rounds:
        if record.trial is not None:
            first.setdefault(record.trial, record.server_round)
    return first


def _places(spent: Spending, over: Sequence[Axis]) -> dict[str, float]:
    return {axis.key: place(spent, axis) for axis in over}


def _unit(end: float, units: Sequence[tuple[float, str]], smallest: str) -> tuple[str, float]:
    """Return the unit in which an axis that ends there is easy to read, and its size."""
    return next(((name, size) for size, name in units if end >= 1.5 * size), (smallest, 1.0))
