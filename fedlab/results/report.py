"""The results of a run, as figures and as tables for the terminal."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedlab.common.short_text import shortened
from fedlab.common.units import human_bytes, human_joules, human_seconds, human_share
from fedlab.errors import DamagedError
from fedlab.results.checked import missing_from
from fedlab.results.configuration import axis_names, describe, size
from fedlab.results.folder import RunFolder
from fedlab.results.records import ClientRecord, RoundRecord, ShiftRecord, TrialRecord
from fedlab.workload.workload import Configuration

_NO_SHARES, _COUNTS = ("perplexity", "loss"), ("examples",)
_LONG_RUN, _FEW_POINTS = 10, 2  # rounds, and how often at most they were measured, of a curve that shows nothing
_PROMPT_END, _TEXT = 120, 200  # characters of a text that are shown

# How a client's work was lost (`fedlab.results.records.Dropout`), in words.
_KINDS: Mapping[str, str] = {
    "failed": "with an error",
    "memory": "out of memory",
    "gone": "gone",
    "late": "late",
    "refused": "turned away",
}


@dataclass(frozen=True, kw_only=True)
class ClientTotal:
    """What one client did and spent over a whole run; `rounds` counts those it replied to."""

    partition_id: int
    device: str
    rounds: int
    failures: int
    seconds: float
    joules: float
    bytes_down: int
    bytes_up: int
    idle_seconds: float = 0.0
    idle_joules: float = 0.0


def summarise(
    rounds: Sequence[RoundRecord],
    trials: Sequence[TrialRecord],
    clients: Sequence[ClientRecord],
    *,
    status: str,
    arrays_digest: str | None = None,
    records_digest: str | None = None,
) -> dict[str, Any]:
    """Return the results of a run, as written to summary.json. `status` says how the run ended."""
    return {
        "status": status,
        **_of_rounds(rounds),
        **_spent(clients),
        "configuration": rounds[-1].configuration if rounds else None,
        "trials": len(trials),
        "upgrades": sum(is_upgrade(record) for record in trials),
        **_lost(rounds, clients),
        **_provenance(clients),
        "arrays_digest": arrays_digest,
        "records_digest": records_digest,
    }


def starting_configuration(trial: TrialRecord) -> Configuration:
    """Return the configuration a trial started from: its smallest candidate's, since the others grow from it."""
    return min((candidate.configuration for candidate in trial.candidates), key=size)


def is_upgrade(trial: TrialRecord) -> bool:
    """Tell whether a trial changed the configuration of the global model."""
    return trial.configuration != starting_configuration(trial)


def few_points(rounds: Sequence[RoundRecord], trials: Sequence[TrialRecord], score: str) -> str | None:
    """Return why the curves of a long run have hardly a point, and what to change; None if they have enough."""
    measured = sum(record.validation_accuracy is not None for record in rounds)
    if len(rounds) < _LONG_RUN or measured > _FEW_POINTS:
        return None
    said = f"{score} was measured after {measured} of {len(rounds)} rounds"
    if trials or any(record.trial is not None for record in rounds):
        return (
            f"{said}, because a search measures it when a trial ends: with a lower strategy.options.base_seconds"
            " trials are shorter, and strategy.name = 'fedavg' has none"
        )
    return f"{said}: lower evaluation.validation_every for more"


def client_totals(clients: Iterable[ClientRecord]) -> list[ClientTotal]:
    """Return what each client did over a run, in the order of the partitions."""
    ordered = sorted(clients, key=lambda record: record.partition_id)
    return [_total(list(parts)) for _, parts in groupby(ordered, key=lambda record: record.partition_id)]


