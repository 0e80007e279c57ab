"""The charts as Vega-Lite specifications (see `fedlab.results.html.vega`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedlab.results.html.columns import ChartColumns
from fedlab.results.html.curves import Axis
from fedlab.results.html.vega import (
    ACCENT,
    INK,
    MUTED,
    ChartSpec,
    chart_spec,
    line_styles,
    tooltip_of,
    x_encoding,
    zoom,
)

STAGE_COLOURS: Mapping[str, str] = {
    "download": "var(--download)",
    "compute": "var(--compute)",
    "upload": "var(--upload)",
    "wait": "var(--wait)",
    "work": "var(--compute)",
}

_LOST = "var(--lost)"
_MOST_POINTS = 80  # of a line that marks them
_LEAST_STEP, _MOST_STEP, _HEIGHT = 7, 18, 640  # pixels of a row, and of all
_STAGES = ("download", "compute", "upload", "wait")
_BAR = 34  # pixels of a board


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart of a page: a specification for each choice of its axis (or for `all`), and the data that they name.

    `summary` says in words what it shows, for those who do not see it.
    """

    key: str
    summary: str
    specs: Mapping[str, ChartSpec]
    datasets: Mapping[str, ChartColumns] = field(repr=False)
    rounds: Mapping[str, "RoundChart"] = field(default_factory=dict, repr=False)

    def plain(self) -> dict[str, Any]:
        """Return the chart as a page holds it."""
        plain: dict[str, Any] = {"specs": dict(self.specs), "datasets": dict(self.datasets)}
        return plain | ({"rounds": {key: vars(each) for key, each in self.rounds.items()}} if self.rounds else {})


@dataclass(frozen=True, kw_only=True)
class RoundChart:
    """What a time line shows of one round: its bars, by the specification `spec`, and why it took `seconds`."""

    spec: str
    seconds: float
    why: str
    bars: ChartColumns


def accuracy_spec(
    axis: Axis, *, score: str, splits: Sequence[str], points: int, trials: int, upgrades: int
) -> ChartSpec:
    """Return the accuracy of each split over an axis, with trials as bands and upgrades as lines, if there are any."""
    marks = {"point": {"size": 22}} if points <= _MOST_POINTS else {}
    spent = [tooltip_of(axis.key, axis.title), tooltip_of("configuration", "Configuration", kind="nominal")]
    line = {
        "data": {"name": "accuracy"},
        "transform": [{"fold": list(splits), "as": ["split", "value"]}, {"filter": "isValid(datum.value)"}],
        "params": [zoom()],
        "mark": {"type": "line", "strokeWidth": 2, "clip": True, **marks},
        "encoding": {
            "x": x_encoding(axis),
            "y": {"field": "value", "type": "quantitative", "title": score, "scale": {"zero": False, "padding": 6}},
            **line_styles("split", splits),
            "tooltip": [tooltip_of("split", "Split", kind="nominal"), tooltip_of("value", score, form=".4f"), *spent],
        },
    }
    marked = [*([_bands(axis)] if trials else []), *([_upgrades(axis)] if upgrades else [])]
    return chart_spec({"height": 300, "layer": [*marked, line]})


def loss_spec(axis: Axis, groups: Sequence[str], points: int) -> ChartSpec:
    """Return the training loss of each group over an axis."""
    mark = {"type": "line", "strokeWidth": 1.6, "clip": True, "point": {"size": 18}}
    if points > _MOST_POINTS * max(1, len(groups)):
        del mark["point"]
    return chart_spec(
        {
            "height": 220,
            "data": {"name": "loss"},
            "params": [zoom()],
            "mark": mark,
            "encoding": {
                "x": x_encoding(axis),
                "y": {
                    "field": "loss",
                    "type": "quantitative",
                    "title": "training loss",
                    "scale": {"zero": False, "padding": 6},
                },
                **line_styles("group", groups, "group"),
                "tooltip": [
                    tooltip_of("group", "Group", kind="nominal"),
                    tooltip_of("loss", "Loss", form=".4g"),
                    tooltip_of(axis.key, axis.title),
                ],
            },
        }
    )


