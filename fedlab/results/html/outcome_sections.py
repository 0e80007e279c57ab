"""What a run came to: its figures, its accuracy and loss over time, rounds, energy and traffic, and its trials."""

from collections.abc import Mapping, Sequence

from fedlab.common.units import counted, human_bytes, human_joules, human_seconds, human_share
from fedlab.results.configuration import describe, label_heading
from fedlab.results.html.charts import Chart, accuracy_spec, loss_spec
from fedlab.results.html.columns import thinned
from fedlab.results.html.costs import known_joules, levels_of
from fedlab.results.html.curves import (
    MOST_ROUNDS,
    Axis,
    Reached,
    accuracy_columns,
    axes,
    loss_columns,
    spendings,
    times_to_accuracy,
    trial_columns,
)
from fedlab.results.html.parts import (
    ChartFigure,
    Choice,
    Chooser,
    Levels,
    PageSection,
    PageTable,
    Paragraph,
    Part,
    Tile,
    TileRow,
)
from fedlab.results.html.run_records import RunRecords
from fedlab.results.records import TrialRecord
from fedlab.results.report import few_points, is_upgrade

_OVER = "over"
_CHOICES = {"time": "Time", "round": "Round", "energy": "Energy", "traffic": "Traffic"}
_MOST_ROWS = 60  # of the table of rounds


def outcome_section(run: RunRecords) -> PageSection:
    """Return the figures of a run, each with its provenance, and what the records lack."""
    return PageSection(key="outcome", title="Outcome", parts=[TileRow(tiles=_tiles(run)), *map(_note, missing(run))])


def accuracy_section(run: RunRecords) -> PageSection:
    """Return accuracy and loss over what is chosen, and what it took to reach shares of the best accuracy."""
    over = axes(run.rounds, deployed=run.deployed)
    splits = _splits(run)
    if not run.rounds:
        return PageSection(key="accuracy", title=_heading(run), parts=[Paragraph(text="No round has ended yet.")])
    chooser = Chooser(
        key=_OVER, title="Draw over", choices=[Choice(key=each.key, title=_CHOICES[each.key]) for each in over]
    )
    parts: list[Part] = [chooser]
    if splits:
        if few := few_points(run.rounds, run.trials, run.score):
            parts.append(_note(f"{few[0].upper()}{few[1:]}."))
        parts += [_accuracy(run, over, splits), *_targets(run, splits)]
    else:
        parts.append(Paragraph(text="No accuracy has been measured yet."))
    return PageSection(key="accuracy", title=_heading(run), parts=[*parts, *_loss(run, over), _round_table(run)])


def trials_section(run: RunRecords) -> PageSection | None:
    """Return a table of the trials, None for a strategy that does not search."""
    if not run.trials:
        return None
    groups = list(dict.fromkeys(each.group for trial in run.trials for each in trial.candidates))
    headings = ["trial", "winner", "configuration", *groups, "ended", "traffic", "energy"]
    rows = [_trial_row(trial, groups) for trial in run.trials]
    table = PageTable(
        key="trials-table",
        title="Trials and their groups",
        note=f"validation {run.score} of each group; a winner in capitals changed the configuration",
        headings=headings,
        words=3,
        rows=rows,
    )
    return PageSection(key="trials", title="Trials", parts=[table])


def energy_levels(run: RunRecords) -> Levels:
    """Count the levels of the energy; that of real machines is measured seconds at the power of their board."""
    return levels_of(each.energy_provenance for each in run.clients)


def latency_levels(run: RunRecords) -> Levels:
    """Count the levels of the latency that clients were charged for."""
    return levels_of(each.latency_provenance for each in run.clients)


def memory_levels(run: RunRecords) -> Levels:
    """Count the levels of the peak memory; real clients measure theirs."""
    if run.deployed:
        return {"measured": len(run.clients)} if run.clients else {}
    return levels_of(each.memory_provenance for each in run.clients)


