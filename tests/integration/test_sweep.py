"""A sweep of real runs, and a real run that a repriced one must equal."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedlab.results.digests import compare_runs
from fedlab.results.folder import open_run

SWEEP = """
name = "small-sweep"
rounds = 2

[task]
data = "texts.csv"
max_length = 16
partition = { clients = 8 }

[backbone]
name = "bert-tiny"

[strategy]
name = "fedavg"
options = { clients_per_round = 4 }

[sweep]
seed = [0, 1]
"link.options.bandwidth" = ["1MB/s", "0.1MB/s"]

[[sweep.variants]]
name = "head"
set = { "client.depth" = 0 }

[[sweep.variants]]
name = "adapters"
set = { "client.depth" = 1, "rounds" = 1 }

[sweep.compare]
baseline = "head"
"""


@pytest.fixture(scope="module")
def swept(fedlab):
    """Sweep two variants by two seeds by two links, two cells at a time."""
    (fedlab.folder / "sweep.toml").write_text(SWEEP)
    words = ("--parallel", "2", "--set", f'engine.ray_address="{fedlab.ray_address}"')
    ended = fedlab("sweep", "sweep.toml", "--out", "swept", "--json", *words)
    assert ended.code == 0, ended.out + ended.err
    return ended


def test_every_cell_is_a_run_and_half_of_them_took_no_training(swept, fedlab):
    cells = {cell["name"]: cell for cell in swept.summary["cells"]}

    assert len(cells) == 8
    assert {cell["status"] for cell in cells.values()} == {"finished"}
    assert sum(cell["repriced_from"] is not None for cell in cells.values()) == 4
    for name in cells:
        assert open_run(fedlab.folder / "swept" / name).summary()["status"] == "finished"


def test_methods_are_compared_over_seeds_and_links(swept):
    rows = swept.summary["comparison"]["rows"]

    assert [(row["method"], *row["setting"].values(), row["seeds"]) for row in rows] == [
        ("head", "0.1MB/s", [0, 1]), ("adapters", "0.1MB/s", [0, 1]),
        ("head", "1MB/s", [0, 1]), ("adapters", "1MB/s", [0, 1]),
    ]  # fmt: skip


def test_tables_and_pictures_lie_in_the_sweeps_folder(swept, fedlab):
    names = {path.name for path in (fedlab.folder / "swept").rglob("*") if path.parent.name in ("swept", "plots")}

    assert names >= {"comparison.md", "comparison.csv", "comparison.json", "time-by-link.png", "accuracy-1MBs.png"}


def test_the_same_sweep_again_runs_nothing(swept, fedlab):
    again = fedlab("sweep", "sweep.toml", "--out", "swept", "--json", "--quiet")

    assert again.code == 0, again.err
    assert again.out.startswith("8 cells: all done\n")
    assert again.summary["comparison"] == swept.summary["comparison"]


@pytest.mark.slow
def test_a_repriced_cell_is_the_run_made_with_its_settings(swept, fedlab):
    billed = "adapters-seed-1-bandwidth-0.1MBs"
    assert {cell["name"]: cell["repriced_from"] for cell in swept.summary["cells"]}[billed] is not None

    made = fedlab("run", f"swept/{billed}/experiment.toml", "--out", "made", *fedlab.on_cluster(), "--quiet")

    assert made.code == 0, made.err
    assert compare_runs(open_run(fedlab.folder / "swept" / billed), open_run(fedlab.folder / "made")) == []


@pytest.mark.slow
def test_a_sweep_interrupted_by_ctrl_c_leaves_no_process_and_goes_on(swept, fedlab):
    command = [
        Path(sys.executable).with_name("fedlab"),
        "sweep",
        "sweep.toml",
        "--out",
        "cut",
        "--no-reprice",
        "--set",
        "rounds=30",
    ]
    command += ["--set", "sweep.seed=[0]", "--set", f'engine.ray_address="{fedlab.ray_address}"']
    process = subprocess.Popen(command, cwd=fedlab.folder, env=fedlab.environment, stderr=subprocess.PIPE, text=True)
    first = fedlab.folder / "cut" / "head-seed-0-bandwidth-1MBs"
    while not (first / "checkpoint" / "tree.json").exists():
        assert process.poll() is None
        time.sleep(0.2)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)

    assert (process.returncode, said) == (
        130,
        "fedlab: interrupted: 0 of 4 cells are done; run the same command to resume\n",
    )
    assert not any(os.path.exists(f"/proc/{child}") for child in children.split())
    rounds = json.loads((first / "checkpoint" / "tree.json").read_text())["tree"]["state"]["server_round"]

    ended = fedlab("sweep", "sweep.toml", "--out", "cut", "--set", "rounds=30", *command[8:], "--json")

    assert ended.code == 0, ended.err
    assert 0 < rounds < 30
    assert {len(open_run(path.parent).rounds()) for path in first.parent.glob("*/rounds.jsonl")} == {30}
