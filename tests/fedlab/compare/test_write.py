import csv
import io
import json
import re

import pytest
from rich.console import Console

from fedlab.compare.options import ComparisonOptions
from fedlab.compare.runs import find_runs
from fedlab.compare.summary import compare
from fedlab.compare.write import as_json, show, write

HOUR = 3600.0


@pytest.fixture
def comparison(recorded, tmp_path):
    """Compare FT, two seeds of which one is unfinished, with a method that has an awkward name."""
    recorded("a", [(10 * HOUR, 0.4), (30 * HOUR, 0.8)], {"label": "FT", "seed": 0})
    recorded("b", [(12 * HOUR, 0.4), (50 * HOUR, 0.8)], {"label": "FT", "seed": 1}, finished=False)
    recorded("c", [(5 * HOUR, 0.4), (6 * HOUR, 0.5)], {"label": "L_F | 50% & more"})
    options = ComparisonOptions(shares=(1.0, 0.5), baseline="FT")
    return compare(find_runs([str(tmp_path)], "test"), options)


def test_csv_is_a_line_a_method_and_target_in_plain_units(comparison):
    lines = list(csv.DictReader(io.StringIO(write(comparison, "csv"))))

    assert [(line["method"], line["share"]) for line in lines] == [
        ("FT", "1.0"), ("FT", "0.5"), ("L_F | 50% & more", "1.0"), ("L_F | 50% & more", "0.5"),
    ]  # fmt: skip
    assert float(lines[0]["seconds_mean"]) == 40 * HOUR
    assert float(lines[0]["seconds_std"]) == pytest.approx(200**0.5 * HOUR)
    assert (lines[0]["reached"], lines[0]["seeds"], lines[0]["unfinished"]) == ("2", "2", "1")
    assert {line["deployed"] for line in lines} == {"False"}
    assert [lines[2][key] for key in ("reached", "seconds_mean", "bytes_mean", "speedup")] == ["0", "", "", ""]
    assert float(lines[3]["speedup"]) == pytest.approx(11 / 5)


def test_json_holds_all_figures_and_null_where_nothing_was_reached(comparison):
    values = json.loads(write(comparison, "json"))

    assert values == json.loads(json.dumps(as_json(comparison)))
    first, second = values["rows"]
    assert first["targets"][0]["seconds"] == {"mean": 40 * HOUR, "std": pytest.approx(200**0.5 * HOUR), "count": 2}
    assert first["seeds"] == [0, 1]
    assert second["targets"][0]["seconds"] is None
    assert values["options"]["baseline"] == "FT"


def test_markdown_tables_have_as_many_cells_in_every_line(comparison):
    text = write(comparison, "markdown")

    tables = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "| FT * | 2 | 0.800±0.000 | 40±14 | 11.0±1.4 |" in text
    assert "never (best 0.500)" in text


def test_latex_escapes_what_means_something_to_it(comparison):
    text = write(comparison, "latex")

    assert text.count(r"\begin{tabular}{lrrrr}") == 1  # of time, which has seeds and best accuracies, too
    assert text.count(r"\begin{tabular}{lrr}") == 3
    assert r"L\_F | 50\% \& more" in text
    assert r"40$\pm$14" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {2, 4}


def test_text_is_as_wide_as_a_page_and_ends_with_the_notes(comparison):
    text = write(comparison, "text")

    assert max(map(len, text.splitlines())) <= 160
    assert "\x1b" not in text
    assert text.splitlines()[-2:][1].startswith("* not finished: ")


def test_a_pipe_gets_the_whole_width_of_a_page(comparison):
    console = Console(file=io.StringIO(), width=40)

    show(comparison, console)

    (line,) = [
        line for line in console.file.getvalue().splitlines() if "never (best 0.500)" in line and "6" not in line
    ][:1]
    assert "L_F | 50% & more" in line


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "json", "latex"])
def test_every_format_ends_with_one_newline(comparison, form):
    text = write(comparison, form)

    assert text.endswith("\n")
    assert not text.endswith("\n\n")
