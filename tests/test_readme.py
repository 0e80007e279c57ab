"""The README's files run as they stand there, and its commands, tasks and links exist."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import typer
from safetensors.numpy import load_file

from fedlab.cli.main import app
from fedlab.config.file import experiment_from
from fedlab.server.factory import load_availability, load_link
from fedlab.sweep.file import load_sweep

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")),
]
FILES = dict(re.findall(r"^\*\*([\w./-]+)\*\*\n```\w+\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^\| `(fedlab [^`]+)` \|", README, re.MULTILINE)
MEGABIT = 125_000
BIN = Path(sys.executable).parent


def call(*command: str | Path, folder: Path, cache: Path) -> str:
    """Run a program of this environment in a folder and return what it prints."""
    environment = os.environ | {"FEDLAB_CACHE": str(cache), "COLUMNS": "200", "TERM": "dumb"}
    program, *words = command
    done = subprocess.run(
        [BIN / program, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write the README's files into a folder, as a user would."""
    place = tmp_path_factory.mktemp("readme")
    for name, text in FILES.items():
        (place / name).write_text(text)
    return place


@pytest.fixture(scope="module")
def mine(folder, cache):
    """Run the experiment made of a user's own parts, with all four clients in each of its three rounds."""
    settings = ["--set", "strategy.options.fraction_train=1.0"]
    call("fedlab", "run", "mine.toml", *settings, "--workers", "2", "--quiet", folder=folder, cache=cache)
    return folder / "runs" / "mine"


@pytest.fixture(scope="module")
def fedadam(folder, cache):
    """Run Flower's own strategy on little text with two of four clients, for two rounds."""
    little = {"rounds": 2, "task.data": "seasons.py:seasons", "task.max_length": 16, "task.partition.clients": 4}
    settings = [word for key, value in little.items() for word in ("--set", f"{key}={value}")]
    call("fedlab", "run", "fedadam.toml", *settings, "--workers", "2", "--quiet", folder=folder, cache=cache)
    return folder / "runs" / "fedadam"


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".py")])
def test_an_example_is_under_thirty_lines(name):
    assert len(FILES[name].splitlines()) < 30


def test_the_strategy_decides_by_the_measure_it_is_lent(mine):
    assert json.loads((mine / "summary.json").read_text())["status"] == "finished"
    measured = [each["validation_accuracy"] for each in records(mine / "rounds.jsonl")]
    kept = [accuracy for accuracy in measured if accuracy is not None]
    assert kept
    assert kept == sorted(set(kept)), "an average is taken over only where it is better"


def test_the_device_does_the_work_at_its_power(mine):
    clients = records(mine / "clients.jsonl")
    assert {each["device"] for each in clients} == {"phone.toml", "jetson-tx2"}
    for each in clients:
        if each["device"] == "phone.toml":
            transfer_seconds = each["download_seconds"] + each["upload_seconds"]
            waited = 0.5 * each["idle_seconds"]
            assert each["joules"] == pytest.approx(5 * each["compute_seconds"] + 1.5 * transfer_seconds + waited)


def test_the_data_set_names_the_labels(mine):
    head = json.loads((mine / "adapter" / "head_config.json").read_text())
    assert set(head["config"]["label2id"]) == {"summer", "winter"}


def test_the_link_is_slower_up_and_slow_in_every_third_round(mine):
    for each in records(mine / "clients.jsonl"):
        slow = 10 if each["server_round"] == 3 else 1
        assert each["download_seconds"] == pytest.approx(each["bytes_down"] / (20 * MEGABIT) * slow)
        assert each["upload_seconds"] == pytest.approx(each["bytes_up"] / (4 * MEGABIT) * slow)


def test_the_codec_sends_a_bit_a_value_up_and_none_down(mine):
    arrays = load_file(mine / "final.safetensors")
    values, overhead = sum(array.size for array in arrays.values()), 600  # what else a reply says, and headers
    for each in records(mine / "clients.jsonl"):
        assert values / 8 < each["bytes_up"] < values / 8 + 5 * len(arrays) + overhead
        assert 4 * values < each["bytes_down"]


def test_the_client_lets_every_fourth_ride_free(mine):
    clients = records(mine / "clients.jsonl")
    batches = sorted((each["server_round"], each["partition_id"], each["batches"]) for each in clients)
    assert batches == [(r, p, 5 if p else 0) for r in (1, 2, 3) for p in (0, 1, 2, 3)]
    assert all((each["compute_seconds"] == 0) == (each["partition_id"] == 0) for each in clients)


