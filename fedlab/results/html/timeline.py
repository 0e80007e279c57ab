"""The clients of a round on a common time line: what each did when, and why the round took that long.

A client downloads, computes and uploads, one after the other, and then waits for the round's end. So the records'
durations say when each stage began; only the beginning of the group's round is needed, which is second 0 here. Groups
of a trial run side by side. A client that appears again in a round, to evaluate the new model, begins when the
clients of the exchange before have ended.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Any

from fedlab.common.units import human_seconds
from fedlab.results.html.columns import ChartColumns, columns, thinned
from fedlab.results.records import ClientRecord, RoundRecord

MOST_PARTS = 4000  # bars of clients on a page
MOST_CLIENTS = 150  # of a round
MOST_ROUND_BARS = 250

_ALONE = ("prefill", "evaluate")  # groups that do not run beside those that train
_COLUMNS = ("client", "group", "device", "start", "download", "compute", "upload", "wait", "late", "end", "lost", "why")


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A client's part in a round; `begins` and `group_ends` are seconds from the round's start."""

    record: ClientRecord
    begins: float
    group_ends: float


@dataclass(frozen=True, kw_only=True)
class RoundTimeline:
    """The parts of a round's clients, slowest first within a group, and why the round took `seconds`."""

    server_round: int
    seconds: float
    waited_seconds: float  # until enough clients were available
    bars: tuple[Bar, ...]
    left_out: int
    last: Bar | None  # whose work ended the round
    why: str


def timelines(rounds: Sequence[RoundRecord], clients: Sequence[ClientRecord]) -> list[RoundTimeline]:
    """Return the time line of each round that has records of its clients."""
    by_round: dict[int, list[ClientRecord]] = {}
    for each in clients:
        by_round.setdefault(each.server_round, []).append(each)
    bars = {server_round: _bars(parts) for server_round, parts in by_round.items()}
    waits = _waits(rounds, bars)
    return [
        _timeline(record, bars[record.server_round], waits[record.server_round])
        for record in rounds
        if record.server_round in bars
    ]


