"""`fedlab data` on a small file with faults."""

import json

import pytest

EXPERIMENT = """
name = "small"
rounds = 1

[task]
data = "texts.csv"
max_length = 8
partition = { scheme = "dirichlet", alpha = 0.5, clients = 6, below_min = "drop" }

[backbone]
name = "bert-tiny"
"""


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Write an experiment on 100 texts, and two without a label, into the folder of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))
    lines = [f"a text of day {i},day" if i % 2 else f"and one of night {i},night " for i in range(100)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *lines, "no label,", "none here, "]) + "\n")
    (tmp_path / "small.toml").write_text(EXPERIMENT)
    return tmp_path


def test_what_was_read_is_shown_as_tables_json_and_a_picture(fedlab, small):
    code, out, err = fedlab("data", "small.toml")
    assert (code, err) == (0, "")
    assert "day" in out
    assert "left out: 2 without a label" in out

    again = fedlab("data", "small.toml", "--json", "--out", "there")
    report = json.loads(again.out)
    assert (again.code, again.out.count("\n")) == (0, 1)
    assert report == json.loads((small / "there" / "data.json").read_text())
    assert report == json.loads((small / "runs" / "small-data" / "data.json").read_text())
    assert (small / "there" / "data.png").stat().st_size > 1000
    assert report["splits"]["train"]["examples"] == sum(report["clients"]["examples"]) == 70
    assert set(report["splits"]["train"]["labels"]) == {"day", "night"}
    assert report["left_out"] == {"train": {"no_text": 0, "no_label": 2}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.toml"], "nowhere.toml: cannot be read"),
        (["small.toml", "--set", "task.label=lable"], "task.label: no column 'lable'"),
        (["small.toml", "--set", "task.delimiter=;"], "not separated by ';' but, it seems, by ',': set task.delimiter"),
    ],
)
def test_what_is_wrong_costs_one_line_and_leaves_nothing_behind(fedlab, small, words, message):
    code, out, err = fedlab("data", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (small / "runs").exists()