def missing(run: RunRecords) -> list[str]:
    """Return what the records of a run do not hold, as those of earlier versions."""
    found = []
    if run.rounds and not run.clients:
        found.append("clients.jsonl has no records: time lines, costs by board and memory are missing.")
    if run.clients and all(not each.latency_provenance for each in run.clients):
        found.append("The records are of an earlier version, or nothing was computed: the provenance is missing.")
    if run.clients and all(each.passes is None for each in run.clients):
        found.append("The records do not say on which processor clients computed: that column is empty.")
    if run.data is None:
        found.append("The run wrote no data.json, as earlier versions did not: the labels of clients are missing.")
    return found


def _heading(run: RunRecords) -> str:
    return f"{run.score.capitalize()} and loss"


def _note(text: str) -> Paragraph:
    return Paragraph(text=text, warns=True)


def _tiles(run: RunRecords) -> list[Tile]:
    said, kind = run.summary, "Measured time" if run.deployed else "Simulated time"
    clients = len({each.partition_id for each in run.clients})
    boards = len({each.device.partition(" x")[0] for each in run.clients})
    tiles = [
        Tile(name=f"Test {run.score}", value=human_share(said["accuracy"]), note=_best(said)),
        Tile(name=f"Validation {run.score}", value=human_share(said["validation_accuracy"])),
        Tile(name=kind, value=human_seconds(said["simulated_seconds"]), levels=latency_levels(run)),
        Tile(
            name="Energy of all clients",
            value=_energy(said),
            levels=energy_levels(run),
            note=_of_energy(run),
        ),
        Tile(
            name="Traffic",
            value=human_bytes(said["bytes_down"] + said["bytes_up"]),
            note=f"{human_bytes(said['bytes_down'])} down, {human_bytes(said['bytes_up'])} up, as encoded",
        ),
        Tile(
            name="Peak memory of a client",
            value=human_bytes(said.get("peak_memory_bytes", 0)),
            levels=memory_levels(run),
        ),
        Tile(name="Rounds", value=str(said["rounds"]), note=_searched(said)),
        Tile(name="Clients that took part", value=str(clients), note=f"on {counted(boards, 'board')}"),
    ]
    if said["configuration"]:
        tiles.append(Tile(name="Configuration at the end", value=describe(said["configuration"])))
    if said["client_failures"]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in (said.get("dropouts") or {}).items())
        tiles.append(Tile(name="Dropouts of clients", value=str(said["client_failures"]), note=kinds))
    return tiles


def _best(said: Mapping[str, object]) -> str:
    best = said.get("best")
    if not isinstance(best, dict) or best["round"] == said["rounds"]:
        return ""
    return f"best by validation: round {best['round']}, test {human_share(best['accuracy'])}"


def _energy(said: Mapping[str, float]) -> str:
    return human_joules(said["joules"]) if said["joules"] or not said["bytes_down"] else "unknown"


def _of_energy(run: RunRecords) -> str:
    idle, known = run.summary.get("idle_joules", 0.0), bool(run.summary["joules"])
    waiting = [f"{human_joules(idle)} of it waiting"] if idle else []
    return "; ".join(
        [*waiting, *(["measured seconds at the powers of the profiles"] if run.deployed and known else [])]
    )


def _searched(said: Mapping[str, int]) -> str:
    return f"{counted(said['trials'], 'trial')}, {counted(said['upgrades'], 'upgrade')}" if said["trials"] else ""


def _splits(run: RunRecords) -> list[str]:
    measured = {
        "validation": any(each.validation_accuracy is not None for each in run.rounds),
        "test": any(each.test_accuracy is not None for each in run.rounds),
    }
    return [split for split, known in measured.items() if known]


