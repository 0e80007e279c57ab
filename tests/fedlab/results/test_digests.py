import dataclasses
import hashlib
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from fedlab.errors import RunFailedError
from fedlab.results.digests import compare_runs, digest_arrays, digest_records, unshared_fields, verify_run
from fedlab.results.folder import create
from fedlab.results.recorder import Recorder
from fedlab.results.records import CandidateRecord, ClientRecord, GroupRecord, RoundRecord, TrialRecord


def adapters(depth=2, width=8):
    return {"set": "bottleneck", "depth": depth, "width": width}


ARRAYS = {"head.bias": np.array([1.0, 2.0], np.float32), "head.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
CLIENT = ClientRecord(
    server_round=1, group="deep", partition_id=7, device="jetson-tx2", configuration=adapters(2, 8), num_examples=40,
    batches=10, train_loss=float("nan"), compute_seconds=3.0, download_seconds=0.5, upload_seconds=0.25, joules=9.0,
    bytes_down=10, bytes_up=20, peak_memory_bytes=1000,
)  # fmt: skip
GROUP = GroupRecord(
    group="deep", configuration=adapters(2, 8), clients=1, failures=0, seconds=3.75, joules=9.0, bytes_down=10,
    bytes_up=20, train_loss=float("nan"),
)  # fmt: skip
TRIAL = TrialRecord(
    trial=1, server_round=3, started_seconds=0.0, ended_seconds=60.0, budget_seconds=60.0, winner="deep",
    configuration=adapters(2, 8), candidates=[
        CandidateRecord(group="deep", configuration=adapters(2, 8), rounds=3, seconds=60.0, joules=5.0, bytes_down=1,
                        bytes_up=2, validation_accuracy=0.5),
    ],
)  # fmt: skip


def round_(server_round, *, simulated_seconds=10.0, wall_seconds=1.0, group=GROUP):
    return RoundRecord(
        server_round=server_round, trial=1, simulated_seconds=simulated_seconds, configuration=adapters(2, 8),
        groups=[group], validation_accuracy=None, test_accuracy=None, wall_seconds=wall_seconds,
    )  # fmt: skip


def run(path, rounds=None, arrays=ARRAYS, clients=(CLIENT,)):
    folder = create(path)
    recorder = Recorder(folder)
    recorder.on_clients(clients)
    for record in rounds or [round_(1), round_(2)]:
        recorder.on_round(record)
    recorder.on_trial(TRIAL)
    recorder.close()
    save_file(arrays, folder.final)
    folder.write_summary({"arrays_digest": digest_arrays(arrays), "records_digest": digest_records(folder)})
    return folder


def test_the_digest_of_arrays_is_of_name_dtype_shape_and_bytes():
    expected = hashlib.sha256(b'"b" <f4 (2,)\n' + np.array([1, 2], "<f4").tobytes())

    assert digest_arrays({"b": np.array([1, 2], np.float32)}) == expected.hexdigest()


def test_the_digest_of_arrays_knows_no_order_of_names_and_no_layout():
    rearranged = {"head.weight": np.asfortranarray(ARRAYS["head.weight"]), "head.bias": ARRAYS["head.bias"]}

    assert digest_arrays(rearranged) == digest_arrays(ARRAYS)


@pytest.mark.parametrize(
    "other",
    [
        {"b": np.zeros(4, np.float32)},
        {"a": np.zeros((2, 2), np.float32)},
        {"a": np.zeros(4, np.int32)},
        {"a": np.array([0, 0, 0, 1e-45], np.float32)},
        {},
    ],
    ids=["name", "shape", "dtype", "last bit", "absence"],
)
def test_the_digest_of_arrays_depends_on(other):
    assert digest_arrays(other) != digest_arrays({"a": np.zeros(4, np.float32)})


def test_wall_clock_does_not_enter_the_digest_of_records(tmp_path):
    slow = run(tmp_path / "slow", rounds=[round_(1, wall_seconds=1e6), round_(2)])

    assert digest_records(slow) == digest_records(run(tmp_path / "fast"))


@pytest.mark.parametrize(
    "rounds",
    [[round_(1)], [round_(2), round_(1)], [round_(1), round_(2, simulated_seconds=np.nextafter(10.0, 11.0))]],
    ids=["number", "order", "last bit"],
)
def test_the_digest_of_records_depends_on_the_rounds(tmp_path, rounds):
    assert digest_records(run(tmp_path / "a", rounds=rounds)) != digest_records(run(tmp_path / "b"))


def test_the_digest_of_records_depends_on_the_clients(tmp_path):
    other = run(tmp_path / "a", clients=[dataclasses.replace(CLIENT, joules=9.5)])

    assert digest_records(other) != digest_records(run(tmp_path / "b"))


def test_a_run_as_it_was_left_is_verified(tmp_path):
    verify_run(run(tmp_path / "run"))


def test_a_record_changed_afterwards_is_found(tmp_path):
    folder = run(tmp_path / "run")
    folder.rounds_file.write_text(folder.rounds_file.read_text().replace("10.0", "9.0", 1))

    with pytest.raises(RunFailedError, match="records are not what the run wrote"):
        verify_run(folder)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((1, 3), r"rounds\.jsonl, line 2: is of round 3, expected round 2"),
        ((1, 1), "line 2: is of round 1, expected round 2"),
        ((2, 3), "line 1: is of round 2, expected round 1"),
    ],
    ids=["missing", "twice", "first missing"],
)
def test_rounds_that_do_not_increase_by_one_are_found(tmp_path, numbers, message):
    folder = run(tmp_path / "run", rounds=[round_(number) for number in numbers])

    with pytest.raises(RunFailedError, match=message):
        verify_run(folder)


