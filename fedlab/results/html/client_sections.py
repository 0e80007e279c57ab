"""What the clients of a run did and cost: time lines of rounds, labels, costs, memory and boards."""

from collections.abc import Iterable, Mapping, Sequence

from fedlab.common.units import human_bytes, human_seconds
from fedlab.results.html.boards import BoardFacts
from fedlab.results.html.charts import (
    Chart,
    RoundChart,
    labels_spec,
    memory_spec,
    rounds_spec,
    stage_spec,
    timeline_spec,
)
from fedlab.results.html.columns import ChartColumns
from fedlab.results.html.costs import (
    STAGES,
    CostGroup,
    MemoryPeak,
    joules_columns,
    known_joules,
    memory_columns,
    seconds_columns,
    traffic_columns,
)
from fedlab.results.html.curves import Axis, axes_up_to, spending_of
from fedlab.results.html.label_map import label_map
from fedlab.results.html.parts import (
    ChartFigure,
    Choice,
    Levels,
    PageSection,
    PageTable,
    Paragraph,
    Part,
    RoundSteps,
    TableRow,
)
from fedlab.results.html.run_records import RunRecords
from fedlab.results.html.timeline import (
    MOST_CLIENTS,
    RoundTimeline,
    bar_columns,
    kept,
    round_columns,
    slowest_of_each,
    timelines,
)

_TIMELINE = "timeline"
_ALL_STAGES = ("download", "compute", "work", "upload", "wait")


def rounds_section(run: RunRecords, levels: Levels) -> PageSection | None:
    """Return what ended each round, and the time line of a round's clients; None where none is recorded."""
    found = timelines(run.rounds, run.clients)
    if not found:
        return None
    shown = kept(found)
    longest = max(shown, key=lambda each: each.seconds + each.waited_seconds)
    steps = RoundSteps(
        title="Round and zoom",
        chart=_TIMELINE,
        choices=[Choice(key=str(each.server_round), title=_round_title(each)) for each in shown],
        chosen=str(longest.server_round),
    )
    parts: list[Part] = [_round_bars(found), steps, _timeline(shown, len(found), run, levels)]
    return PageSection(key="rounds", title="Why rounds took that long", parts=parts)


def labels_section(run: RunRecords) -> PageSection | None:
    """Return the labels of each client as a heat map, None where they are not known."""
    found = label_map(run.data.clients) if run.data is not None else None
    if found is None:
        return None
    shown = f"{found.clients} of {found.all_clients} clients and {found.labels} of {found.all_labels} labels"
    chart = Chart(
        key="labels",
        summary=f"Heat map: share of each label among a client's examples, {shown}.",
        specs={"all": labels_spec(found.clients, found.labels)},
        datasets={"labels": found.cells},
    )
    caption = f"The stronger the colour, the larger the label's share of the client's examples; {shown}."
    return PageSection(key="labels", title="Labels of the clients", parts=[ChartFigure(chart=chart, caption=caption)])


def costs_section(groups: Sequence[CostGroup], run: RunRecords, energy: Levels, latency: Levels) -> PageSection | None:
    """Return what was spent by board, processor and stage; None where no clients are recorded."""
    if not groups:
        return None
    boards = len({each.board for each in groups})
    whole = spending_of(run.clients)
    over = {each.key: each for each in axes_up_to(whole, time="Time of all clients")}
    parts: list[Part] = [
        _bars(
            "seconds", over["time"], seconds_columns(groups), boards, "Time of all clients by board and stage", latency
        )
    ]
    joules = joules_columns(groups)
    if joules["value"] and "energy" in over:
        said = "Energy of all clients by board and stage"
        parts.append(_bars("joules", over["energy"], joules, boards, said, energy))
    else:
        parts.append(Paragraph(text="No power of these machines is known, so there is no energy.", warns=True))
    said = "Bytes of all messages by board and direction, as encoded"
    parts.append(_bars("traffic", over["traffic"], traffic_columns(groups), boards, said, {}))
    tables = [_time_table(groups), _energy_table(groups)]
    return PageSection(key="costs", title="Costs by stage, board and processor", parts=[*parts, *tables])


def memory_section(peaks: Sequence[MemoryPeak], boards: Mapping[str, BoardFacts | str]) -> PageSection | None:
    """Return the peak memory against each board's limit; None where no clients are recorded."""
    if not peaks:
        return None
    rows: list[TableRow] = [
        [
            each.board,
            human_bytes(each.peak_bytes),
            "unknown" if each.limit_bytes is None else human_bytes(each.limit_bytes),
            "-" if each.limit_bytes is None else f"{each.peak_bytes / each.limit_bytes:.1%}",
            str(each.out_of_memory),
            each.levels,
        ]
        for each in peaks
    ]
    headings = ["board", "peak", "limit", "of the limit", "out of memory", "provenance (parts)"]
    parts: list[Part] = []
    columns = memory_columns(peaks)
    if columns["board"]:
        chart = Chart(
            key="memory",
            summary="Bar chart: peak memory of each board as a share of its limit; the table below has the numbers.",
            specs={"all": memory_spec(len(columns["board"]))},
            datasets={"memory": columns},
        )
        caption = "The line is the board's whole memory; what its operating system takes is not subtracted."
        parts.append(ChartFigure(chart=chart, caption=caption, height=40 * len(columns["board"]) + 60))
    parts.append(PageTable(key="memory-table", title="Peak memory", headings=headings, rows=rows))
    parts += [Paragraph(text=f"{each.board}: {each.example}") for each in peaks if each.example]
    if any(isinstance(each, BoardFacts) and not each.enforced for each in boards.values()):
        parts.append(Paragraph(text="fleet.memory_limit = false: work that exceeds a limit is billed all the same."))
    return PageSection(key="memory", title="Memory against each board's limit", parts=parts)


