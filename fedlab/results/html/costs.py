"""What a run cost by board, processor and stage, and its peak memory against each board's limit."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fedlab.common.units import human_joules
from fedlab.results.html.boards import BoardFacts, board_of
from fedlab.results.html.columns import ChartColumns, columns
from fedlab.results.records import ClientRecord

STAGES = ("download", "compute", "upload", "wait")

_FROM_SUREST = ("measured", "published", "scaled", "assumed")
_ROUNDING = -1e-6  # of the energy that is left for computing, as a share of all


@dataclass(frozen=True, kw_only=True)
class CostGroup:
    """What the clients of one board spent whose work ran on the same processors.

    `seconds` are by stage. `joules` are by stage where the powers of the board are known, else of `work` and `wait`.
    The levels count parts by provenance, of their latency, energy and memory.
    """

    board: str
    processors: str
    parts: int
    seconds: Mapping[str, float]
    joules: Mapping[str, float]
    bytes_down: int
    bytes_up: int
    latency_levels: Mapping[str, int]
    energy_levels: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class MemoryPeak:
    """The most memory that work took on a board; None is a limit that is not known."""

    board: str
    peak_bytes: int
    limit_bytes: int | None
    out_of_memory: int
    example: str | None  # what the record of a client says that ran out of it
    levels: Mapping[str, int]


def cost_groups(clients: Sequence[ClientRecord], boards: Mapping[str, BoardFacts | str]) -> list[CostGroup]:
    """Return the costs by board and processors, in the order of their names."""
    groups: dict[tuple[str, str], list[ClientRecord]] = {}
    for each in clients:
        groups.setdefault((board_of(each.device), processors_of(each)), []).append(each)
    return [_cost_group(*key, parts, boards.get(key[0])) for key, parts in sorted(groups.items())]


def processors_of(record: ClientRecord) -> str:
    """Return the processors that a client's work ran on, joined by `+`; `-` where the record does not say."""
    named = dict.fromkeys(str(each.get("processor", "default")) for each in record.passes or [])
    return " + ".join(named) or "-"


def seconds_columns(groups: Iterable[CostGroup]) -> ChartColumns:
    """Return the seconds of all clients by board and stage."""
    return _by_stage((group.board, group.processors, group.seconds) for group in groups)


def joules_columns(groups: Iterable[CostGroup]) -> ChartColumns:
    """Return the energy of all clients by board and stage; nothing where none is known."""
    return _by_stage((group.board, group.processors, group.joules) for group in groups if any(group.joules.values()))


def traffic_columns(groups: Iterable[CostGroup]) -> ChartColumns:
    """Return the bytes of all clients by board and direction."""
    return _by_stage(
        (group.board, group.processors, {"download": group.bytes_down, "upload": group.bytes_up}) for group in groups
    )


def memory_peaks(
    clients: Sequence[ClientRecord], boards: Mapping[str, BoardFacts | str], *, measured: bool = False
) -> list[MemoryPeak]:
    """Return the peak of each board, in the order of their names; real clients have `measured` theirs."""
    by_board: dict[str, list[ClientRecord]] = {}
    for each in clients:
        by_board.setdefault(board_of(each.device), []).append(each)
    found = [_memory_peak(name, parts, boards.get(name)) for name, parts in sorted(by_board.items())]
    return [replace(each, levels={"measured": len(by_board[each.board])}) for each in found] if measured else found


def memory_columns(peaks: Iterable[MemoryPeak]) -> ChartColumns:
    """Return the peak as a share of the limit, of boards whose limit is known."""
    rows = [
        {"board": each.board, "share": each.peak_bytes / each.limit_bytes, "peak": each.peak_bytes}
        for each in peaks
        if each.limit_bytes
    ]
    return columns(rows, ("board", "share", "peak"))


def known_joules(joules: float | None) -> str:
    """Return an energy in words, a dash where none is known: real machines without a profile have none."""
    return human_joules(joules) if joules else "-"


def levels_of(levels: Iterable[str]) -> dict[str, int]:
    """Count provenance levels, the least sure last; parts that computed nothing have none."""
    counts = Counter(each for each in levels if each)
    return {level: counts[level] for level in _FROM_SUREST if counts[level]}


def _cost_group(
    board: str, processors: str, parts: Sequence[ClientRecord], facts: BoardFacts | str | None
) -> CostGroup:
    seconds = {
        "download": sum(each.download_seconds for each in parts),
        "compute": sum(each.compute_seconds for each in parts),
        "upload": sum(each.upload_seconds for each in parts),
        "wait": sum(each.idle_seconds for each in parts),
    }
    return CostGroup(
        board=board,
        processors=processors,
        parts=len(parts),
        seconds=seconds,
        joules=_joules(parts, seconds, facts),
        bytes_down=sum(each.bytes_down for each in parts),
        bytes_up=sum(each.bytes_up for each in parts),
        latency_levels=levels_of(each.latency_provenance for each in parts),
        energy_levels=levels_of(each.energy_provenance for each in parts),
    )


def _joules(
    parts: Sequence[ClientRecord], seconds: Mapping[str, float], facts: BoardFacts | str | None
) -> dict[str, float]:
    """Split the energy by stage: transfers at the board's power for them, and the rest is computing.

    Where the profile is not known, or is not what the run was billed with, the work is one stage.
    """
    total, wait = sum(each.joules for each in parts), sum(each.idle_joules for each in parts)
    work = total - wait
    if not isinstance(facts, BoardFacts):
        return {"work": work, "wait": wait}
    down, up = (facts.communicating_watts * seconds[stage] for stage in ("download", "upload"))
    compute = work - down - up
    if compute < _ROUNDING * total:
        return {"work": work, "wait": wait}
    return {"download": down, "compute": max(0.0, compute), "upload": up, "wait": wait}


def _by_stage(groups: Iterable[tuple[str, str, Mapping[str, float]]]) -> ChartColumns:
    rows = [
        {"board": board, "processors": processors, "stage": stage, "value": float(value)}
        for board, processors, values in groups
        for stage, value in values.items()
    ]
    return columns(rows, ("board", "processors", "stage", "value"))


def _memory_peak(name: str, parts: Sequence[ClientRecord], facts: BoardFacts | str | None) -> MemoryPeak:
    lost = [each for each in parts if each.dropout == "memory"]
    return MemoryPeak(
        board=name,
        peak_bytes=max(each.peak_memory_bytes for each in parts),
        limit_bytes=facts.memory_bytes if isinstance(facts, BoardFacts) else None,
        out_of_memory=len(lost),
        example=lost[0].error if lost else None,
        levels=levels_of(each.memory_provenance for each in parts),
    )