def test_arrays_changed_afterwards_are_found(tmp_path):
    folder = run(tmp_path / "run")
    save_file(ARRAYS | {"head.bias": np.zeros(2, np.float32)}, folder.final)

    with pytest.raises(RunFailedError, match=r"final\.safetensors are not what the run wrote"):
        verify_run(folder)


def test_a_run_that_has_not_ended_cannot_be_verified(tmp_path):
    folder = run(tmp_path / "run")
    folder.summary_file.unlink()

    with pytest.raises(RunFailedError, match="has not ended"):
        verify_run(folder)


@pytest.mark.parametrize("content", [None, b"not arrays"])
def test_final_arrays_that_cannot_be_read_are_named(tmp_path, content):
    folder = run(tmp_path / "run")
    folder.final.unlink()
    if content is not None:
        folder.final.write_bytes(content)

    with pytest.raises(RunFailedError, match=r"final\.safetensors: cannot be read as arrays"):
        verify_run(folder)


def test_runs_of_one_seed_do_not_differ(tmp_path):
    first, second = run(tmp_path / "a"), run(tmp_path / "b", rounds=[round_(1, wall_seconds=7.0), round_(2)])

    assert compare_runs(first, second) == []


def test_the_first_record_that_differs_is_named_with_its_field(tmp_path):
    later = dataclasses.replace(GROUP, joules=9.5)
    first = run(tmp_path / "a", rounds=[round_(1), round_(2), round_(3)])
    second = run(tmp_path / "b", rounds=[round_(1), round_(2, group=later), round_(3, group=later)])

    assert compare_runs(first, second) == ["rounds.jsonl, line 2 (round 2): groups[0].joules is 9.0 against 9.5"]


def test_a_run_that_went_on_for_longer_differs_where_the_other_ends(tmp_path):
    differences = compare_runs(run(tmp_path / "a"), run(tmp_path / "b", rounds=[round_(1), round_(2), round_(3)]))

    assert differences == ["rounds.jsonl: 2 records against 3; the first 2 are the same"]