def test_a_strategy_of_flowers_own_trains_the_configuration_of_the_file(fedadam):
    clients = records(fedadam / "clients.jsonl")
    adapters = {"set": "bottleneck", "depth": 2, "width": 16}
    assert [each["configuration"] for each in clients] == [adapters] * 4
    assert json.loads((fedadam / "summary.json").read_text())["configuration"] == adapters


def test_the_saved_adapter_opens_in_its_library(fedadam, folder, cache):
    printed = call("python", "use_adapter.py", folder=folder, cache=cache)
    assert printed.split()[-1] in ("summer", "winter")


def test_the_records_are_read_by_pandas_in_a_line(fedadam, monkeypatch):
    line = re.search(r"^ {4}pandas\.read_json\(\"(.*?)\", lines=True\)$", README, re.MULTILINE)
    path = fedadam / Path(line[1]).name
    frame = pd.read_json(path, lines=True)
    assert list(frame["server_round"]) == [1, 2]
    columns = re.search(r"`(pandas\.json_normalize\(.*?\))` makes columns", README)
    found = eval(columns[1], {"pandas": pd, "frame": frame})
    assert list(found["configuration.depth"]) == [2, 2]


@pytest.mark.parametrize("command", ["show RUN", "verify RUN", "verify RUN RUN", "run --resume RUN"])
def test_a_run_that_has_ended_is_shown_verified_and_resumed(command, fedadam, folder, cache):
    assert call("fedlab", *command.replace("RUN", "runs/fedadam").split(), folder=folder, cache=cache)


def test_the_sweep_has_a_cell_for_each_method_seed_and_link(folder):
    sweep = load_sweep(folder / "methods.toml")
    assert [cell.experiment.label for cell in sweep.cells[:3]] == ["LF", "LF", "AdaFL"]
    assert len(sweep.cells) == 3 * 3 * 3
    assert (sweep.comparison.baseline, sweep.comparison.oracle) == ("LF", ("client.depth",))


def test_the_choices_of_an_experiment_are_keys_it_has():
    fragment = re.search(r"^    \[task\]\n(?:(?:    .*)?\n)+", README, re.MULTILINE)[0]
    experiment = experiment_from(tomllib.loads(fragment) | {"rounds": 1}, "README.md")
    assert experiment.task.partition.clients == 50


def test_the_links_and_the_availability_that_are_shown_can_be_made(tmp_path):
    fragment = re.search(r"^    \[link\]\n(?:(?:    .*)?\n)+", README, re.MULTILINE)[0]
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "lte.down").write_text("1\n")
    (tmp_path / "traces" / "phones.csv").write_text("partition_id,on_seconds,off_seconds\n0,0,60\n")
    experiment = experiment_from(tomllib.loads(fragment) | {"rounds": 1, "base_folder": str(tmp_path)}, "README.md")
    keys = {"partition_id": 5, "server_round": 1, "start_seconds": 0.0}
    assert load_link(experiment).transfer_seconds(1_500_000, direction="down", **keys) == pytest.approx(1.0)
    assert load_link(experiment).transfer_seconds(0, direction="up", **keys) == 0.05
    assert load_availability(experiment).until(5, server_round=1, at_seconds=0.0) == 60.0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_table_parses(command):
    _, name, *words = shlex.split(command)
    typer.main.get_command(app).commands[name].make_context(name, words)


@pytest.mark.parametrize("name", sorted({shlex.split(command)[1] for command in COMMANDS}))
def test_a_command_of_the_table_explains_itself(name, folder, cache):
    assert f"fedlab {name}" in call("fedlab", name, "--help", folder=folder, cache=cache)


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_somewhere(page):
    path = ROOT / page
    links = re.findall(r"\]\(([^)#\s]+)\)", path.read_text())
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_files_and_modules_that_are_named_exist(page):
    text = (ROOT / page).read_text()
    files = re.findall(r"`([a-z_]+/[\w./]+\.py)`", text)
    files += [name.replace(".", "/") + ".py" for name in re.findall(r"`(fedlab(?:\.[a-z]\w*)+)`", text)]
    places = {file: (ROOT / file, ROOT / "fedlab" / file, (ROOT / file).parent.with_suffix(".py")) for file in files}
    assert not [file for file, found in places.items() if not any(place.exists() for place in found)]


@pytest.mark.parametrize("page", PAGES)
def test_tasks_of_make_exist(page):
    tasks = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:`|^ {4})make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE)
    assert set(named) <= tasks


@pytest.mark.parametrize("path", sorted(ROOT.glob("experiments/*.toml")), ids=lambda path: path.name)
def test_a_ready_experiment_is_valid(path):
    assert experiment_from(tomllib.loads(path.read_text()), path.name)
