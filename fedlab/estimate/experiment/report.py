"""The cost of a planned run: for a client slot of every round, for each board, and for all clients."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table

from fedlab.common.units import human_bytes, human_joules, human_seconds
from fedlab.estimate.experiment.dry_run import PlannedRun
from fedlab.estimate.rendering import as_plain
from fedlab.estimate.slot import Estimate, SegmentEstimate, total
from fedlab.results.records import ClientRecord
from fedlab.workload.workload import Configuration


@dataclass(frozen=True, kw_only=True)
class BoardShare:
    """The clients of one board: how often they take part and lose their work, and what a slot costs on it."""

    device: str
    participations: int
    lost: int
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class PlannedCost:
    """A planned run's cost.

    `slot` is for a client that takes part in every round, at the mean of those that did; its time is that of the
    rounds, including waits. A board's time is that of its own work, so the slowest board's is nearest to it.
    """

    slot: Estimate
    by_device: tuple[BoardShare, ...]
    participations: int
    bytes_down: int
    bytes_up: int
    joules: float


def cost_of_run(run: PlannedRun, initial: Configuration) -> PlannedCost:
    """Sum up a planned run that started from a configuration."""
    return PlannedCost(
        slot=_slot(run, initial),
        by_device=tuple(_board(run, initial, device) for device in sorted({each.device for each in run.clients})),
        participations=len(run.clients),
        bytes_down=sum(record.bytes_down for record in run.clients),
        bytes_up=sum(record.bytes_up for record in run.clients),
        joules=sum(record.joules for record in run.clients),
    )


def plain_cost(cost: PlannedCost) -> dict[str, Any]:
    """Return a planned run's cost as JSON holds it."""
    boards = []
    for board in cost.by_device:
        of_slot = as_plain(board.estimate)
        del of_slot["by_segment"]  # a board's slot is averaged over the whole run
        boards.append({"device": board.device, "participations": board.participations, "lost": board.lost, **of_slot})
    run = {
        "participations": cost.participations,
        "bytes_down": cost.bytes_down,
        "bytes_up": cost.bytes_up,
        "joules": cost.joules,
    }
    return {**as_plain(cost.slot), "by_device": boards, "run": run}


def render_cost(cost: PlannedCost, title: str) -> RenderableType:
    """Return a table of the boards, and lines for a slot and for all clients."""
    rounds = sum(part.rounds for part in cost.slot.by_segment)
    everyone = (
        f"{rounds} rounds in {human_seconds(cost.slot.seconds)}; all clients: "
        f"{cost.participations} parts, {human_bytes(cost.bytes_down)} down, {human_bytes(cost.bytes_up)} up, "
        f"{human_joules(cost.joules)}"
    )
    table = Table(
        title=title,
        title_justify="left",
        caption=everyone,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in ("a slot", "parts", "lost", "a round", "all rounds", "down", "up", "energy", "memory"):
        table.add_column(name, justify="left" if name == "a slot" else "right", no_wrap=True)
    for board in cost.by_device:
        table.add_row(board.device, str(board.participations), str(board.lost), *_amounts(board.estimate, rounds))
    table.add_section()
    table.add_row("with waits", "", "", *_amounts(cost.slot, rounds))
    return table


def _amounts(estimate: Estimate, rounds: int) -> Sequence[str]:
    return (
        human_seconds(estimate.seconds / rounds),
        human_seconds(estimate.seconds),
        human_bytes(estimate.bytes_down),
        human_bytes(estimate.bytes_up),
        human_joules(estimate.joules),
        human_bytes(estimate.peak_memory_bytes),
    )


def _board(run: PlannedRun, initial: Configuration, device: str) -> BoardShare:
    records = [record for record in run.clients if record.device == device]
    whole = _FixedConfiguration(initial, 1, len(run.rounds), 0.0)
    return BoardShare(
        device=device,
        participations=len(records),
        lost=sum(record.dropout is not None for record in records),
        estimate=total([_segment(whole, records)]),
    )


def _slot(run: PlannedRun, initial: Configuration) -> Estimate:
    """Return what a slot costs: for each stretch of rounds their number times the mean part; and the clock's time."""
    by_round: dict[int, list[ClientRecord]] = {}
    for record in run.clients:
        by_round.setdefault(record.server_round, []).append(record)
    parts = []
    for stretch in _stretches(run, initial):
        records = [record for each in range(stretch.first, stretch.last + 1) for record in by_round.get(each, [])]
        parts.append(replace(_segment(stretch, records), seconds=stretch.seconds))
    return total(parts)


@dataclass(frozen=True)
class _FixedConfiguration:
    configuration: Configuration
    first: int
    last: int
    seconds: float

    @property
    def rounds(self) -> int:
        return self.last - self.first + 1


def _stretches(run: PlannedRun, initial: Configuration) -> list[_FixedConfiguration]:
    """Return the stretches of rounds that began from one configuration: a record has the one after its round."""
    began = [initial, *(record.configuration for record in run.rounds[:-1])]
    found, at, clock = [], 0, 0.0
    for configuration, same in groupby(began):
        count = len(list(same))
        end = run.rounds[at + count - 1].simulated_seconds
        found.append(_FixedConfiguration(configuration, at + 1, at + count, end - clock))
        at, clock = at + count, end
    return found


def _segment(stretch: _FixedConfiguration, records: Sequence[ClientRecord]) -> SegmentEstimate:
    share = stretch.rounds / len(records)
    return SegmentEstimate(
        first_round=stretch.first,
        last_round=stretch.last,
        rounds=stretch.rounds,
        configuration=stretch.configuration,
        seconds=share * sum(record.seconds for record in records),
        bytes_down=round(share * sum(record.bytes_down for record in records)),
        bytes_up=round(share * sum(record.bytes_up for record in records)),
        joules=share * sum(record.joules for record in records),
        peak_memory_bytes=max(record.peak_memory_bytes for record in records),
    )
