import json
import re

import pytest

from fedlab.compare.page import page_of
from fedlab.errors import RunFailedError
from fedlab.results.html.parts import ChartFigure, PageTable
from fedlab.results.html.render import render_body


@pytest.fixture
def sweep(recorded, tmp_path):
    """Return a folder of two methods with three seeds each."""
    for seed in range(3):
        recorded(f"sweep/a-{seed}", [(10.0, 0.3), (20.0 + seed, 0.6 + seed / 10)], {"label": "A", "seed": seed})
        recorded(f"sweep/b-{seed}", [(15.0, 0.5), (30.0, 0.55)], {"label": "B", "seed": seed})
    return tmp_path / "sweep"


def tables(page):
    return {each.key: each for section in page.sections for each in section.parts if isinstance(each, PageTable)}


def charts(page):
    return {
        each.key: each.chart for section in page.sections for each in section.parts if isinstance(each, ChartFigure)
    }


def test_one_run_has_its_own_page_in_its_folder(sweep):
    page, place = page_of([str(sweep / "a-0")])

    assert (page.kind, place) == ("fedlab report of a run", sweep / "a-0" / "report.html")


def test_a_comparison_has_mean_and_deviation_over_seeds_of_whole_runs(sweep):
    page, place = page_of([str(sweep)])

    a, b = tables(page)["outcome-table"].rows
    assert (page.title, str(place)) == ("2 methods, 6 runs", "report.html")
    assert a == ["A", "time, energy, traffic, memory", "3", "0.70±0.10", "21.0±1.0 s", "200±0 J", "4.00±0.00 kB",
                 "1.00±0.00 GB"]  # fmt: skip
    assert b[1] == "time, energy, traffic"


def test_the_runs_differ_in_keys_of_the_experiment_and_not_in_what_they_used_of_a_machine(recorded, tmp_path):
    for seed, depth in enumerate((1, 2)):
        machine = {"engine.ray_address": f"127.0.0.1:{seed + 1}", "engine.activations": f"kept-{seed}"}
        recorded(f"two/{depth}", [(10.0, 0.5)], {"client.depth": depth, "seed": seed, **machine})

    page, _ = page_of([str(tmp_path / "two")])

    assert tables(page)["run-table"].headings == ["run", "method", "seed", "state", "client.depth"]


def test_time_begins_at_zero(sweep):
    for chart in charts(page_of([str(sweep)])[0]).values():
        (scale,) = re.findall(r'"field": "time".*?"scale": ({.*?})', json.dumps(chart.specs["time"]))[:1]
        assert json.loads(scale) == {"nice": True, "zero": True, "padding": 0}


def test_curves_are_those_of_each_seed_and_their_mean(sweep):
    found = charts(page_of([str(sweep)])[0])["curves"]

    rows = found.datasets["curves"]
    means = [
        (method, time, accuracy)
        for method, seed, time, accuracy in zip(
            rows["method"], rows["seed"], rows["time"], rows["accuracy"], strict=True
        )
        if seed == "mean"
    ]
    assert means == [("A", 10, 0.3), ("A", 21, 0.7), ("B", 15, 0.5), ("B", 30, 0.55)]
    assert list(found.specs) == ["time", "round", "energy", "traffic"]
    assert set(rows["seed"]) == {"0", "1", "2", "mean"}


def test_fronts_are_drawn_against_time_energy_traffic_and_memory(sweep):
    found = charts(page_of([str(sweep)])[0])["fronts"]

    assert list(found.specs) == ["time", "energy", "traffic", "memory"]
    assert found.datasets["front-time"]["front"] == ["on the front"] * 2 + ["on the front", "beaten"]


def test_energy_that_is_not_known_is_not_drawn(recorded, tmp_path):
    for name in ("a", "b"):
        path = recorded(f"real/{name}", [(10.0, 0.5)], {"label": name})
        text = (path / "clients.jsonl").read_text()
        (path / "clients.jsonl").write_text(text.replace('"joules": 50.0', '"joules": 0.0'))

    page, _ = page_of([str(tmp_path / "real")])

    assert list(charts(page)["curves"].specs) == ["time", "round", "traffic"]
    assert list(charts(page)["fronts"].specs) == ["time", "traffic", "memory"]
    assert tables(page)["outcome-table"].rows[0][5] == "unknown"


def test_the_page_names_the_commands_that_repeat_the_runs(sweep):
    text = render_body(page_of([str(sweep)])[0])

    assert f"fedlab run {sweep}/a-0/experiment.toml" in text
    assert f"fedlab report {sweep}" in text


def test_methods_in_several_settings_are_told_apart_and_each_task_has_its_own_front(recorded, tmp_path):
    for length in (32, 64):
        recorded(f"two/{length}", [(10.0, 0.5)], {"label": "A", "task.max_length": length})

    page, _ = page_of([str(tmp_path / "two")])

    assert page.lead == "A, 32; A, 64"
    assert "Each task with its backbone has a front of its own." in render_body(page)


def test_runs_without_a_measured_accuracy_are_refused(recorded, tmp_path):
    for name in ("a", "b"):
        recorded(f"none/{name}", [(10.0, None)], {"label": name})

    with pytest.raises(RunFailedError, match="nothing to compare"):
        page_of([str(tmp_path / "none")])
