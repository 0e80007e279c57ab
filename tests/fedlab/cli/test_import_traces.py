"""`fedlab import-traces` writes files that links, fleets and availability read."""

import json
import pickle

import pytest

from fedlab.devices.throughput import read_throughputs
from fedlab.network.availability import trace
from fedlab.network.bandwidths import table

FILES = {
    "fedscale-device": {9: {"computation": 100.0, "communication": 8000.0}, 5: {"computation": 0, "communication": 1}},
    "fedscale-availability": {9: {"active": [10], "inactive": [30], "finish_time": 100}},
    "flash-state": {
        "a": {
            "messages": "2020-01-02 00:00:00\twifi\n2020-01-02 00:00:00\tbattery_charged_on\n"
            "2020-01-02 00:00:10\tscreen_lock\n2020-01-02 00:00:30\tscreen_unlock\n2020-01-02 00:01:40\t4G\n"
        }
    },
    "flash-speed": {"a": {"down_u": 1000, "down_sigma": 0, "up_u": 500, "up_sigma": 0}},
}


@pytest.fixture
def command(fedlab, tmp_path):
    """Run `fedlab import-traces` on a file of a kind; return the exit code, what it printed, and the new file."""

    def run(kind: str, *words: str, out: str = "out.csv"):
        document = FILES.get(kind, {})
        pickled = kind.startswith("fedscale")
        (tmp_path / "source").write_bytes(pickle.dumps(document) if pickled else json.dumps(document).encode())
        said = fedlab("import-traces", kind, tmp_path / "source", "--out", tmp_path / out, *words)
        return said.code, said.out + said.err, tmp_path / out

    return run


@pytest.mark.parametrize("kind", ["fedscale-availability", "flash-state"])
def test_imported_times_are_read_as_availability(command, kind):
    code, _, path = command(kind)
    assert code == 0
    clients = trace(str(path))
    assert [clients.available(0, server_round=1, at_seconds=at) for at in (5, 15, 35, 115)] == [
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(("kind", "up"), [("fedscale-device", 1e6), ("flash-speed", 5e5)])
def test_imported_speeds_are_read_as_a_link(command, kind, up):
    _, _, path = command(kind)
    link, keys = table(str(path)), {"partition_id": 0, "server_round": 1, "start_seconds": 0.0}
    assert link.transfer_seconds(10**6, direction="down", **keys) == pytest.approx(1.0)
    assert link.transfer_seconds(10**6, direction="up", **keys) == pytest.approx(1e6 / up)


def test_imported_devices_are_read_as_throughputs(command):
    _, _, path = command("fedscale-device", "--base-milliseconds", "50")
    assert read_throughputs(path).tolist() == [0.5]


def test_what_was_done_is_told_and_once_more_as_json(command):
    _, said, path = command("fedscale-device", "--json")
    lines = said.splitlines()
    assert lines[:2] == [
        f"{path}: clients 1, rows 1",
        "left out: 1 whose computation is not a finite number above zero",
    ]
    assert 'name = "table"' in lines[2]
    assert json.loads(lines[-1]) == {
        "path": str(path),
        "clients": 1,
        "rows": 1,
        "left_out": {"whose computation is not a finite number above zero": 1},
    }


def test_a_file_that_exists_is_left_as_it_is(command, tmp_path):
    (tmp_path / "out.csv").write_text("mine")
    code, said, path = command("flash-speed")
    assert (code, said.count("\n")) == (2, 1)
    assert "exists already" in said
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("flash-speed", ["--base-milliseconds", "5"], "--base-milliseconds is for fedscale-device"),
        ("flash", [], "'flash' is not one of"),
    ],
)
def test_wrong_usage_costs_one_line_and_writes_nothing(command, kind, words, said):
    code, printed, path = command(kind, *words)
    assert (code, printed.count("\n")) == (2, 1)
    assert said in printed
    assert not path.exists()
