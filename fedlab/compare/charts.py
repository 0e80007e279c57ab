"""The charts of a comparison's page: accuracy by method, and Pareto fronts."""

from collections.abc import Sequence
from statistics import fmean

from fedlab.compare.fronts import CostKind, front_points
from fedlab.compare.measurements import Measurement
from fedlab.compare.summary import Comparison, SummaryRow
from fedlab.results.html.charts import Chart
from fedlab.results.html.columns import ChartColumns, columns, thinned
from fedlab.results.html.curves import Axis, Spending, axes_up_to, place
from fedlab.results.html.vega import ChartSpec, chart_spec, line_styles, tooltip_of, x_encoding, zoom

_MOST_POINTS = 250  # of a line


def method_names(comparison: Comparison) -> list[str]:
    """Return what each row is called, with the values of its setting that are not the default."""
    return [", ".join([row.name, *(value for value in row.setting if value != "default")]) for row in comparison.rows]


def curves_chart(comparison: Comparison) -> Chart:
    """Return accuracy over time, rounds, energy and traffic: the mean over seeds of each method, and its seeds."""
    names = method_names(comparison)
    over = axes_up_to(_furthest(comparison.rows), time="Time")
    if not any(each.joules for row in comparison.rows for curve in row.curves for each in curve):
        over = [axis for axis in over if axis.key != "energy"]
    rows = [
        {**{axis.key: place(_spending(each), axis) for axis in over}, "method": name, "accuracy": each.accuracy,
         "seed": seed, "line": f"{name} {seed}"}
        for name, row in zip(names, comparison.rows, strict=True)
        for seed, curve in [*zip(map(str, row.seeds), row.curves, strict=True), ("mean", mean_curve(row.curves))]
        for each in (curve[at] for at in thinned(len(curve), _MOST_POINTS))
    ]  # fmt: skip
    found = columns(rows, [*(axis.key for axis in over), "method", "accuracy", "seed", "line"])
    said = f"Line chart: {comparison.options.split} accuracy of {', '.join(names)}. The tables have the numbers."
    specs = {axis.key: curves_spec(axis, names, comparison.options.split) for axis in over}
    return Chart(key="curves", summary=said, specs=specs, datasets={"curves": found})


def fronts_chart(comparison: Comparison, kinds: Sequence[CostKind]) -> Chart:
    """Return accuracy against each kind of cost that is known, with the points that are on the front."""
    names = method_names(comparison)
    specs: dict[str, ChartSpec] = {}
    datasets: dict[str, ChartColumns] = {}
    for kind in kinds:
        axis, found = _front_columns(comparison, kind, names)
        if found["method"]:
            specs[kind], datasets[f"front-{kind}"] = fronts_spec(f"front-{kind}", axis, names), found
    said = (
        f"Scatter plot: accuracy against {', '.join(specs)} of {', '.join(names)}, with the Pareto front. The table of"
        " methods says on which fronts each one is."
    )
    return Chart(key="fronts", summary=said, specs=specs, datasets=datasets)


def curves_spec(axis: Axis, names: Sequence[str], split: str) -> ChartSpec:
    """Return the accuracy of methods over an axis: thin lines for seeds, thick ones for their means."""
    encoding = {
        "x": x_encoding(axis, nice=True),
        "y": {
            "field": "accuracy",
            "type": "quantitative",
            "title": f"{split} accuracy",
            "scale": {"zero": False, "padding": 6},
        },
        **line_styles("method", names),
        "detail": {"field": "line", "type": "nominal"},
    }
    tooltip = [
        tooltip_of("method", "Method", kind="nominal"),
        tooltip_of("seed", "Seed", kind="nominal"),
        tooltip_of("accuracy", "Accuracy", form=".4f"),
        tooltip_of(axis.key, axis.title),
    ]
    seeds = {
        "transform": [{"filter": "datum.seed != 'mean'"}],
        "mark": {"type": "line", "strokeWidth": 1, "opacity": 0.35, "clip": True},
    }
    means = {
        "transform": [{"filter": "datum.seed == 'mean'"}],
        "params": [zoom()],
        "mark": {"type": "line", "strokeWidth": 2.5, "clip": True, "point": {"size": 16}},
        "encoding": {"tooltip": tooltip},
    }
    return chart_spec({"height": 320, "data": {"name": "curves"}, "encoding": encoding, "layer": [seeds, means]})


