"""The files of docs/extend run together in one experiment, and each does what its page says; so do other examples."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import load_file

from fedlab.config.file import load_experiment
from fedlab.server.factory import load_availability

ROOT = Path(__file__).parents[2]
EXTEND = ROOT / "docs" / "extend"
FROM = ROOT / "docs" / "coming-from"
PYTHON = re.compile(r'^```python(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)
BIN = Path(sys.executable).parent
MEGABIT = 125_000
# The files that pages show, and the test that runs them.
SHOWN = {
    "keep_the_best.py": "test_the_strategy_keeps_only_what_is_better",
    "free_riders.py": "test_the_client_lets_every_fourth_ride_free",
    "seasons.py": "test_the_data_set_names_the_labels",
    "mobile_link.py": "test_the_link_is_slower_up_and_slow_in_every_third_round",
    "signs.py": "test_the_codec_sends_a_bit_a_value_up_and_none_down",
    "office_hours.py": "test_the_clients_are_there_in_office_hours",
    "use_adapter.py": "test_the_saved_adapter_opens_in_its_library",
}


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
    """Return a folder with the files of docs/extend, and those of the pages for people who come from elsewhere."""
    place = tmp_path_factory.mktemp("docs")
    for path in [
        *EXTEND.glob("*.py"),
        *EXTEND.glob("*.toml"),
        *FROM.glob("*.toml"),
        ROOT / "docs/reference/use_adapter.py",
    ]:
        shutil.copy(path, place)
    return place


@pytest.fixture(scope="module")
def mine(folder, cache):
    """Run the experiment made of a user's own parts, with all four clients in each of its three rounds."""
    settings = ["--set", "strategy.options.fraction_train=1.0"]
    call("fedlab", "run", "mine.toml", *settings, "--workers", "2", "--quiet", folder=folder, cache=cache)
    return folder / "runs" / "mine"


@pytest.fixture(scope="module")
def flower(folder, cache):
    """Run Flower's own strategy on little text with two of four clients, for two rounds."""
    little = {
        "rounds": 2,
        "task.data": "seasons.py:seasons",
        "task.max_length": 16,
        "task.partition.clients": 4,
        "strategy.options.fraction_train": 0.5,
        "client.depth": 2,
    }
    settings = [word for key, value in little.items() for word in ("--set", f"{key}={value}")]
    call("fedlab", "run", "flower.toml", *settings, "--workers", "2", "--quiet", folder=folder, cache=cache)
    return folder / "runs" / "flower"


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", list(SHOWN))
def test_an_example_is_under_thirty_lines(name):
    (path,) = ROOT.glob(f"docs/*/{name}")
    assert len(path.read_text().splitlines()) < 30


def test_each_file_of_code_that_a_page_shows_is_run_by_a_test():
    titles = {title for page in ROOT.glob("docs/*/*.md") for title, _ in PYTHON.findall(page.read_text()) if title}
    assert titles == set(SHOWN)
    assert set(SHOWN.values()) <= set(globals())


def test_the_strategy_keeps_only_what_is_better(mine):
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


def test_the_clients_are_there_in_office_hours(folder):
    (folder / "office.toml").write_text(
        'rounds = 1\n[availability]\nname = "office_hours.py:office_hours"\noptions = { hours = 2 }\n'
    )
    hours = load_availability(load_experiment(folder / "office.toml"))
    assert hours.available(0, server_round=1, at_seconds=7199.0)
    assert not hours.available(0, server_round=1, at_seconds=7200.0)
    assert hours.until(0, server_round=1, at_seconds=86_400.0) == 86_400 + 7200
    assert (hours.next_change(10.0), hours.next_change(8000.0)) == (7200, 86_400)


def test_a_strategy_of_flowers_own_trains_the_configuration_of_the_file(flower):
    clients = records(flower / "clients.jsonl")
    adapters = {"set": "bottleneck", "depth": 2, "width": 8}
    assert [each["configuration"] for each in clients] == [adapters] * 4
    assert json.loads((flower / "summary.json").read_text())["configuration"] == adapters


def test_the_saved_adapter_opens_in_its_library(flower, folder, cache):
    shutil.copytree(flower, folder / "runs" / "quickstart", dirs_exist_ok=True)  # the run that the file opens
    printed = call("python", "use_adapter.py", folder=folder, cache=cache)
    assert printed.split()[-1] in ("summer", "winter")


def test_the_records_are_read_by_pandas_in_a_line(flower, monkeypatch, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "quickstart").symlink_to(flower)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/reference/run-folder.md").read_text()
    blocks = [code for title, code in PYTHON.findall(page) if not title]
    tables = [last_value(code) for code in blocks]
    assert list(tables[0]["server_round"]) == [1, 2]
    assert list(tables[1]["configuration.depth"]) == [2, 2]


def last_value(code: str) -> pd.DataFrame:
    """Run a block of code and return the value of its last line."""
    *lines, last = code.strip().splitlines()
    names: dict = {}
    exec("\n".join(lines), names)
    return eval(last, names)


OTHER_BLOCKS = [
    (page.relative_to(ROOT).as_posix(), code)
    for page in sorted(ROOT.glob("docs/*/*.md"))
    for title, code in PYTHON.findall(page.read_text())
    if not title and page.name != "run-folder.md"
]


@pytest.mark.parametrize(("page", "code"), OTHER_BLOCKS, ids=[page for page, _ in OTHER_BLOCKS])
def test_code_of_a_page_runs(page, code, monkeypatch, tmp_path, cache):
    monkeypatch.setenv("FEDLAB_CACHE", str(cache))
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    assert len(names) > 1


@pytest.mark.parametrize("command", ["show RUN", "verify RUN", "verify RUN RUN", "run --resume RUN"])
def test_a_run_that_has_ended_is_shown_verified_and_resumed(command, flower, folder, cache):
    assert call("fedlab", *command.replace("RUN", "runs/flower").split(), folder=folder, cache=cache)


def test_fedscales_traces_become_what_the_example_names(folder, cache):
    devices = {1: {"computation": 100.0, "communication": 8000.0}, 2: {"computation": 50.0, "communication": 4000.0}}
    times = {1: {"active": [0, 100], "inactive": [50, 150], "finish_time": 200}}
    (folder / "client_device_capacity").write_bytes(pickle.dumps(devices))
    (folder / "client_behave_trace").write_bytes(pickle.dumps(times))
    page = (FROM / "fedscale.md").read_text()
    for command in re.findall(r"^fedlab (import-traces .*)$", page, re.MULTILINE):
        call("fedlab", *command.split(), folder=folder, cache=cache)
    printed = call("fedlab", "estimate", "fedscale.toml", "--batches", "5", "--json", folder=folder, cache=cache)
    assert json.loads(printed)["seconds"] > 0


def test_fedadapters_search_is_priced_without_its_data(folder, cache):
    page = (FROM / "fedadapter.md").read_text()
    (words,) = re.findall(r"^fedlab estimate docs/coming-from/(fedadapter\.toml .*?) +#", page, re.MULTILINE)
    command = ["estimate", *words.split(), "--set", "rounds=4", "--json"]
    assert json.loads(call("fedlab", *command, folder=folder, cache=cache))["seconds"] > 0
