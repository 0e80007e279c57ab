"""`fedlab estimate` prints what rounds cost, and refuses in a line what it cannot estimate."""

import inspect
import json
import re
from functools import partial
from pathlib import Path

import pytest

from fedlab.cli.estimate import estimate
from fedlab.estimate.named import Named

KEYS = ["seconds", "bytes_down", "bytes_up", "joules", "peak_memory_bytes", "by_segment"]
EXPERIMENT = """
rounds = 3
[task]
data = "someone/some_data" # of a hub that nobody asks
max_length = 64
partition = { clients = 6 }
[backbone]
name = "bert-tiny"
[client]
depth = 1
[fleet]
devices = { jetson-tx2 = 1, rpi-4b = 1 }
"""
FEDAVG = ["--set", "strategy={name = 'fedavg', options = {clients_per_round = 4}}"]
ADAFL = [
    "--set",
    "strategy={name = 'adafl', options = {clients_per_round = 6, base_seconds = 0.1}}",
    "--set",
    "rounds=12",
]


@pytest.fixture
def command(fedlab, monkeypatch, tmp_path):
    """Return a function that runs `fedlab estimate` in a folder with two trajectories and an experiment."""
    (tmp_path / "ft.csv").write_text("round,depth,width\n171,12,8\n")
    (tmp_path / "adafl.csv").write_text("round,depth,width\n80,0,8\n89,2,8\n181,2,16\n")
    (tmp_path / "planned.toml").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return partial(fedlab, "estimate")


def plain(command, *words):
    code, out, err = command(*words, "--json")
    assert code == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize(
    ("words", "hours"),
    [
        ([], 43.95175),
        (["--device", "jetson-nano"], 46.2935),
        (["--device", "rpi-4b"], 88.445),
        (["--codec", "int8"], 12.74425),
        (["--bandwidth", "10MB/s"], 6.50275),
    ],
)
def test_the_papers_hours_come_out(command, words, hours):
    found = plain(command, "ft.csv", "--method", "full", "--published", "--batches", "29", *words)
    assert found["seconds"] / 3600 == pytest.approx(hours, rel=1e-6)
    assert list(found) == KEYS


def test_the_readmes_trajectory_takes_what_the_readme_says(command):
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    Path("trajectory.csv").write_text(re.search(r"```csv\n(.*?)```", readme, re.DOTALL)[1])
    for words in (["trajectory.csv", "--published"], ["trajectory.csv"]):
        said = re.search(rf"fedlab estimate {' '.join(words)} +# ([\d,]+) s", readme)[1]
        assert f"{plain(command, *words)['seconds']:,.0f}" == said


def test_segments_add_up_to_the_whole(command):
    found = plain(command, "adafl.csv")
    assert [part["rounds"] for part in found["by_segment"]] == [80, 9, 92]
    for key in ("seconds", "bytes_down", "bytes_up", "joules"):
        assert sum(part[key] for part in found["by_segment"]) == pytest.approx(found[key])
    assert found["peak_memory_bytes"] == max(part["peak_memory_bytes"] for part in found["by_segment"])


def test_the_table_names_all_that_is_assumed(command):
    _, out, _ = command("adafl.csv")
    for word in ("adapter", "bert-base", "jetson-tx2", "1MB/s", "29 batches of 4 x 256 tokens", "20 labels", "181"):
        assert word in out
    _, out, _ = command("adafl.csv", "--published")
    assert "artifact" in out


def test_the_defaults_the_help_shows_are_those_in_use():
    shown = {
        name: parameter.annotation.__metadata__[0] for name, parameter in inspect.signature(estimate).parameters.items()
    }
    named = Named()
    for option, default in {
        "method": named.method,
        "codec": named.codec,
        "backbone": named.backbone,
        "device": named.device,
        "bandwidth": named.bandwidth,
        "batches": named.batches,
        "seq_len": named.sequence_length,
        "batch_size": named.batch_size,
        "labels": named.labels,
    }.items():
        assert re.match(rf"{default}\b", str(shown[option].show_default))


def test_a_planned_experiment_is_estimated_without_training(command):
    found = plain(command, "planned.toml", "--batches", "5", *FEDAVG)
    assert list(found)[:6] == KEYS
    assert found["by_segment"][0]["rounds"] == 3
    assert {board["device"] for board in found["by_device"]} == {"jetson-tx2", "rpi-4b"}
    assert found["run"]["participations"] == 12
    assert found["seconds"] >= max(board["seconds"] for board in found["by_device"]) * 0.5
    assert "bounds" not in found


def test_a_search_is_estimated_between_its_cheapest_and_dearest_way(command):
    _, shown, _ = command("planned.toml", "--batches", "5", *ADAFL)
    code, out, _ = command("planned.toml", "--batches", "5", "--json", *ADAFL)
    found = json.loads(out)
    assert code == 0
    assert "every trial is won by the group that stays as it is" in found["assumption"]
    assert "every trial is won by the largest group" in " ".join(shown.split())
    low, high = found["bounds"]["lower"], found["bounds"]["upper"]
    assert low["seconds"] == found["seconds"]
    assert low["bytes_up"] < high["bytes_up"]


def test_a_search_follows_a_trajectory_if_one_is_given(command):
    found = plain(command, "planned.toml", "--batches", "5", "--trajectory", "adafl.csv", *ADAFL)
    assert "trajectory" in found["assumption"]
    assert "bounds" not in found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.csv"], "none.csv: cannot be read: No such file"),
        (["none.toml"], "none.toml: cannot be read"),
        (["planned.toml", *FEDAVG], "--batches N"),
        (["planned.toml", "--method", "full"], "--method is for a trajectory"),
        (["planned.toml", "--seq-len", "64"], "--seq-len is for a trajectory"),
        (["planned.toml", "--published"], "--published is for a trajectory"),
        (["planned.toml", "--batches", "5", "--trajectory", "ft.csv", *FEDAVG], "has no trials that could follow it"),
        (
            ["planned.toml", "--batches", "5", "--trajectory", "ft.csv", *ADAFL],
            "--trajectory: depth 12 up to round 171, expected 0 to 2",
        ),
        (["ft.csv", "--set", "rounds=3"], "--set is for an experiment"),
        (["ft.csv", "--trajectory", "ft.csv"], "--trajectory is for an experiment"),
        (["ft.csv", "--device", "jetson-tx3"], "unknown device 'jetson-tx3', nearest is 'jetson-tx2'"),
        (["ft.csv", "--bandwidth", "fast"], "bandwidth 'fast' is not usable"),
        (["ft.csv", "--bandwidth", "1e-310MB/s", "--published"], "bandwidth '1e-310MB/s' is not usable"),
        (["ft.csv", "--published", "--labels", "4"], "--labels sets the size of the head"),
        (["ft.csv", "--batches", "0"], "--batches"),
        (["ft.csv", "--codec", "int2"], "--codec"),
        (["ft.csv", "--backbone", "./none"], "--backbone: no folder none"),
        (["ft.csv", "--backbone", "distilbert-base"], "depth 12 up to round 171, expected 0 to 6"),
    ],
)
def test_what_cannot_be_estimated_costs_one_line_and_exit_code_2(command, words, message):
    code, out, err = command(*words)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not out