def totals_csv(totals: Sequence[ClientTotal]) -> str:
    """Return the clients' totals as CSV with a header line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(ClientTotal)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(total) for total in totals)
    return text.getvalue()


def shift_totals(shifts: Sequence[ShiftRecord]) -> dict[str, float]:
    """Return how many passes over sums there were, which share of them was skipped, and what came of that."""
    skipped = sum(record.reused for record in shifts)
    passes = sum(record.steps for record in shifts)
    return {
        "passes": passes,
        "skipped_share": skipped / passes if passes else 0.0,
        "changes": sum(max(0, len(record.changes) - 1) for record in shifts),
        "saturated": sum(record.saturated for record in shifts),
    }


def render_trials(trials: Sequence[TrialRecord], rounds: Sequence[RoundRecord]) -> Table:
    """Return a table of the trials: the accuracy of each candidate, the winner, and the cost of the trial.

    The test accuracy is that of a trial's last round, if it was measured.
    """
    test = {record.server_round: record.test_accuracy for record in rounds}
    groups = list(dict.fromkeys(candidate.group for trial in trials for candidate in trial.candidates))
    caption = None if trials else "no trials: the strategy did not search, or none has ended"
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, caption=caption)
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("winner", no_wrap=True)
    axes = axis_names(trial.configuration for trial in trials)
    for heading in (*axes, *groups, "test", "time", "traffic", "energy"):
        table.add_column(heading, justify="right", no_wrap=True)
    for trial in trials:
        table.add_row(*_trial_row(trial, axes, groups, test.get(trial.server_round)))
    return table


def render_summary(summary: Mapping[str, Any], run_dir: Path) -> RenderableType:
    """Return a summary for the terminal: accuracy and costs, then the paths of the files the run wrote."""
    figures = Table.grid(padding=(0, 2))
    run = RunFolder(run_dir)
    if missing := missing_from(summary):
        raise DamagedError(f"{run.summary_file}: not a summary of a run: it has no {missing}")
    for name, value in _figures(summary, deployed=run.deployed()):
        figures.add_row(Text(name, style="dim"), value)
    files = Table.grid(padding=(0, 2))
    for what, path in _written(run):
        files.add_row(Text(what, style="dim"), Text(str(path), overflow="fold"))
    return Group(figures, Text(), files)


def render_generations(texts: Sequence[Mapping[str, str]]) -> RenderableType:
    """Return what a language model wrote before and after training, with the end of each prompt and the response."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=True)
    for heading in ("prompt (its end)", "response", "before", "after"):
        table.add_column(heading, overflow="fold", ratio=1)
    for each in texts:
        prompt = each.get("prompt", "")
        shown = [prompt if len(prompt) <= _PROMPT_END else f"...{prompt[-_PROMPT_END:]}"]
        shown += [shortened(each.get(key, "-"), _TEXT) for key in ("response", "before", "after")]
        table.add_row(*map(Text, shown))
    return table


def _of_rounds(rounds: Sequence[RoundRecord]) -> dict[str, Any]:
    """Return the accuracies, the last ones measured (None if none was), and the times at the last round's end."""
    last = rounds[-1] if rounds else None
    return {
        "accuracy": _last(record.test_accuracy for record in rounds),
        "validation_accuracy": _last(record.validation_accuracy for record in rounds),
        "best": _best(rounds),
        "measures": _measures(rounds),
        "labels": rounds[-1].labels if rounds else {},
        "rounds": len(rounds),
        "simulated_seconds": last.simulated_seconds if last else 0.0,
        "wall_seconds": last.wall_seconds if last else 0.0,
    }


def _measures(rounds: Sequence[RoundRecord]) -> dict[str, dict[str, float]]:
    """Return the last measures beside the scores, by split."""
    return {split: each for record in rounds for split, each in record.measures.items()}


def _best(rounds: Sequence[RoundRecord]) -> dict[str, Any] | None:
    """Return the round with the highest validation accuracy, the first of equals, with its accuracies."""
    measured = [record for record in rounds if record.validation_accuracy is not None]
    if not measured:
        return None
    found = max(measured, key=lambda record: record.validation_accuracy or 0.0)
    return {
        "round": found.server_round,
        "validation_accuracy": found.validation_accuracy,
        "accuracy": found.test_accuracy,
    }


