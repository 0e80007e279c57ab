"""Records made by hand, a planned run of AdaFL with its page, and a browser where there is one."""

import json
import shutil
import time
from pathlib import Path

import pytest

from fedlab.config.file import experiment_from
from fedlab.results.records import CandidateRecord, ClientRecord, GroupRecord, RoundRecord, TrialRecord, group_records

OLD_RUNS = Path(__file__).parents[1] / "old_runs"
ADAFL = {
    "name": "planned",
    "rounds": 8,
    "task": {"max_length": 16, "partition": {"clients": 8}},
    "backbone": {"name": "bert-tiny"},
    "fleet": {"devices": {"jetson-tx2": 1.0, "jetson-nano": 1.0}},
    "strategy": {"name": "adafl", "options": {"clients_per_round": 6, "base_seconds": 0.02}},
}


@pytest.fixture
def client():
    """Return a function that makes a client's record; by default it takes 1 + 4 + 2 seconds and waits for 3."""

    def make(**given):
        said = {
            "server_round": 1, "group": "train", "partition_id": 0, "device": "jetson-tx2",
            "configuration": {"set": "bottleneck", "depth": 2, "width": 8}, "num_examples": 10, "batches": 5,
            "train_loss": 1.0, "compute_seconds": 4.0, "download_seconds": 1.0, "upload_seconds": 2.0, "joules": 20.0,
            "bytes_down": 100, "bytes_up": 50, "peak_memory_bytes": 10**9, "idle_seconds": 3.0, "idle_joules": 2.0,
            "latency_provenance": "published", "energy_provenance": "assumed", "memory_provenance": "scaled",
        }  # fmt: skip
        return ClientRecord(**said | given)

    return make


@pytest.fixture
def round_():
    """Return a function that makes a round's record of its clients' records, or of plain costs."""

    def make(number, seconds, *, clients=(), validation=None, test=None, trial=None, depth=2, joules=10.0, sent=100):
        configuration = {"set": "bottleneck", "depth": depth, "width": 8}
        plain = GroupRecord(
            group="train", configuration=configuration, clients=1, failures=0, seconds=1.0, joules=joules,
            bytes_down=sent, bytes_up=sent, train_loss=1.0 / number,
        )  # fmt: skip
        return RoundRecord(
            server_round=number, trial=trial, simulated_seconds=seconds, configuration=configuration,
            groups=group_records(clients) if clients else [plain], validation_accuracy=validation, test_accuracy=test,
            wall_seconds=0.0,
        )  # fmt: skip

    return make


@pytest.fixture
def trial():
    """Return a function that makes a trial's record of two groups, of which the deeper is an upgrade."""

    def make(number, last_round, *, winner="deep", ended=0.0):
        depths = {"shallow": 2, "deep": 3}
        candidates = [
            CandidateRecord(
                group=group, configuration={"set": "bottleneck", "depth": depth, "width": 8}, rounds=1, seconds=1.0,
                joules=1.0, bytes_down=1, bytes_up=1, validation_accuracy=depth / 10,
            )
            for group, depth in depths.items()
        ]  # fmt: skip
        return TrialRecord(
            trial=number, server_round=last_round, started_seconds=0.0, ended_seconds=ended, budget_seconds=1.0,
            candidates=candidates, winner=winner,
            configuration={"set": "bottleneck", "depth": depths[winner], "width": 8},
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def adafl_run(planned_run, tmp_path_factory):
    """Return the folder of a finished run of AdaFL with planned clients, on two kinds of boards."""
    folder = planned_run(experiment_from(ADAFL, "test"), tmp_path_factory.mktemp("planned") / "run")
    labels = {"examples": [3] * 8, "without_client": 0, "labels": ["day", "night"], "counts": [[3, 0], [1, 2]] * 4}
    splits = {"train": {"examples": 24, "labels": {"day": 16, "night": 8}}}
    data = {"data": "made", "kind": "classification", "max_length": 16, "splits": splits, "left_out": {},
            "duplicates": {}, "clients": labels}  # fmt: skip
    folder.data.write_text(json.dumps(data))
    return folder


@pytest.fixture
def old_run(tmp_path):
    """Return a copy of a run of an earlier version."""
    return shutil.copytree(OLD_RUNS / "adafl", tmp_path / "old")


@pytest.fixture
def opened(browser):
    """Return a function that opens a page in a window of a width and a colour scheme, and waits until it is drawn."""

    def open_page(address, *, width=1280, scheme="light"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": features})
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get_log("browser")  # of the page before
        browser.get(address)
        waited(lambda: browser.execute_script("return document.documentElement.dataset.ready") == "true")
        return browser

    yield open_page
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def waited(holds, seconds=60.0):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it does not come to hold"
        time.sleep(0.05)


@pytest.fixture(name="waited")
def _waited():
    return waited
