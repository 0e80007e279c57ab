"""The page of one run."""

import shlex

import tomli_w

from fedlab.common.units import human_seconds
from fedlab.config.file import dotted_keys
from fedlab.results.folder import RunFolder
from fedlab.results.html.boards import board_facts
from fedlab.results.html.client_sections import (
    boards_section,
    costs_section,
    labels_section,
    memory_section,
    rounds_section,
)
from fedlab.results.html.costs import cost_groups, memory_peaks
from fedlab.results.html.measures_section import measures_section
from fedlab.results.html.outcome_sections import (
    accuracy_section,
    energy_levels,
    latency_levels,
    outcome_section,
    trials_section,
)
from fedlab.results.html.parts import CodeBlock, Page, PageSection, PageTable, Part
from fedlab.results.html.run_records import RunRecords


def run_page(run: RunRecords) -> Page:
    """Return the page of a run, of one that goes on with the rounds so far."""
    boards = board_facts((each.device for each in run.clients), run.experiment)
    latency, energy = latency_levels(run), energy_levels(run)
    sections = [
        outcome_section(run),
        accuracy_section(run),
        measures_section(run),
        rounds_section(run, latency),
        trials_section(run),
        labels_section(run),
        costs_section(cost_groups(run.clients, boards), run, energy, latency),
        memory_section(memory_peaks(run.clients, boards, measured=run.deployed), boards),
        boards_section(boards),
        repeat_section(run),
    ]
    return Page(
        kind="fedlab report of a run" + (" on real machines" if run.deployed else ""),
        title=run.name,
        lead=_lead(run),
        sections=[each for each in sections if each is not None],
        footer=f"Written by fedlab from the records in {run.place}.",
    )


def repeat_section(run: RunRecords) -> PageSection:
    """Return the commands that repeat a run, its experiment file, and the software it ran with."""
    parts: list[Part] = [
        CodeBlock(key="commands", title="Commands that repeat it", text="\n".join(_commands(run))),
        CodeBlock(key="experiment", title="The experiment, with all defaults", text=tomli_w.dumps(run.experiment)),
    ]
    if run.environment:
        rows = [[name, str(value)] for name, value in dotted_keys(run.environment).items()]
        parts.append(
            PageTable(
                key="software",
                title="Software and machine",
                headings=["what", "which"],
                rows=rows,
                words=2,
                folded=True,
            )
        )
    return PageSection(key="repeat", title="How to repeat it", parts=parts)


def _lead(run: RunRecords) -> str:
    table = run.experiment
    names = [str(table.get(key, {}).get("name", "?")) for key in ("strategy", "client", "backbone")]
    data = str(table.get("task", {}).get("data", "?"))
    ended = str(run.summary["status"]) if run.ended else f"not ended: {_progress(run)}"
    wall = human_seconds(run.summary["wall_seconds"])
    return (
        f"Strategy {names[0]}, client {names[1]}, backbone {names[2]}, data {data}, seed {table.get('seed', 0)};"
        f" {ended}, {wall} of real time."
    )


def _progress(run: RunRecords) -> str:
    rounds = run.experiment.get("rounds")
    return f"{len(run.rounds)} of {rounds} rounds" if rounds else f"{len(run.rounds)} rounds"


def _commands(run: RunRecords) -> list[str]:
    """Return commands in a shell's words; what a deployed run needs beside them is in its documentation."""
    here, again = shlex.quote(str(run.place)), shlex.quote(f"{run.place}-again")
    source = run.summary.get("repriced_from")
    lines = []
    if source:
        lines.append(f"# repriced for other boards or links, without training, from {source}")
    if run.deployed:
        lines.append("# this was on real machines; the same experiment on simulated clients:")
    lines.append(f"fedlab run {shlex.quote(str(RunFolder(run.place).experiment))} --out {again}")
    if not run.ended:
        lines.insert(0, f"fedlab run --resume {here}")
    elif not run.deployed and not source:
        lines.append(f"fedlab verify {here} {again}")
    return lines
