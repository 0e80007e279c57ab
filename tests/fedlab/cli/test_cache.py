import json
import tempfile

import pytest

from fedlab.common import scratch


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Make a cache with an encoder that no bundle needs, and an empty folder for temporary files."""
    (tmp_path / "cache/encoders/abc").mkdir(parents=True)
    (tmp_path / "cache/encoders/abc/encoder.safetensors").write_bytes(b"x" * 2_000_000)
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(scratch, "_ELSEWHERE", ())
    return tmp_path / "cache"


def test_the_cache_is_listed(fedlab, cache):
    said = fedlab("cache", "list")
    assert said.out == f"encoders/abc: 2.0 MB\n{cache}: 1 entries, 2.0 MB\n"
    plain = json.loads(fedlab("cache", "list", "--json").out)
    assert [(each["kind"], each["bytes"], each["unused_days"]) for each in plain["entries"]] == [
        ("encoders", 2_000_000, None)
    ]


def test_the_cache_is_pruned(fedlab, cache):
    assert fedlab("cache", "prune").out == f"{cache}: removed 1 entries, 2.0 MB\n"
    assert list((cache / "encoders").iterdir()) == []


def test_days_are_not_negative(fedlab):
    assert fedlab("cache", "prune", "--unused-days", "-1").code == 2


def test_what_killed_runs_left_is_removed(fedlab, tmp_path):
    left = tmp_path / "tmp/fedlab-abc"
    left.mkdir()
    (left / ".owner").touch()
    (left / "data").write_bytes(b"x" * 1_000_000)

    said = fedlab("clean")

    assert said.out == f"removed {left}\n1 folders, 1.0 MB, and 0 processes of killed runs removed\n"
    assert json.loads(fedlab("clean", "--json").out) == {"folders": [], "bytes": 0, "processes": []}
