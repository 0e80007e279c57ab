"""Run folders that an earlier version wrote, with the columns depth and width, are still of use to every command."""

import json
import shutil
from pathlib import Path

import pytest

from fedlab.results.folder import RunFolder

OLD_RUNS = Path(__file__).parents[1] / "results" / "old_runs"


@pytest.fixture
def old(tmp_path, monkeypatch):
    """Copy an AdaFL run and a run of layer freezing to a folder of their own, the working folder."""
    shutil.copytree(OLD_RUNS, tmp_path / "old")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "old"


def words(text):
    return [line.split() for line in text.splitlines()]


def test_a_search_is_shown_with_its_trials_and_drawn(fedlab, old):
    code, out, err = fedlab("show", "old/adafl")

    assert (code, err) == (0, "")
    assert ["1", "deep", "2", "8", "0.375", "0.625", "0.375"] in [line[:7] for line in words(out)]
    assert ["configuration", "depth", "2,", "width", "8"] in words(out)
    assert ["latencies", "32", "scaled"] in [each[:3] for each in words(out)]
    assert (old / "adafl" / "accuracy.png").read_bytes()[:4] == b"\x89PNG"


def test_a_run_that_was_cut_off_is_shown_by_its_records(fedlab, old):
    (old / "freeze" / "summary.json").unlink()

    code, out, _ = fedlab("show", "old/freeze", "--json")

    summary = json.loads(out.splitlines()[-1])
    assert code == 0
    assert ["configuration", "depth", "1"] in words(out)
    assert (summary["status"], summary["configuration"]) == ("unfinished", {"set": "blocks", "depth": 1})
    assert summary["provenance"] == {"scaled": 6}


@pytest.mark.parametrize("run", ["adafl", "freeze"])
def test_it_is_verified_by_the_digests_of_its_own_summary(fedlab, old, run):
    assert fedlab("verify", f"old/{run}") == (0, "the run matches its summary\n", "")


def test_a_change_afterwards_is_found(fedlab, old):
    file = old / "freeze" / "clients.jsonl"
    file.write_text(file.read_text().replace('"latency_standing": "scaled"', '"latency_standing": "published"', 1))

    code, _, err = fedlab("verify", "old/freeze")

    assert code == 1
    assert "records are not what the run wrote" in err


def test_both_are_compared(fedlab, old):
    code, out, err = fedlab("compare", "old/adafl", "old/freeze")

    assert (code, err) == (0, "")
    assert {"adafl", "fedavg"} <= {line[0] for line in words(out) if line}


def test_the_run_without_a_search_is_repriced(fedlab, old):
    code, out, err = fedlab("reprice", "old/freeze", "--set", "link.options.bandwidth=0.1MB/s", "--json")

    billed = RunFolder(Path(json.loads(out.splitlines()[-1])["run_dir"]))
    source = RunFolder(old / "freeze")
    assert (code, err) == (0, "")
    assert [each.configuration for each in billed.clients()] == 6 * [{"set": "blocks", "depth": 1}]
    assert billed.rounds()[-1].simulated_seconds > source.rounds()[-1].simulated_seconds
    assert fedlab("verify", str(billed.path))[0] == 0