def rounds_spec() -> ChartSpec:
    """Return a bar for each round: what the client did that ended it."""
    return chart_spec(
        {
            "height": 180,
            "data": {"name": "rounds"},
            "transform": [{"fold": list(_STAGES), "as": ["stage", "seconds"]}, _order(_STAGES)],
            "mark": {"type": "bar"},
            "encoding": {
                "x": {"field": "round", "type": "ordinal", "title": "Round", "scale": {"paddingInner": 0.1},
                      "axis": {"labelAngle": 0, "labelOverlap": True}},
                "y": {"field": "seconds", "type": "quantitative", "title": "seconds", "stack": "zero"},
                "color": _stages(_STAGES),
                "order": {"field": "order"},
                "tooltip": [
                    tooltip_of("why", "Why", kind="nominal"),
                    tooltip_of("stage", "Stage", kind="nominal"),
                    tooltip_of("seconds", "Seconds", form=".4~g"),
                ],
            },
        }
    )  # fmt: skip


def timeline_spec(clients: int, *, with_lost: bool) -> ChartSpec:
    """Return the bars of a round's clients: their stages, the round's end, and those whose work is lost, if any."""
    step = _step(clients)
    y = {
        "field": "row",
        "type": "ordinal",
        "title": "client",
        "sort": None,
        "axis": {"labelFontSize": min(11, step + 1), "ticks": False, "domain": False, "labelOverlap": True},
    }
    ends = {
        "mark": {"type": "tick", "thickness": 2, "color": INK, "height": {"band": 1.0}, "clip": True},
        "encoding": {"x": {"field": "end", "type": "quantitative"}},
    }
    return chart_spec(
        {
            "height": step * max(1, clients),
            "data": {"name": "timeline"},
            "transform": [{"calculate": "datum.group + ' ' + datum.client", "as": "row"}],
            "encoding": {"y": y},
            "layer": [_stage_bars(), ends, *([_lost_marks()] if with_lost else [])],
        }
    )


def _stage_bars() -> ChartSpec:
    """Return the stages of clients, each of which begins when the one before has ended."""
    return {
        "transform": [
            {"fold": list(_STAGES), "as": ["stage", "seconds"]},
            {"filter": "datum.seconds > 0"},
            {
                "calculate": "datum.start + (datum.stage == 'download' ? 0 : datum.download)"
                " + (datum.stage == 'upload' || datum.stage == 'wait' ? datum.compute : 0)"
                " + (datum.stage == 'wait' ? datum.upload : 0)",
                "as": "from",
            },
            {"calculate": "datum.from + datum.seconds", "as": "to"},
        ],
        "params": [zoom()],
        "mark": {"type": "bar", "height": {"band": 0.78}, "clip": True},
        "encoding": {
            "x": {"field": "from", "type": "quantitative", "title": "seconds from the round's start"},
            "x2": {"field": "to"},
            "color": _stages(_STAGES),
            "tooltip": _client_tooltip(),
        },
    }


def _lost_marks() -> ChartSpec:
    """Return a cross where the work of a client that dropped out ends."""
    cross = {"type": "point", "shape": "cross", "angle": 45, "filled": True, "size": 70, "color": _LOST, "clip": True}
    return {
        "transform": [
            {"filter": "isValid(datum.lost)"},
            {"calculate": "datum.start + datum.download + datum.compute + datum.upload", "as": "to"},
        ],
        "mark": cross,
        "encoding": {"x": {"field": "to", "type": "quantitative"}, "tooltip": _client_tooltip()},
    }


def _client_tooltip() -> list[dict[str, Any]]:
    return [
        tooltip_of("client", "Client"),
        tooltip_of("group", "Group", kind="nominal"),
        tooltip_of("device", "Device", kind="nominal"),
        *(tooltip_of(stage, f"{stage.capitalize()} (s)", form=".4~g") for stage in _STAGES),
        tooltip_of("late", "After the round's end (s)", form=".4~g"),
        tooltip_of("lost", "Lost", kind="nominal"),
        tooltip_of("why", "Why", kind="nominal"),
    ]


def labels_spec(clients: int, labels: int) -> ChartSpec:
    """Return the heat map of labels by client: the darker, the larger a label's share of the client's examples."""
    return chart_spec(
        {
            "height": _step(clients) * max(1, clients),
            "data": {"name": "labels"},
            "mark": {"type": "rect", "color": ACCENT},
            "encoding": {
                "x": {"field": "label", "type": "nominal", "sort": None, "title": f"label ({labels})",
                      "axis": {"labelAngle": -60, "labelLimit": 90, "labelOverlap": True}},
                "y": {"field": "client", "type": "ordinal", "title": "client",
                      "axis": {"labelOverlap": True, "ticks": False}},
                "opacity": {"field": "share", "type": "quantitative", "title": "share of the client's examples",
                            "scale": {"range": [0.06, 1]}, "legend": {"format": ".0%", "titleLimit": 320}},
                "tooltip": [
                    tooltip_of("client", "Client"),
                    tooltip_of("label", "Label", kind="nominal"),
                    tooltip_of("examples", "Examples"),
                    tooltip_of("share", "Share", form=".1%"),
                ],
            },
        }
    )  # fmt: skip