def fronts_spec(data: str, axis: Axis, names: Sequence[str]) -> ChartSpec:
    """Return the accuracy of methods against a cost; filled points are on the Pareto front."""
    encoding = {
        "x": x_encoding(axis, nice=True),
        "y": {
            "field": "accuracy",
            "type": "quantitative",
            "title": "best accuracy so far",
            "scale": {"zero": False, "padding": 6},
        },
    }
    styles = line_styles("method", names)
    lines = {"mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1, "opacity": 0.5, "clip": True},
             "encoding": styles}  # fmt: skip
    points = {
        "params": [zoom()],
        "mark": {"type": "point", "size": 60, "strokeWidth": 1.6, "clip": True},
        "encoding": {
            "color": styles["color"],
            "fill": styles["color"],
            "fillOpacity": {"condition": {"test": "datum.front == 'on the front'", "value": 1}, "value": 0},
            "tooltip": [
                tooltip_of("method", "Method", kind="nominal"),
                tooltip_of("accuracy", "Accuracy", form=".4f"),
                tooltip_of(axis.key, axis.title),
                tooltip_of("round", "Round"),
                tooltip_of("front", "Pareto", kind="nominal"),
            ],
        },
    }
    return chart_spec({"height": 320, "data": {"name": data}, "encoding": encoding, "layer": [lines, points]})


def mean_curve(curves: Sequence[Sequence[Measurement]]) -> list[Measurement]:
    """Return the mean over seeds at the rounds that all of them have measured."""
    by_round = [{each.server_round: each for each in curve} for curve in curves]
    common = sorted(set.intersection(*(set(each) for each in by_round)))
    return [
        Measurement(
            server_round=at,
            seconds=fmean(each[at].seconds for each in by_round),
            accuracy=fmean(each[at].accuracy for each in by_round),
            num_bytes=round(fmean(each[at].num_bytes for each in by_round)),
            joules=fmean(each[at].joules for each in by_round),
        )
        for at in common
    ]


def _front_columns(comparison: Comparison, kind: CostKind, names: Sequence[str]) -> tuple[Axis, ChartColumns]:
    points = front_points(comparison.rows, kind)
    most = max((each.cost for each in points), default=0.0)
    axis = _cost_axis(kind, most)
    by_method = [[point for point in points if point.row == at] for at in range(len(names))]
    kept = [own[at] for own in by_method for at in thinned(len(own), _MOST_POINTS)]
    rows = [
        {"method": names[each.row], "accuracy": each.accuracy, axis.key: each.cost / axis.size,
         "round": each.server_round, "front": "on the front" if each.on_front else "beaten"}
        for each in kept
    ]  # fmt: skip
    return axis, columns(rows, ("method", "accuracy", axis.key, "round", "front"))


def _cost_axis(kind: CostKind, most: float) -> Axis:
    end = Spending(server_round=0, seconds=most, joules=most, num_bytes=round(most))
    axes = {each.key: each for each in axes_up_to(end, time="Time")}
    if kind == "memory":
        traffic = axes["traffic"]
        unit = traffic.title.rpartition("(")[2]
        return Axis(key="memory", title=f"Peak memory of a client ({unit}", size=traffic.size)
    return axes.get(kind, Axis(key=kind, title="Energy (J)"))


def _furthest(rows: Sequence[SummaryRow]) -> Spending:
    """Return the ends of the axes: the most of each cost."""
    found = [each for row in rows for curve in row.curves for each in curve]
    return Spending(
        server_round=max(each.server_round for each in found),
        seconds=max(each.seconds for each in found),
        joules=max(each.joules for each in found),
        num_bytes=max(each.num_bytes for each in found),
    )


def _spending(each: Measurement) -> Spending:
    return Spending(server_round=each.server_round, seconds=each.seconds, joules=each.joules, num_bytes=each.num_bytes)