def boards_section(boards: Mapping[str, BoardFacts | str]) -> PageSection | None:
    """Return each figure of the boards with its provenance and source; None without boards."""
    if not boards:
        return None
    known = [each for each in boards.values() if isinstance(each, BoardFacts)]
    rows: list[TableRow] = [
        [each.name, one.name, one.value, {one.level: 1}, one.source] for each in known for one in each.figures
    ]
    parts: list[Part] = [
        Paragraph(text=f"{each[0].upper()}{each[1:]}.") for each in boards.values() if isinstance(each, str)
    ]
    if rows:
        headings = ["board", "figure", "value", "provenance", "source"]
        title = "Figures of the boards, as the profiles that are installed now have them"
        parts.append(PageTable(key="board-table", title=title, headings=headings, rows=rows, words=5, folded=True))
    meaning = (
        "Measured: on such a board. Published: in a paper or by the vendor. Scaled: from a known figure by a stated"
        " rule. Assumed: by us."
    )
    return PageSection(key="boards", title="Where the figures come from", parts=[Paragraph(text=meaning), *parts])


def _round_title(each: RoundTimeline) -> str:
    return f"{each.server_round}: {human_seconds(each.seconds + each.waited_seconds)}"


def _round_bars(found: Sequence[RoundTimeline]) -> ChartFigure:
    shown = slowest_of_each(found)
    chart = Chart(
        key="rounds",
        summary=f"Bar chart: seconds of {len(shown)} rounds, by what the client did that ended the round.",
        specs={"all": rounds_spec()},
        datasets={"rounds": round_columns(shown)},
    )
    caption = "Each bar is the client whose work ended the round; in the part that waits it was not at work."
    if len(shown) < len(found):
        caption += f" Of {len(found)} rounds the slowest of every {-(-len(found) // len(shown))} are drawn."
    return ChartFigure(chart=chart, caption=caption, height=260)


def _timeline(shown: Sequence[RoundTimeline], of: int, run: RunRecords, levels: Levels) -> ChartFigure:
    rounds = {
        str(each.server_round): RoundChart(
            spec=_shape(each), seconds=max(each.seconds, 1e-9), why=each.why, bars=bar_columns(each)
        )
        for each in shown
    }
    chart = Chart(
        key=_TIMELINE,
        summary="Time line: a bar for each client of the chosen round, by stage. The text above says why it took so"
        " long.",
        specs={_shape(each): timeline_spec(len(each.bars), with_lost=_loses(each)) for each in shown},
        datasets={},
        rounds=rounds,
    )
    return ChartFigure(chart=chart, caption=" ".join(_timeline_notes(shown, of, run)), levels=levels, height=320)


def _shape(each: RoundTimeline) -> str:
    """Return the key of a specification: time lines of as many bars have the same one."""
    return f"{len(each.bars)} {'lost' if _loses(each) else ''}".strip()


def _loses(each: RoundTimeline) -> bool:
    return any(bar.record.error is not None for bar in each.bars)


def _timeline_notes(shown: Sequence[RoundTimeline], of: int, run: RunRecords) -> Iterable[str]:
    yield "The marks at the right are the end of the group's round; a cross is a client whose work is lost."
    if any(each.trial is not None for each in run.rounds):
        yield "Groups of a trial run side by side, each on its own clock from second 0."
    if run.deployed:
        yield "As measured; waiting also has preparing data, and stages are drawn in their usual order."
    if len(shown) < of:
        yield f"{len(shown)} of {of} rounds are on this page: the longest, and others evenly spread."
    if any(each.left_out for each in shown):
        yield f"Of rounds with more, the {MOST_CLIENTS} clients are drawn that took longest."
    yield "Seconds of computing:"


def _bars(key: str, axis: Axis, columns: ChartColumns, boards: int, caption: str, levels: Levels) -> ChartFigure:
    stages = [stage for stage in _ALL_STAGES if stage in columns["stage"]]
    chart = Chart(
        key=key,
        summary=f"Bar chart: {caption[0].lower()}{caption[1:]}; the tables below have the numbers.",
        specs={"all": stage_spec(key, axis, stages, boards)},
        datasets={key: columns},
    )
    return ChartFigure(chart=chart, caption=f"{caption}.", levels=levels, height=40 * boards + 90)


def _time_table(groups: Sequence[CostGroup]) -> PageTable:
    rows: list[TableRow] = [
        [
            each.board,
            each.processors,
            str(each.parts),
            *(human_seconds(each.seconds[stage]) for stage in STAGES),
            each.latency_levels,
        ]
        for each in groups
    ]
    headings = ["board", "processor", "parts", *STAGES, "provenance of compute"]
    note = "seconds of all clients added up; a part is one client in one round"
    return PageTable(key="time-table", title="Time", note=note, headings=headings, rows=rows, words=2)


def _energy_table(groups: Sequence[CostGroup]) -> PageTable:
    rows: list[TableRow] = [
        [
            each.board,
            each.processors,
            *(known_joules(each.joules.get(stage)) for stage in STAGES),
            known_joules(sum(each.joules.values())),
            each.energy_levels,
            human_bytes(each.bytes_down),
            human_bytes(each.bytes_up),
        ]
        for each in groups
    ]
    headings = ["board", "processor", *STAGES, "energy", "provenance of energy", "bytes down", "bytes up"]
    note = "energy by stage where the powers of the board are known"
    return PageTable(key="energy-table", title="Energy and traffic", note=note, headings=headings, rows=rows, words=2)