def _spent(clients: Sequence[ClientRecord]) -> dict[str, Any]:
    """Return the sums over all clients, and the peak memory of the client that needed most.

    `joules` includes `idle_joules`, the energy of waiting.
    """
    return {
        "bytes_down": sum(record.bytes_down for record in clients),
        "bytes_up": sum(record.bytes_up for record in clients),
        "joules": sum(record.joules for record in clients),
        "idle_joules": sum(record.idle_joules for record in clients),
        "peak_memory_bytes": max((record.peak_memory_bytes for record in clients), default=0),
    }


def _lost(rounds: Sequence[RoundRecord], clients: Sequence[ClientRecord]) -> dict[str, Any]:
    """Count the clients' parts whose work is lost, in all and by the reason, the late ones, and the failed rounds."""
    return {
        "client_failures": sum(record.error is not None for record in clients),
        "dropouts": _counts(record.dropout or "failed" for record in clients if record.error is not None),
        "late": sum(record.late_seconds > 0 for record in clients),
        "failed_rounds": sum(_failed(record) for record in rounds),
    }


def _provenance(clients: Sequence[ClientRecord]) -> dict[str, dict[str, int]]:
    """Count the clients' parts by the provenance of their latency, of their board's powers and of its memory."""
    return {
        "provenance": _counts(record.latency_provenance for record in clients if record.latency_provenance),
        "energy_provenance": _counts(record.energy_provenance for record in clients if record.energy_provenance),
        "memory_provenance": _counts(record.memory_provenance for record in clients if record.memory_provenance),
    }


def _counts(kinds: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(kinds).items()))


def _failed(record: RoundRecord) -> bool:
    return bool(record.groups) and all(group.failed for group in record.groups)


