"""The specifications are ones that Vega-Lite compiles, of data that the page has; they need no browser for that."""

import json
import re
from dataclasses import replace

import pytest
import vl_convert

from fedlab.compare.page import page_of
from fedlab.results.html.columns import rows_of
from fedlab.results.html.parts import ChartFigure
from fedlab.results.html.run_page import run_page
from fedlab.results.html.run_records import read_run


def charts(page):
    return [each.chart for section in page.sections for each in section.parts if isinstance(each, ChartFigure)]


def names(value, key):
    """Yield what stands under a key anywhere in a specification."""
    if isinstance(value, dict):
        if key in value and not isinstance(value[key], dict | list):
            yield value[key]
        for each in value.values():
            yield from names(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from names(each, key)


@pytest.fixture
def comparison(recorded, tmp_path):
    recorded("sweep/a", [(10.0, 0.3), (20.0, 0.6)], {"label": "A"})
    recorded("sweep/b", [(15.0, 0.5), (30.0, 0.55)], {"label": "B"})
    return page_of([str(tmp_path / "sweep")])[0]


def check(chart):
    data = chart.datasets or {"timeline": next(iter(chart.rounds.values())).bars}
    for spec in chart.specs.values():
        said = [each["name"] for each in _data_of(spec)]
        assert said
        assert set(said) <= set(data), chart.key
        values = {name: rows_of(columns) for name, columns in data.items()}
        compiled = json.dumps(vl_convert.vegalite_to_vega(spec | {"datasets": values}))
        assert '"signals"' in compiled or '"marks"' in compiled
        assert not re.findall(r"#[0-9a-f]{6}", json.dumps(spec)), "colours are the page's"


def _data_of(spec):
    own = [spec["data"]] if "data" in spec else []
    return own + [each for layer in spec.get("layer", []) for each in _data_of(layer)]


def test_all_charts_of_a_run_compile(adafl_run):
    found = charts(run_page(read_run(adafl_run)))

    assert len(found) == 9
    for chart in found:
        check(chart)


def test_all_charts_of_a_comparison_compile(comparison):
    found = charts(comparison)

    assert [each.key for each in found] == ["curves", "fronts"]
    for chart in found:
        check(chart)


def test_who_dropped_out_is_marked_only_in_rounds_where_anyone_did(adafl_run, client, round_):
    whole = read_run(adafl_run)
    clients = [client(), client(server_round=2, error="went away", dropout="gone")]
    rounds = [round_(1, 10.0, clients=clients[:1]), round_(2, 20.0, clients=clients[1:])]
    (chart,) = [
        each
        for each in charts(run_page(replace(whole, rounds=rounds, trials=[], clients=clients)))
        if each.key == "timeline"
    ]

    shapes = {key: list(names(chart.specs[each.spec], "shape")) for key, each in chart.rounds.items()}
    assert shapes == {"1": [], "2": ["cross"]}