def kept(found: Sequence[RoundTimeline], most_parts: int = MOST_PARTS) -> list[RoundTimeline]:
    """Return the time lines that go on a page: all, or the longest rounds and some spread evenly over the run."""
    if sum(len(each.bars) for each in found) <= most_parts:
        return list(found)
    places: list[int] = []
    room = most_parts
    by_length = sorted(range(len(found)), key=lambda at: -found[at].seconds)
    even = thinned(len(found), max(2, most_parts // (2 * max(1, len(found[0].bars)))))
    for at in dict.fromkeys(each for pair in _alternating(by_length, even) for each in pair):
        if (needed := len(found[at].bars)) <= room or not places:
            places.append(at)
            room -= needed
    return [found[at] for at in sorted(places)]


def bar_columns(timeline: RoundTimeline) -> ChartColumns:
    """Return the bars of a round, a row for each client: when it begins, and the seconds of each stage."""
    return columns((_row(bar) for bar in timeline.bars), _COLUMNS)


def slowest_of_each(found: Sequence[RoundTimeline], most: int = MOST_ROUND_BARS) -> list[RoundTimeline]:
    """Return `most` rounds or fewer: the slowest round of each of as many stretches of the run."""
    length = -(-len(found) // most)
    stretches = [found[at : at + length] for at in range(0, len(found), max(1, length))]
    return [max(each, key=lambda one: one.seconds) for each in stretches]


def round_columns(found: Iterable[RoundTimeline]) -> ChartColumns:
    """Return for each round what the client did that ended it, in seconds."""
    rows = [
        {
            "round": each.server_round,
            "download": each.last.record.download_seconds if each.last else 0.0,
            "compute": each.last.record.compute_seconds if each.last else 0.0,
            "upload": each.last.record.upload_seconds if each.last else 0.0,
            "wait": _other_seconds(each),
            "why": each.why,
        }
        for each in found
    ]
    return columns(rows, ("round", "download", "compute", "upload", "wait", "why"))


def _other_seconds(each: RoundTimeline) -> float:
    """Return the seconds of a round in which the client that ended it was not at work."""
    busy = each.last.record.seconds if each.last else 0.0
    return max(0.0, each.seconds + each.waited_seconds - busy)


def _row(bar: Bar) -> dict[str, Any]:
    record = bar.record
    return {
        "client": record.partition_id,
        "group": record.group,
        "device": record.device,
        "start": bar.begins,
        "download": record.download_seconds,
        "compute": record.compute_seconds,
        "upload": record.upload_seconds,
        "wait": record.idle_seconds,
        "late": record.late_seconds,
        "end": bar.group_ends,
        "lost": (record.dropout or "failed") if record.error is not None else None,
        "why": record.error,
    }


def _timeline(record: RoundRecord, bars: Sequence[Bar], waited: float) -> RoundTimeline:
    shown = sorted(bars, key=lambda bar: (bar.begins, bar.record.group, -bar.record.seconds, bar.record.partition_id))
    longest = sorted(range(len(shown)), key=lambda at: -shown[at].record.seconds)[:MOST_CLIENTS]
    seconds = max(bar.group_ends for bar in bars)
    last = _last(bars)
    return RoundTimeline(
        server_round=record.server_round,
        seconds=seconds,
        waited_seconds=waited,
        bars=tuple(shown[at] for at in sorted(longest)),
        left_out=len(shown) - len(longest),
        last=last,
        why=_why(record.server_round, bars, seconds, waited, last),
    )


def _bars(clients: Sequence[ClientRecord]) -> list[Bar]:
    found: list[Bar] = []
    begins = 0.0
    for batch in _exchanges(clients):
        ends: dict[str, float] = {}
        for each in batch:
            ends[each.group] = max(ends.get(each.group, begins), begins + each.round_seconds)
        found += [Bar(record=each, begins=begins, group_ends=ends[each.group]) for each in batch]
        begins = max(ends.values())
    return found


def _exchanges(clients: Sequence[ClientRecord]) -> list[list[ClientRecord]]:
    """Return the clients of a round by exchange: those that were asked together."""
    found: list[list[ClientRecord]] = []
    for _, same in groupby(clients, lambda each: each.group if each.group in _ALONE else ""):
        seen: set[tuple[str, int]] = set()
        found.append([])
        for each in same:
            if (each.group, each.partition_id) in seen:  # asked again: another exchange
                found.append([])
                seen = set()
            seen.add((each.group, each.partition_id))
            found[-1].append(each)
    return found


def _last(bars: Sequence[Bar]) -> Bar | None:
    """Return the client whose work the longest exchange of a round waited for: the last one in time."""
    at_work = [bar for bar in bars if bar.record.seconds > 0 and bar.record.late_seconds == 0]
    training = [bar for bar in at_work if bar.record.group not in _ALONE] or at_work
    return max(training, key=lambda bar: bar.begins + bar.record.seconds, default=None)


def _waits(rounds: Sequence[RoundRecord], bars: Mapping[int, Sequence[Bar]]) -> dict[int, float]:
    """Return how long each round waited for clients to be available: what of its time no client accounts for.

    While groups of a trial run side by side, the records do not say how far each of them has come: 0 there.
    """
    found, before = {}, 0.0
    for record in rounds:
        lasted = max((bar.group_ends for bar in bars.get(record.server_round, ())), default=0.0)
        waited = record.simulated_seconds - before - lasted
        known = (
            record.trial is None and record.server_round in bars and waited > 1e-6 * max(1.0, record.simulated_seconds)
        )
        found[record.server_round] = waited if known else 0.0
        before = record.simulated_seconds
    return found


def _why(server_round: int, bars: Sequence[Bar], seconds: float, waited: float, last: Bar | None) -> str:
    said = [f"Round {server_round} took {human_seconds(seconds + waited)}."]
    if waited:
        said.append(f"Until enough clients were available {human_seconds(waited)} passed.")
    if last is not None:
        said.append(_of_last(last))
    if idle := [bar.record.idle_seconds for bar in bars if bar.record.error is None and bar is not last]:
        said.append(f"Half of the others waited {human_seconds(median(idle))} or longer.")
    if late := sum(bar.record.late_seconds > 0 for bar in bars):
        said.append(f"{late} of {len(bars)} came after the round's end.")
    if lost := [bar.record.dropout or "failed" for bar in bars if bar.record.error is not None]:
        counts = ", ".join(f"{lost.count(kind)} {kind}" for kind in dict.fromkeys(lost))
        said.append(f"Dropped out of {len(bars)}: {counts}.")
    return " ".join(said)


def _of_last(last: Bar) -> str:
    each = last.record
    stages = {"downloading": each.download_seconds, "computing": each.compute_seconds, "uploading": each.upload_seconds}
    most = max(stages, key=lambda name: stages[name])
    parts = ", ".join(f"{human_seconds(value)} {name}" for name, value in stages.items())
    return f"Client {each.partition_id} ({each.device}) was the last in time, mostly {most}: {parts}."


def _alternating(first: Sequence[int], second: Sequence[int]) -> Iterable[tuple[int, ...]]:
    for at in range(max(len(first), len(second))):
        yield (*first[at : at + 1], *second[at : at + 1])