def stage_spec(data: str, axis: Axis, stages: Sequence[str], boards: int) -> ChartSpec:
    """Return a bar for each board, by stage, in the unit of the axis."""
    title = axis.title
    return chart_spec(
        {
            "height": _BAR * max(1, boards),
            "data": {"name": data},
            "transform": [{"calculate": f"datum.value / {axis.size!r}", "as": "amount"}, _order(stages)],
            "mark": {"type": "bar", "height": {"band": 0.7}},
            "encoding": {
                "y": {"field": "board", "type": "nominal", "title": None, "axis": {"labelLimit": 130}},
                "x": {"aggregate": "sum", "field": "amount", "type": "quantitative", "title": title},
                "color": _stages(stages),
                "order": {"field": "order"},
                "tooltip": [
                    tooltip_of("board", "Board", kind="nominal"),
                    tooltip_of("stage", "Stage", kind="nominal"),
                    {"aggregate": "sum", "field": "amount", "title": title, "format": ".4~g"},
                ],
            },
        }
    )


def memory_spec(boards: int) -> ChartSpec:
    """Return the peak memory of each board as a share of its limit, which is the line at 100%."""
    y = {"field": "board", "type": "nominal", "title": None, "axis": {"labelLimit": 130}}
    bar = {
        "mark": {"type": "bar", "height": {"band": 0.6}, "color": ACCENT},
        "encoding": {
            "y": y,
            "x": {
                "field": "share",
                "type": "quantitative",
                "title": "peak, of the board's memory",
                "axis": {"format": ".0%"},
                "scale": {"domainMin": 0},
            },
            "tooltip": [
                tooltip_of("board", "Board", kind="nominal"),
                tooltip_of("share", "Of the limit", form=".2%"),
                tooltip_of("peak", "Peak (bytes)", form=","),
            ],
        },
    }
    limit = {"mark": {"type": "rule", "color": _LOST, "strokeWidth": 2}, "encoding": {"x": {"datum": 1.0}}}
    return chart_spec({"height": _BAR * max(1, boards), "data": {"name": "memory"}, "layer": [bar, limit]})


def _step(rows: int) -> int:
    """Return the height of a row, so that all fit a screen as far as they can be told apart."""
    return max(_LEAST_STEP, min(_MOST_STEP, _HEIGHT // max(1, rows)))


def _bands(axis: Axis) -> ChartSpec:
    return {
        "data": {"name": "trials"},
        "transform": [{"filter": "datum.shade == 0"}],
        "mark": {"type": "rect", "color": MUTED, "opacity": 0.13, "clip": True},
        "encoding": {"x": x_encoding(axis, f"{axis.key}_from"), "x2": {"field": axis.key}},
    }


def _upgrades(axis: Axis) -> ChartSpec:
    tooltip = [
        tooltip_of("trial", "Trial"),
        tooltip_of("winner", "Winner", kind="nominal"),
        tooltip_of("upgrade", "Upgrade to", kind="nominal"),
        tooltip_of("candidates", "Candidates", kind="nominal"),
    ]
    rule = {
        "mark": {"type": "rule", "color": MUTED, "strokeDash": [4, 3], "strokeWidth": 1.5, "clip": True},
        "encoding": {"tooltip": tooltip},
    }
    name = {
        "mark": {"type": "text", "angle": 270, "align": "right", "baseline": "bottom", "dx": -4, "dy": -2,
                 "fontSize": 11, "color": INK, "clip": True},
        "encoding": {"text": {"field": "upgrade"}, "y": {"value": 0}},
    }  # fmt: skip
    return {
        "data": {"name": "trials"},
        "transform": [{"filter": "isValid(datum.upgrade)"}],
        "encoding": {"x": x_encoding(axis)},
        "layer": [rule, name],
    }


def _stages(stages: Sequence[str]) -> dict[str, Any]:
    scale = {"domain": list(stages), "range": [STAGE_COLOURS[each] for each in stages]}
    return {"field": "stage", "type": "nominal", "scale": scale, "legend": {"title": None}}


def _order(stages: Sequence[str]) -> dict[str, Any]:
    return {"calculate": f"indexof({list(stages)!r}, datum.stage)", "as": "order"}