def _accuracy(run: RunRecords, over: Sequence[Axis], splits: Sequence[str]) -> ChartFigure:
    curve, trials = accuracy_columns(run.rounds, over), trial_columns(run.rounds, run.trials, over)
    points = len(curve["round"])
    summary = f"Line chart: {' and '.join(splits)} {run.score} over {len(run.rounds)} rounds."
    upgrades = sum(map(is_upgrade, run.trials))
    if run.trials:
        summary += f" Bands are trials ({len(run.trials)}), dashed lines are upgrades ({upgrades})."
    chart = Chart(
        key="accuracy",
        summary=f"{summary} The table of rounds has the numbers.",
        specs={
            each.key: accuracy_spec(
                each,
                score=run.score,
                splits=splits,
                points=points,
                trials=len(trials["trial"]),
                upgrades=sum(each is not None for each in trials["upgrade"]),
            )
            for each in over
        },
        datasets={"accuracy": curve, "trials": trials},
    )
    said = ["Drag to move, Shift and the wheel to zoom, double click to go back."]
    if run.trials:
        heading = " ".join(["the new configuration", label_heading(run.trials[0].configuration)]).strip()
        said.insert(0, f"Shades are trials; dashed lines are upgrades, with {heading}.")
    if len(run.rounds) > MOST_ROUNDS:
        said.append(f"{MOST_ROUNDS} of {len(run.rounds)} rounds are drawn, evenly spread.")
    said.append("Seconds, joules and bytes are sums over the run so far" + _links(run))
    return ChartFigure(chart=chart, caption=" ".join(said), chooser=_OVER, levels=latency_levels(run), height=380)


def _links(run: RunRecords) -> str:
    return ", as measured. Time:" if run.deployed else "; the links are those of the experiment. Time:"


def _targets(run: RunRecords, splits: Sequence[str]) -> list[PageTable]:
    split = "test" if "test" in splits else "validation"
    return [
        PageTable(
            key="targets",
            title=f"Time to {run.score}",
            note=f"first round whose {split} {run.score} reaches the share of this run's best one",
            headings=["share of the best", run.score, "round", "time", "energy", "traffic"],
            rows=[_target_row(each) for each in times_to_accuracy(run.rounds, split)],
        )
    ]


def _target_row(each: Reached) -> list[str]:
    assert each.seconds is not None, "a share of a run's own best is reached"
    return [
        f"{each.share:.0%}",
        f"{each.accuracy:.3f}",
        str(each.server_round),
        human_seconds(each.seconds),
        known_joules(each.joules),
        human_bytes(each.num_bytes or 0),
    ]


def _loss(run: RunRecords, over: Sequence[Axis]) -> list[Part]:
    found = loss_columns(run.rounds, over)
    groups = list(dict.fromkeys(found["group"]))
    if not groups:
        return [Paragraph(text="No client has reported a training loss.")]
    chart = Chart(
        key="loss",
        summary=f"Line chart: training loss of {', '.join(groups)} over {len(run.rounds)} rounds.",
        specs={each.key: loss_spec(each, groups, len(found["loss"])) for each in over},
        datasets={"loss": found},
    )
    caption = "Mean training loss of the clients of each group, as they reported it."
    return [ChartFigure(chart=chart, caption=caption, chooser=_OVER, height=300)]


def _round_table(run: RunRecords) -> PageTable:
    spent = spendings(run.rounds)[1:]
    places = thinned(len(run.rounds), _MOST_ROWS)
    rows = [
        [
            str(run.rounds[at].server_round),
            human_seconds(spent[at].seconds),
            known_joules(spent[at].joules),
            human_bytes(spent[at].num_bytes),
            human_share(run.rounds[at].validation_accuracy),
            human_share(run.rounds[at].test_accuracy),
            describe(run.rounds[at].configuration),
        ]
        for at in places
    ]
    kept = f"{len(places)} of {len(run.rounds)} rounds; rounds.jsonl has all" if len(places) < len(run.rounds) else ""
    headings = ["round", "time", "energy", "traffic", "validation", "test", "configuration"]
    return PageTable(key="round-table", title="Rounds as a table", note=kept, headings=headings, rows=rows, folded=True)


def _trial_row(trial: TrialRecord, groups: Sequence[str]) -> list[str]:
    reached = {each.group: each.validation_accuracy for each in trial.candidates}
    return [
        str(trial.trial),
        trial.winner.upper() if is_upgrade(trial) else trial.winner,
        describe(trial.configuration),
        *(human_share(reached.get(group)) for group in groups),
        human_seconds(trial.ended_seconds),
        human_bytes(sum(each.bytes_down + each.bytes_up for each in trial.candidates)),
        known_joules(sum(each.joules for each in trial.candidates)),
    ]
