"""The page shows the measures beside the score, where a run has recorded some."""

from dataclasses import replace

import pytest

from fedlab.results.html.measures_section import measures_section
from fedlab.results.html.run_page import run_page
from fedlab.results.html.run_records import read_run


@pytest.fixture(scope="session")
def measured(adafl_run):
    run = read_run(adafl_run)
    more = {
        "measures": {
            "validation": {"macro-f1": 0.25, "loss": 1.5},
            "test": {"macro-f1": 0.5},
            "clients": {"mean": 0.75, "worst-tenth": 0.5, "deviation": 0.125},
        },
        "labels": {"sun": {"precision": 1.0, "recall": 0.5, "f1": 0.6666, "examples": 12}},
    }
    return replace(run, summary={**run.summary, **more})


def test_measures_are_listed_by_split_over_the_clients_and_by_label(measured):
    tables = {each.key: each for each in measures_section(measured).parts}
    assert tables["measures-table"].headings == ["measure", "validation", "test"]
    assert tables["measures-table"].rows == [["macro-f1", "0.250", "0.500"], ["loss", "1.5", "-"]]
    assert tables["clients-table"].rows == [["0.750", "0.500", "0.125"]]
    assert tables["measures-by-label"].rows == [["sun", "1.000", "0.500", "0.667", "12"]]


def test_a_page_has_measures_where_there_are_some(measured, adafl_run):
    assert "measures" in [each.key for each in run_page(measured).sections]
    old = replace(
        measured, summary={key: value for key, value in measured.summary.items() if key not in ("measures", "labels")}
    )
    assert measures_section(old) is None
