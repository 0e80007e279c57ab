"""Which runs are one method in one setting, and differ by nothing but their seeds.

A setting is where a method is tried: task, backbone, boards, links and who is reachable when. A method is all else an
experiment says, and whether it ran on real machines. Names, seeds and how this machine was used (`engine`) say nothing
of either.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fedlab.compare.runs import ComparedRun
from fedlab.config.file import dotted_keys

Keys = Mapping[str, Any]


_WHOLE = ("fleet.devices",)  # tables that are one value


SETTING_TABLES = ("task", "backbone", "fleet", "link", "availability")
SCOPE_TABLES = ("task", "backbone")  # accuracies of different ones are not to be held against each other
ORIGIN = "origin"  # stands among a method's keys where nothing else tells two runs of one seed apart
LABEL = "label"
DEPLOYED = "deployed"  # stands among a method's keys where it ran on real machines
_NEITHER = ("seed", "name", "engine", "checkpoint", "tracking", "base_folder", "on_divergence", LABEL)

_Item = TypeVar("_Item")
_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class SeedGroup:
    """Runs of one experiment that differ by their seeds; keys are dotted, as in `--set`."""

    method: Keys
    setting: Keys
    runs: tuple[ComparedRun, ...]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A method in a setting: one group of runs, or several of which hindsight picks the best (an oracle).

    `method` lacks the keys hindsight chooses.
    """

    method: Keys
    setting: Keys
    candidates: tuple[SeedGroup, ...]


def seed_groups(runs: Iterable[ComparedRun]) -> list[SeedGroup]:
    """Group runs that differ by their seeds only, in the order they first appear.

    Where a seed comes twice, runs are told apart by what they were asked for by, and if need be by their folders: the
    same seed again says nothing about the spread over seeds.
    """
    return [group for alike in _grouped(runs, _identity).values() for group in _told_apart(alike)]


def contenders(groups: Iterable[SeedGroup], oracle: Collection[str] = ()) -> list[Contender]:
    """Take groups that differ in the oracle's keys only as one contender."""

    def identity(group: SeedGroup) -> str:
        return identity_of([without(group.method, oracle), group.setting])

    return [
        Contender(
            method=without(alike[0].method, oracle) if len(alike) > 1 else alike[0].method,
            setting=alike[0].setting,
            candidates=tuple(alike),
        )
        for alike in _grouped(groups, identity).values()
    ]


def scope(setting: Keys) -> str:
    """Return what settings have in common whose accuracies can be held against each other."""
    return identity_of({key: value for key, value in setting.items() if table_of(key) in SCOPE_TABLES})


def _told_apart(runs: Sequence[ComparedRun]) -> list[SeedGroup]:
    if not _repeats(runs):
        return [_seed_group(runs)]
    by_origin = _grouped(runs, lambda run: run.origin)
    groups = []
    for origin, alike in by_origin.items():
        if _repeats(alike):
            groups += [_seed_group([run], {ORIGIN: str(run.path)}) for run in alike]
        else:
            groups.append(_seed_group(alike, {ORIGIN: origin}))
    return groups


def _repeats(runs: Sequence[ComparedRun]) -> bool:
    return max(Counter(run.seed for run in runs).values()) > 1


def _seed_group(runs: Sequence[ComparedRun], extra: Keys | None = None) -> SeedGroup:
    flat = flatten(runs[0].experiment)
    setting = {key: value for key, value in flat.items() if table_of(key) in SETTING_TABLES}
    method = {key: value for key, value in flat.items() if key not in setting and table_of(key) not in _NEITHER}
    named: dict[str, Any] = {} if runs[0].label is None else {LABEL: runs[0].label}
    if runs[0].deployed:
        named[DEPLOYED] = True
    return SeedGroup(method={**method, **named, **(extra or {})}, setting=setting, runs=tuple(runs))


def _identity(run: ComparedRun) -> str:
    said = {key: value for key, value in run.experiment.items() if key not in _NEITHER}
    return identity_of([flatten(said), run.label, run.deployed])


def _grouped(items: Iterable[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    groups: dict[_Key, list[_Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def flatten(table: Keys) -> dict[str, Any]:
    """Return the dotted keys and values of an experiment; its boards are one value."""
    return dotted_keys(table, _WHOLE)


def without(keys: Keys, dropped: Collection[str]) -> Keys:
    """Leave out keys."""
    return {key: value for key, value in keys.items() if key not in dropped}


def identity_of(value: Any) -> str:
    """Return plain values as text: the same text, the same values."""
    return json.dumps(value, sort_keys=True, default=str)


def table_of(key: str) -> str:
    """Return the table a dotted key is in, the key itself if it is in none."""
    return key.partition(".")[0]
