"""A trajectory on every board: which have room for it, what it costs there, and what would fit where it does not."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table

from fedlab.common.units import human_bytes, human_joules, human_seconds
from fedlab.devices.profile import DeviceProfile, built_in_profiles
from fedlab.errors import UserError
from fedlab.estimate.named import Named, estimate_trajectory
from fedlab.estimate.slot import Estimate
from fedlab.estimate.trajectory import Segment
from fedlab.workload.passes import Format

_FEWEST_TOKENS = 16
_SMALLER_FORMATS: tuple[Format, ...] = ("fp16", "int8", "int4")  # the largest first


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A change with which a trajectory fits a board, and what it costs then."""

    change: str
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class OnBoard:
    """A trajectory on a board. `problem` says why it has no estimate; `remedies` are empty where it fits."""

    device: str
    memory_bytes: int
    estimate: Estimate | None
    problem: str = ""
    remedies: tuple[Remedy, ...] = ()

    @property
    def missing_bytes(self) -> int:
        """Return by how much the board's memory is too small, 0 where it is not."""
        return max(0, self.estimate.peak_memory_bytes - self.memory_bytes) if self.estimate else 0

    @property
    def fits(self) -> bool:
        """Tell whether the board can run it as it is."""
        return self.estimate is not None and not self.missing_bytes


def on_every_board(trajectory: Sequence[Segment], named: Named) -> list[OnBoard]:
    """Return a trajectory on every built-in board; `named.device` is ignored.

    Raises:
        UserError: what is named cannot be priced on any board.
    """
    found = [_on_board(trajectory, replace(named, device=device)) for device in built_in_profiles()]
    if all(each.estimate is None for each in found):
        raise UserError(found[0].problem)
    return found


def plain_boards(boards: Sequence[OnBoard]) -> dict[str, Any]:
    """Return boards as JSON holds them."""
    return {"boards": {each.device: _plain(each) for each in boards}}


def render_boards(boards: Sequence[OnBoard], title: str) -> RenderableType:
    """Return a table of boards: those that fit with what it costs, the others with what is missing and would fit."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("board", "memory", "needs", "time", "energy"):
        table.add_column(name, justify="left" if name == "board" else "right", no_wrap=True)
    table.add_column("what would fit")
    for each in boards:
        table.add_row(each.device, human_bytes(each.memory_bytes), *_cells(each))
    return table


def _cells(board: OnBoard) -> Sequence[str]:
    if board.estimate is None:
        return "-", "-", "-", board.problem
    needs = human_bytes(board.estimate.peak_memory_bytes)
    if board.fits:
        return needs, *_amounts(board.estimate), "as it is"
    lines = [f"{each.change}: {', '.join(_amounts(each.estimate))}" for each in board.remedies]
    return needs, "-", "-", "\n".join([f"{human_bytes(board.missing_bytes)} too large", *lines])


def _amounts(estimate: Estimate) -> Sequence[str]:
    return human_seconds(estimate.seconds), human_joules(estimate.joules)


def _plain(board: OnBoard) -> dict[str, Any]:
    remedies = [{"change": each.change, **_totals(each.estimate)} for each in board.remedies]
    totals = _totals(board.estimate) if board.estimate else {"problem": board.problem}
    return {
        "memory_bytes": board.memory_bytes, "fits": board.fits, "missing_bytes": board.missing_bytes, **totals,
        "remedies": remedies,
    }  # fmt: skip


def _totals(estimate: Estimate) -> dict[str, float]:
    return {key: value for key, value in vars(estimate).items() if key != "by_segment"}


def _on_board(trajectory: Sequence[Segment], named: Named) -> OnBoard:
    profile = named.profile()

    def tried(changed: Named) -> Estimate:
        return estimate_trajectory(trajectory, changed)

    try:
        found = tried(named)
    except UserError as error:
        problem = str(error).removeprefix(f"device profile {named.device}: ")
        return OnBoard(device=named.device, memory_bytes=profile.memory_bytes, estimate=None, problem=problem)
    board = OnBoard(device=named.device, memory_bytes=profile.memory_bytes, estimate=found)
    return board if board.fits else replace(board, remedies=tuple(_remedies(named, profile, tried)))


def _remedies(named: Named, profile: DeviceProfile, tried: Callable[[Named], Estimate]) -> list[Remedy]:
    """Return the single changes that fit, or if there are none, those that fit with the smallest format."""
    room = profile.memory_bytes

    def fitting(base: Named, prefix: str) -> Iterator[Remedy]:
        for change, changed in _changes(base, profile):
            estimate = tried(changed)
            if estimate.peak_memory_bytes <= room:
                yield Remedy(change=prefix + change, estimate=estimate)
        yield from _fewer_tokens(base, prefix, room, tried)

    found = list(fitting(named, ""))
    if found:
        return found
    formats = [each for each in _formats(profile, named) if each != named.format]
    if not formats:
        return []
    smallest = formats[-1]
    return list(fitting(replace(named, format=smallest), f"{smallest} and "))


def _changes(named: Named, profile: DeviceProfile) -> Iterator[tuple[str, Named]]:
    """Yield the changes that make the peak smaller: checkpointing, a smaller format, forward passes alone."""
    trains = named.method != "forward"
    if trains and not named.checkpointing:
        yield "checkpointing", replace(named, checkpointing=True)
    for number_format in _formats(profile, named):
        yield number_format, replace(named, format=number_format)
    if trains:
        yield "forward passes alone", replace(named, method="forward", checkpointing=False)


def _formats(profile: DeviceProfile, named: Named) -> list[Format]:
    """Return the formats below that of an estimate for which the processor has rates, the smallest last."""
    known = profile.processor(named.processor).formats
    below = _SMALLER_FORMATS[_SMALLER_FORMATS.index(named.format) + 1 :] if named.format in _SMALLER_FORMATS else (
        _SMALLER_FORMATS if named.format == "fp32" else _SMALLER_FORMATS[1:]
    )  # fmt: skip
    return [each for each in below if each in known]


def _fewer_tokens(named: Named, prefix: str, room: int, tried: Callable[[Named], Estimate]) -> Iterator[Remedy]:
    """Yield the longest text, halved again and again, that fits."""
    tokens = named.sequence_length // 2
    while tokens >= _FEWEST_TOKENS:
        estimate = tried(replace(named, sequence_length=tokens))
        if estimate.peak_memory_bytes <= room:
            yield Remedy(change=f"{prefix}texts of {tokens} tokens", estimate=estimate)
            return
        tokens //= 2