def _last(values: Iterable[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return measured[-1] if measured else None


def _total(parts: Sequence[ClientRecord]) -> ClientTotal:
    failures = sum(part.error is not None for part in parts)
    return ClientTotal(
        partition_id=parts[0].partition_id,
        device=parts[0].device,
        rounds=len(parts) - failures,
        failures=failures,
        seconds=sum(part.seconds for part in parts),
        joules=sum(part.joules for part in parts),
        bytes_down=sum(part.bytes_down for part in parts),
        bytes_up=sum(part.bytes_up for part in parts),
        idle_seconds=sum(part.idle_seconds for part in parts),
        idle_joules=sum(part.idle_joules for part in parts),
    )


def _trial_row(
    trial: TrialRecord, axes: Sequence[str], groups: Sequence[str], test: float | None
) -> list[RenderableType]:
    reached = {candidate.group: candidate.validation_accuracy for candidate in trial.candidates}
    return [
        str(trial.trial),
        Text(trial.winner, style="bold" if is_upgrade(trial) else ""),
        *(str(trial.configuration.get(axis, "-")) for axis in axes),
        *(Text(human_share(reached.get(group)), style="bold" if group == trial.winner else "") for group in groups),
        human_share(test),
        human_seconds(trial.ended_seconds),
        human_bytes(sum(candidate.bytes_down + candidate.bytes_up for candidate in trial.candidates)),
        human_joules(sum(candidate.joules for candidate in trial.candidates)),
    ]


def _figures(summary: Mapping[str, Any], *, deployed: bool) -> list[tuple[str, RenderableType]]:
    """Return the results of a run by name; the costs of a deployed one were measured, not computed."""
    configuration, score = summary["configuration"], summary.get("scored_by") or "accuracy"
    rows: list[tuple[str, RenderableType]] = [
        ("status", str(summary["status"]) + (", on real machines" if deployed else "")),
        (f"test {score}", Text(human_share(summary["accuracy"]), style="bold")),
        (f"validation {score}", human_share(summary["validation_accuracy"])),
        *_other_figures(summary.get("measures")),
        *((f"{name}, at the start", value) for name, value in _other_figures(summary.get("start"))),
        *_best_figures(summary),
        ("rounds", str(summary["rounds"])),
        ("measured time" if deployed else "simulated time", human_seconds(summary["simulated_seconds"])),
        ("real time", human_seconds(summary["wall_seconds"])),
        ("traffic", f"{human_bytes(summary['bytes_down'])} down, {human_bytes(summary['bytes_up'])} up"),
        ("energy", _energy(summary)),
    ]
    if shifts := summary.get("shifts"):
        said = f"{shifts['skipped_share']:.1%} of {shifts['passes']:.0f} passes over sums skipped"
        rows.append(("shifts", f"{said}, {shifts['changes']:.0f} changes"))
    if source := summary.get("repriced_from"):
        rows.append(("repriced from", str(source)))
    if configuration:
        rows.append(("configuration", describe(configuration)))
    if summary["trials"]:
        rows.append(("trials", f"{summary['trials']}, of which {summary['upgrades']} changed the configuration"))
    # Of the following, summaries of earlier versions have only the number of failures.
    for name, key in (("latencies", "provenance"), ("powers", "energy_provenance"), ("memory", "memory_provenance")):
        if provenance := summary.get(key):
            rows.append((name, f"{_enumerated(provenance)} (clients' parts in rounds)"))
    if summary["client_failures"]:
        kinds = {_KINDS.get(kind, kind): count for kind, count in (summary.get("dropouts") or {}).items()}
        text = _enumerated(kinds) or str(summary["client_failures"])
        rows.append(("failures of clients", Text(text, style="red")))
    if summary.get("late"):
        rows.append(("late updates", str(summary["late"])))
    if summary.get("failed_rounds"):
        rows.append(("failed rounds", Text(str(summary["failed_rounds"]), style="red")))
    return rows


def _best_figures(summary: Mapping[str, Any]) -> list[tuple[str, RenderableType]]:
    """Return the best round, if it is not the last; summaries of earlier versions have none."""
    best = summary.get("best")
    if best is None or best["round"] == summary["rounds"]:
        return []
    validation, test = human_share(best["validation_accuracy"]), human_share(best["accuracy"])
    said = f"{best['round']}: validation {validation}, test {test}"
    return [("best round", said)]


def _other_figures(measures: Mapping[str, Mapping[str, float]] | None) -> list[tuple[str, RenderableType]]:
    """Return measures by split in one line each: of test, of validation and over the clients."""
    measures = measures or {}
    return [
        (
            f"{split} measures",
            ", ".join(f"{name} {shown_measure(name, value)}" for name, value in measures[split].items()),
        )
        for split in ("test", "validation", "clients")
        if measures.get(split)
    ]


def shown_measure(name: str, value: float) -> str:
    """Return a measure for people: a share, or a number for those that are none."""
    if name in _COUNTS:
        return str(int(value))
    return f"{value:.4g}" if name in _NO_SHARES else human_share(value)


def _energy(summary: Mapping[str, Any]) -> str:
    if not summary["joules"] and summary["bytes_down"]:
        return "unknown: no power of these machines is known"
    idle = summary.get("idle_joules", 0.0)
    return human_joules(summary["joules"]) + (f", {human_joules(idle)} of it waiting" if idle else "")


def _enumerated(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _written(folder: RunFolder) -> list[tuple[str, Path]]:
    files = [
        ("arrays", folder.final),
        ("adapters", folder.adapter),
        ("model", folder.model),
        ("best arrays", folder.best),
        ("best model", folder.best_model),
        ("texts", folder.generations_file),
        ("report", folder.report),
        ("plot", folder.plot),
        ("shifts plot", folder.shifts_plot),
        ("rounds", folder.rounds_file),
        ("trials", folder.trials_file),
        ("clients", folder.clients_file),
        ("totals", folder.client_totals),
        ("summary", folder.summary_file),
        ("log", folder.log),
    ]
    return [(what, path) for what, path in files if path.exists()]
