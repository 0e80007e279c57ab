"""`fedlab compare` and what it writes."""

import json
from functools import partial

import pytest

HOUR = 3600.0


@pytest.fixture
def command(fedlab):
    """Return a function that runs `fedlab compare`."""
    return partial(fedlab, "compare")


@pytest.fixture
def runs(recorded, tmp_path):
    recorded("runs/ft-0", [(10 * HOUR, 0.4), (30 * HOUR, 0.8)], {"label": "FT", "seed": 0}, validation=[0.3, 0.7])
    recorded("runs/ft-1", [(20 * HOUR, 0.4), (50 * HOUR, 0.8)], {"label": "FT", "seed": 1}, validation=[0.3, 0.7])
    recorded("runs/adafl", [(1 * HOUR, 0.4), (2 * HOUR, 0.8)], {"label": "AdaFL"}, validation=[0.7, 0.7])
    return tmp_path / "runs"


def test_methods_are_compared_in_tables(command, runs):
    code, out, err = command(runs, "--baseline", "FT", "--targets", "100,50")

    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "Time to accuracy (h)" in lines
    assert "FT 2 0.800±0.000 40±14 15.0±7.1" in lines
    assert "AdaFL 1 0.800 2.00 1.00" in lines
    assert "AdaFL 20.0x 15.0x" in lines


def test_accuracy_may_be_the_validation_splits(command, runs):
    code, out, _ = command(runs, "--split", "validation", "--targets", "100", "--json")

    values = json.loads(out.splitlines()[-1])
    assert code == 0
    assert {row["method"]: row["targets"][0]["seconds"]["mean"] for row in values["rows"]} == {
        "AdaFL": HOUR,
        "FT": 40 * HOUR,
    }


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("table.md", "### Time to accuracy"),
        ("table.csv", "method,choice,seeds"),
        ("table.json", '{\n  "options"'),
        ("table.tex", "\\begin{table}"),
        ("table.txt", "Time to accuracy"),
    ],
)
def test_a_file_is_written_in_the_format_of_its_name(command, runs, tmp_path, name, begins):
    code, out, err = command(runs, "--out", tmp_path / name)

    assert (code, out, err) == (0, "", "")
    assert (tmp_path / name).read_text().startswith(begins)


def test_a_format_can_be_said(command, runs, tmp_path):
    _, out, _ = command(runs, "--format", "csv")
    command(runs, "--format", "csv", "--out", tmp_path / "table.txt")

    assert out == (tmp_path / "table.txt").read_text()


def test_a_file_that_is_there_is_not_overwritten(command, runs, tmp_path):
    (tmp_path / "mine.md").write_text("mine")

    code, _, err = command(runs, "--out", tmp_path / "mine.md")

    assert (code, err.count("\n")) == (2, 1)
    assert (tmp_path / "mine.md").read_text() == "mine"


def test_pictures_are_drawn_into_a_folder(command, runs, tmp_path):
    code, _, err = command(runs, "--plots", tmp_path / "pictures", "--log-time")

    assert code == 0
    assert err == f"drawn: {tmp_path / 'pictures' / 'accuracy.png'}\n"
    assert (tmp_path / "pictures" / "accuracy.png").stat().st_size > 1000


def test_pictures_that_are_there_are_not_overwritten(command, runs):
    (runs / "accuracy.png").write_bytes(b"mine")

    code, out, err = command(runs, "--plots", runs)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert (runs / "accuracy.png").read_bytes() == b"mine"


def test_a_run_is_named_on_the_command_line(command, runs):
    _, out, _ = command(f"simulated={runs / 'adafl'}", f"deployed={runs / 'ft-0'}", "--format", "csv")

    assert [line.split(",")[0] for line in out.splitlines()[1::5]] == ["simulated", "deployed"]


WRONG = {
    "no run": (["nowhere"], 2, "nowhere: no such run folder"),
    "no accuracy on the split": (["RUNS", "--split", "validation", "--targets", "x"], 2, "targets = 'x'"),
    "an unknown baseline": (["RUNS", "--baseline", "AdaFl"], 2, "did you mean 'AdaFL'?"),
    "an accuracy above 1": (["RUNS", "--full-accuracy", "71"], 2, "full_accuracy = 71"),
    "an unknown split": (["RUNS", "--split", "train"], 2, "--split"),
    "nothing": ([], 2, "RUN"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_costs_one_line(command, runs, what):
    words, code, message = WRONG[what]

    ended, out, err = command(*(runs if word == "RUNS" else word for word in words))

    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert err.startswith("fedlab: ")
    assert message in err