def test_every_file_that_differs_has_its_line(tmp_path):
    first = run(tmp_path / "a")
    second = run(
        tmp_path / "b",
        clients=[dataclasses.replace(CLIENT, error="timeout")],
        arrays=ARRAYS | {"head.bias": np.array([1.0, 2.5], np.float32)},
    )

    assert compare_runs(first, second) == [
        'clients.jsonl, line 1 (round 1, client 7): error is null against "timeout"',
        "final.safetensors: head.bias differs by up to 0.5",
    ]


def test_arrays_of_another_shape_or_name_are_told(tmp_path):
    first = run(tmp_path / "a")
    wider = run(tmp_path / "b", arrays=ARRAYS | {"head.bias": np.zeros(3, np.float32)})
    more = run(tmp_path / "c", arrays=ARRAYS | {"extra": np.zeros(1, np.float32)})

    assert compare_runs(first, wider) == ["final.safetensors: head.bias is float32[2] against float32[3]"]
    assert compare_runs(first, more) == ["final.safetensors: extra is in one run only"]


def test_the_digest_of_records_is_of_the_lines_as_they_were_written(tmp_path):
    folder = run(tmp_path / "run")
    files = {"rounds.jsonl": [], "clients.jsonl": [], "trials.jsonl": []}
    for name, lines in files.items():
        for line in (folder.path / name).read_text().splitlines():
            timeless = {key: value for key, value in json.loads(line).items() if key != "wall_seconds"}
            lines.append(json.dumps(timeless, sort_keys=True))
    text = "".join(f"{name}\n" + "".join(f"{line}\n" for line in lines) for name, lines in files.items())

    assert digest_records(folder) == hashlib.sha256(text.encode()).hexdigest()


def test_steps_count_in_the_digest_where_there_are_any(tmp_path):
    folder = run(tmp_path / "run")
    before = digest_records(folder)
    (folder.path / "steps.jsonl").write_text("")
    assert digest_records(folder) == before
    (folder.path / "steps.jsonl").write_text('{"server_round": 1, "step": 0, "verdict": "accepted"}\n')
    assert digest_records(folder) != before
    other = run(tmp_path / "other")
    (other.path / "steps.jsonl").write_text('{"server_round": 1, "step": 0, "verdict": "capped"}\n')
    assert compare_runs(folder, other) == [
        'steps.jsonl, line 1 (round 1, step 0): verdict is "accepted" against "capped"'
    ]


def as_earlier(folder):
    """Change a run's records to those an earlier version would have written of it."""

    def to_earlier(line):
        found = line.pop("configuration")
        line.update(depth=found["depth"], width=found["width"])
        for name in ("latency", "energy", "memory"):
            if f"{name}_provenance" in line:
                line[f"{name}_standing"] = line.pop(f"{name}_provenance")

    for file in (folder.rounds_file, folder.clients_file, folder.trials_file):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        parts = [part for line in lines for part in line.get("groups", []) + line.get("candidates", [])]
        for each in [*lines, *parts]:
            to_earlier(each)
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_runs_of_two_versions_are_the_same_in_all_that_both_record(tmp_path):
    old, new = as_earlier(run(tmp_path / "old")), run(tmp_path / "new")

    assert (compare_runs(old, new), compare_runs(new, old)) == ([], [])
    assert unshared_fields(old, new) == []


def test_fields_that_one_version_does_not_record_are_named(tmp_path):
    head = dataclasses.replace(CLIENT, configuration=adapters(0, 8))
    old, new = as_earlier(run(tmp_path / "old", clients=[head])), run(tmp_path / "new", clients=[head])

    assert compare_runs(old, new) == []
    assert unshared_fields(old, new) == unshared_fields(new, old) == ["clients.jsonl: configuration.width"]


def test_a_configuration_that_both_versions_record_is_compared(tmp_path):
    old = as_earlier(run(tmp_path / "old"))
    new = run(tmp_path / "new", clients=[dataclasses.replace(CLIENT, configuration=adapters(3, 8))])

    assert compare_runs(old, new) == ["clients.jsonl, line 1 (round 1, client 7): configuration.depth is 2 against 3"]
