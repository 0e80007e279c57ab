"""What W&B keeps offline is read back from its file; without a key or a server the run goes on."""

import json
import struct

import pytest

wandb = pytest.importorskip("wandb", reason="wandb is not installed")

_BLOCK, _HEADER = 32768, struct.Struct("<IHB")  # of a log of LevelDB, which W&B's file is after its first 7 bytes
_FULL, _LAST = 1, 4


def records(path):
    """Yield the records of a .wandb file."""
    from wandb.proto.wandb_internal_pb2 import Record  # noqa: PLC0415

    data, at, parts = path.read_bytes(), 7, []
    while at < len(data):
        if _BLOCK - at % _BLOCK < _HEADER.size:
            at += _BLOCK - at % _BLOCK
            continue
        _, length, kind = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        parts.append(data[at : at + length])
        at += length
        if kind in (_FULL, _LAST):
            yield Record.FromString(b"".join(parts))
            parts = []


def kept(folder):
    """Return of each offline run in a folder its id, its configuration, and its rows."""
    found = []
    for path in sorted((folder.path / "wandb").glob("offline-run-*/*.wandb")):
        read = list(records(path))
        (run,) = [each.run for each in read if each.HasField("run")][:1]
        configuration = {each.key: json.loads(each.value_json) for each in run.config.update}
        rows = [
            {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in each.history.item}
            for each in read
            if each.HasField("history")
        ]
        found.append((run.run_id, configuration, rows))
    return found


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """Keep W&B from its own configuration on this machine."""
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    yield
    wandb.teardown()


@pytest.mark.slow
def test_an_offline_run_has_rows_configuration_and_files_and_a_resumed_one_replaces_it(tracked_folder):
    made = tracked_folder("wandb", wandb={"mode": "offline", "project": "mine"})
    made.run([1, 2, 3], ends=False)
    made.run([2, 3, 4])
    assert made.said == []
    (first, *_), (second, configuration, rows) = kept(made.folder)
    assert first == second
    assert configuration["task.partition.clients"] == 100
    rounds = [row for row in rows if "validation/accuracy" in row]
    assert [(row["round"], row["validation/accuracy"], row["total/joules"]) for row in rounds] == [
        (1, 0.1, 8.0), (2, 0.2, 16.0), (3, 0.3, 24.0), (4, 0.4, 32.0),
    ]  # fmt: skip
    assert rounds[-1]["simulated_hours"] == pytest.approx(40 / 3600)
    assert [row["round"] for row in rows if "deep wins" in str(row.get("event"))] == [2]
    (*_, last) = sorted((made.folder.path / "wandb").glob("offline-run-*"))
    assert {"summary.json", "report.html", "rounds.jsonl"} <= {path.name for path in (last / "files").rglob("*")}


def test_without_a_key_the_run_goes_on_and_says_why(tracked_folder):
    made = tracked_folder("wandb", wandb={"mode": "online"})
    made.run([1, 2])
    (line,) = made.said
    assert line.startswith("tracker wandb failed in on_start: ")
    assert "wandb login" in line
