"""What each method took to reach an accuracy: time, traffic and energy, with their spread over seeds."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

from fedlab.compare.grouping import DEPLOYED, Contender, Keys, SeedGroup, contenders, identity_of, scope, seed_groups
from fedlab.compare.labels import choice_label, differing_keys, headings, method_labels, setting_value
from fedlab.compare.measurements import Measurement, best_accuracy, first_reaching, smoothed
from fedlab.compare.options import ComparisonOptions
from fedlab.compare.runs import ComparedRun
from fedlab.config.plugins import nearest
from fedlab.errors import RunFailedError, UserError


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and sample standard deviation over `count` seeds; one seed has no deviation."""

    mean: float
    std: float | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What reaching a target took, over the seeds that did; None where none did, or nobody knows.

    `speedup` is the baseline's mean time over this one. `choice` is what hindsight chose for this target.
    """

    share: float
    accuracy: float
    reached: int
    seeds: int
    seconds: Spread | None = None
    num_bytes: Spread | None = None
    joules: Spread | None = None
    speedup: float | None = None
    choice: str | None = None


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """One method in one setting; `deployed` if its runs were made on real machines.

    `setting` has a value for each of the comparison's `setting_names`, `setting_keys` all its keys. `curves` are the
    measured accuracies of `runs`, a run each; of an oracle, those of its choice for the hardest target it reached.
    """

    method: str
    oracle: bool
    deployed: bool
    setting: tuple[str, ...]
    setting_keys: Keys = field(repr=False)
    seeds: tuple[int, ...]
    unfinished: int
    full_accuracy: float
    best: Spread
    outcomes: tuple[Outcome, ...]
    curves: tuple[tuple[Measurement, ...], ...] = field(repr=False)
    runs: tuple[ComparedRun, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """The method's name, with what hindsight chose where it chose the same for every target."""
        if not self.oracle:
            return self.method
        choices = {outcome.choice for outcome in self.outcomes}
        return f"{self.method} (oracle{f': {choices.pop()}' if len(choices) == 1 else ''})"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Methods side by side. `notes` say what a reader must know of the figures."""

    options: ComparisonOptions
    setting_names: tuple[str, ...]
    setting_keys: tuple[str, ...]
    rows: tuple[SummaryRow, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _NamedOutcome:
    contender: Contender
    method: str
    setting: tuple[str, ...]


def compare(runs: Sequence[ComparedRun], options: ComparisonOptions) -> Comparison:
    """Compare runs by what their methods took to reach shares of the full-convergence accuracy.

    Raises:
        RunFailedError: no run has measured its accuracy on the split.
        UserError: no method has the name of the baseline or the reference, or no run the oracle's keys.
    """
    measured = [_smoothed(run, options.smooth) for run in runs if run.measured]
    if not measured:
        raise RunFailedError(f"nothing to compare: no run has measured its accuracy on the {options.split} split")
    groups = seed_groups(measured)
    _check_oracle(groups, options.oracle)
    named, names, keys = _named(contenders(groups, options.oracle))
    full = _full_accuracies(named, options)
    rows = [_row(each, full[scope(each.contender.setting)], options.shares) for each in named]
    return Comparison(
        options=options,
        setting_names=tuple(names),
        setting_keys=tuple(keys),
        rows=tuple(_with_speedups(_in_order(rows), options.baseline)),
        notes=tuple(_notes(runs, options)),
    )


def spread(values: Iterable[float]) -> Spread | None:
    """Return mean and sample standard deviation, None of no values."""
    found = list(values)
    if not found:
        return None
    return Spread(mean=fmean(found), std=stdev(found) if len(found) > 1 else None, count=len(found))


def _smoothed(run: ComparedRun, window: int) -> ComparedRun:
    return replace(run, measured=smoothed(run.measured, window))


def _named(found: Sequence[Contender]) -> tuple[list[_NamedOutcome], list[str], list[str]]:
    settings = [each.setting for each in found]
    methods = method_labels([each.method for each in found], settings)
    keys = differing_keys(settings)
    values = [tuple(setting_value(key, setting.get(key)) for key in keys) for setting in settings]
    named = [
        _NamedOutcome(contender=contender, method=method, setting=value)
        for contender, method, value in zip(found, methods, values, strict=True)
    ]
    return named, headings(keys), keys


def _full_accuracies(named: Sequence[_NamedOutcome], options: ComparisonOptions) -> Mapping[str, float]:
    """Return the full-convergence accuracy by scope: the best of its methods' means over seeds, or the reference's."""
    scopes = dict.fromkeys(scope(each.contender.setting) for each in named)
    if options.full_accuracy is not None:
        return dict.fromkeys(scopes, options.full_accuracy)
    if options.reference is not None:
        _check_method(options.reference, [each.method for each in named], "--reference")
    return {each: _full_accuracy([n for n in named if scope(n.contender.setting) == each], options) for each in scopes}


def _full_accuracy(named: Sequence[_NamedOutcome], options: ComparisonOptions) -> float:
    compared = [each for each in named if options.reference in (None, each.method)]
    if not compared:
        raise UserError(f"--reference {options.reference}: not run in every setting; give --full-accuracy instead")
    return max(_best(group).mean for each in compared for group in each.contender.candidates)


def _row(named: _NamedOutcome, full_accuracy: float, shares: Sequence[float]) -> SummaryRow:
    candidates = named.contender.candidates
    picks = [_pick(candidates, share, share * full_accuracy) for share in shares]
    # The hardest target anybody reached; if none, the most accurate candidate.
    shown = next((group for group, outcome in picks if outcome.reached), max(candidates, key=_mean_best))
    return SummaryRow(
        method=named.method,
        oracle=len(candidates) > 1,
        deployed=DEPLOYED in named.contender.method,
        setting=named.setting,
        setting_keys=named.contender.setting,
        seeds=tuple(run.seed for run in shown.runs),
        unfinished=sum(not run.finished for group in candidates for run in group.runs),
        full_accuracy=full_accuracy,
        best=_best(max(candidates, key=_mean_best)),
        outcomes=tuple(outcome for _, outcome in picks),
        curves=tuple(run.measured for run in shown.runs),
        runs=shown.runs,
    )


def _pick(candidates: Sequence[SeedGroup], share: float, accuracy: float) -> tuple[SeedGroup, Outcome]:
    """Return the candidate that hindsight picks for a target: most seeds there, then the least mean time."""
    outcomes = [_outcome(group, share, accuracy) for group in candidates]

    def rank(at: int) -> tuple[float, float, float]:
        outcome = outcomes[at]
        seconds = outcome.seconds.mean if outcome.seconds else math.inf
        return -outcome.reached / outcome.seeds, seconds, -_mean_best(candidates[at])

    best = min(range(len(candidates)), key=rank)
    if len(candidates) == 1:
        return candidates[0], outcomes[0]
    choice = choice_label([group.method for group in candidates], candidates[best].method)
    return candidates[best], replace(outcomes[best], choice=choice)


def _outcome(group: SeedGroup, share: float, accuracy: float) -> Outcome:
    firsts = [first for run in group.runs if (first := first_reaching(run.measured, accuracy))]
    return Outcome(
        share=share,
        accuracy=accuracy,
        reached=len(firsts),
        seeds=len(group.runs),
        seconds=spread(first.seconds for first in firsts),
        num_bytes=spread(first.num_bytes for first in firsts),
        joules=spread(first.joules for first in firsts if first.joules > 0),  # of real machines they may be unknown
    )


def _in_order(rows: Sequence[SummaryRow]) -> list[SummaryRow]:
    """Sort by setting, numbers by their size; the methods of a setting stay as they came."""
    return sorted(rows, key=lambda row: [_natural(value) for value in row.setting])


def _natural(text: str) -> tuple[float, str]:
    number = re.match(r"[0-9.]+(?:e-?[0-9]+)?", text)
    try:
        return (float(number[0]) if number else math.inf), text
    except ValueError:  # digits and dots that are no number, such as 1.2.3
        return math.inf, text


def _with_speedups(rows: Sequence[SummaryRow], baseline: str | None) -> list[SummaryRow]:
    if baseline is None:
        return list(rows)
    _check_method(baseline, [row.method for row in rows], "--baseline")
    by_setting = {identity_of(row.setting_keys): row for row in rows if row.method == baseline}
    return [replace(row, outcomes=tuple(_speedups(row, by_setting.get(identity_of(row.setting_keys))))) for row in rows]


def _speedups(row: SummaryRow, baseline: SummaryRow | None) -> list[Outcome]:
    if baseline is None:
        return list(row.outcomes)
    return [
        replace(ours, speedup=_ratio(theirs.seconds, ours.seconds))
        for ours, theirs in zip(row.outcomes, baseline.outcomes, strict=True)
    ]


def _ratio(theirs: Spread | None, ours: Spread | None) -> float | None:
    return theirs.mean / ours.mean if theirs and ours and ours.mean > 0 else None


def _best(group: SeedGroup) -> Spread:
    found = spread(best for run in group.runs if (best := best_accuracy(run.measured)) is not None)
    assert found is not None, "runs without a measurement are left out"
    return found


def _mean_best(group: SeedGroup) -> float:
    return _best(group).mean


def _check_method(name: str, methods: Iterable[str], option: str) -> None:
    if name not in (known := set(methods)):
        raise UserError(f"{option} {name}: no such method here: {nearest(name, known)}")


def _check_oracle(groups: Sequence[SeedGroup], keys: Iterable[str]) -> None:
    known = {key for group in groups for key in group.method}
    for key in keys:
        if key not in known:
            raise UserError(f"--oracle {key}: no such key of a method here: {nearest(key, known)}")


def _notes(runs: Sequence[ComparedRun], options: ComparisonOptions) -> list[str]:
    rule = f"to the first round whose {options.split} accuracy reaches the target"
    if options.smooth > 1:
        rule += f", as the running mean of the last {options.smooth} measurements"
    notes = [f"Time, traffic and energy {rule}: mean ± standard deviation over the seeds that reached it."]
    if unfinished := [str(run.path) for run in runs if not run.finished and run.measured]:
        notes.append(f"* not finished: {_some(unfinished)}")
    if repriced := sum(run.repriced for run in runs):
        notes.append(f"Repriced, without training, from runs on other boards or links: {repriced} of {len(runs)} runs.")
    if deployed := sum(run.deployed for run in runs):
        notes.append(
            "Deployed, on real machines: time and energy as measured there, whatever boards and links the experiment"
            f" names: {deployed} of {len(runs)} runs."
        )
    if empty := [str(run.path) for run in runs if not run.measured]:
        notes.append(f"Left out, for nothing was measured yet: {_some(empty)}")
    return notes


def _some(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
