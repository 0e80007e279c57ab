import json
import os
from dataclasses import replace

import pandas as pd
import pytest

from fedlab.errors import DamagedError, UserError
from fedlab.messages.shift_history import TensorShifts
from fedlab.results.folder import RECORD_FILES, RunFolder, create
from fedlab.results.recorder import Recorder, refuse_if_written, writer_of
from fedlab.results.records import CandidateRecord, ClientRecord, GroupRecord, RoundRecord, StepRecord, TrialRecord


def adapters(depth=2, width=8):
    return {"set": "bottleneck", "depth": depth, "width": width}


def client(server_round, partition_id):
    return ClientRecord(
        server_round=server_round, group="all", partition_id=partition_id, device="jetson-tx2",
        configuration=adapters(2, 8), num_examples=40, batches=10, train_loss=0.1 + 0.2, compute_seconds=1 / 3,
        download_seconds=0.5, upload_seconds=0.25, joules=9.0, bytes_down=10, bytes_up=20, peak_memory_bytes=1000,
    )  # fmt: skip


def round_(server_round):
    group = GroupRecord(
        group="all", configuration=adapters(2, 8), clients=2, failures=0, seconds=1 / 3, joules=4.0, bytes_down=20,
        bytes_up=40, train_loss=0.1 + 0.2,
    )  # fmt: skip
    return RoundRecord(
        server_round=server_round, trial=None, simulated_seconds=server_round / 3, configuration=adapters(2, 8),
        groups=[group], validation_accuracy=0.5, test_accuracy=None, wall_seconds=1.0,
    )  # fmt: skip


def trial(number):
    candidate = CandidateRecord(
        group="deep", configuration=adapters(2, 8), rounds=3, seconds=60.0, joules=5.0, bytes_down=1, bytes_up=2,
        validation_accuracy=2 / 3,
    )  # fmt: skip
    return TrialRecord(
        trial=number, server_round=3, started_seconds=0.0, ended_seconds=60.0, budget_seconds=60.0,
        candidates=[candidate], winner="deep", configuration=adapters(2, 8),
    )  # fmt: skip


def play(recorder, server_round):
    recorder.on_clients([client(server_round, 0), client(server_round, 1)])
    recorder.on_round(round_(server_round))
    recorder.on_trial(trial(server_round))


def contents(folder):
    files = {name: folder.path / name for name in RECORD_FILES}
    return {name: path.read_bytes() if path.exists() else b"" for name, path in files.items()}


@pytest.fixture
def folder(tmp_path):
    return create(tmp_path / "run")


def test_what_is_recorded_reads_back_exactly(folder):
    recorder = Recorder(folder)
    play(recorder, 1)
    recorder.close()

    assert folder.clients() == [client(1, 0), client(1, 1)]
    assert folder.rounds() == [round_(1)]
    assert folder.trials() == [trial(1)]


def step(number):
    return StepRecord(
        server_round=1, step=number, cycle=0, clients=3, probes=6, guided=False, variance=0.5, cosine=None,
        verdict="repeated", bytes_down=1, bytes_up=1,
    )  # fmt: skip


def test_steps_are_recorded_and_cut_off_again_with_the_rest(folder):
    recorder = Recorder(folder)
    recorder.on_step(step(0))
    mark = recorder.mark()
    recorder.on_step(step(1))
    assert folder.steps() == [step(0), step(1)]
    recorder.rewind(mark)
    recorder.close()
    assert folder.steps() == [step(0)]


def test_a_run_without_steps_has_no_file_of_them_and_one_that_is_resumed_begins_it_with_its_first(folder):
    first = Recorder(folder)
    play(first, 1)
    mark = first.mark()
    first.close()
    assert not (folder.path / "steps.jsonl").exists()
    second = Recorder(folder)
    second.rewind(mark)
    second.on_step(step(0))
    second.rewind(second.mark())
    second.close()
    assert folder.steps() == [step(0)]


def test_steps_that_a_checkpoint_has_and_the_folder_has_not_are_damage(folder):
    recorder = Recorder(folder)
    with pytest.raises(DamagedError, match=r"steps\.jsonl: shorter than its checkpoint says"):
        recorder.rewind(recorder.mark() | {"steps.jsonl": 10})
    recorder.close()


def test_a_checkpoint_of_a_version_without_steps_can_be_gone_back_to(folder):
    recorder = Recorder(folder)
    play(recorder, 1)
    mark = {name: length for name, length in recorder.mark().items() if name != "steps.jsonl"}
    recorder.rewind(mark)
    recorder.close()
    assert folder.rounds() == [round_(1)]
    assert folder.steps() == []


def shifts(tensor):
    return TensorShifts(tensor=tensor, found=1, reused=9, saturated=0, changes=[[0, 7]])


def test_shifts_of_clients_are_in_a_file_of_their_own_and_cut_off_again_with_the_rest(folder):
    recorder = Recorder(folder)
    play(recorder, 1)
    plain = folder.clients_file.read_text()
    assert not (folder.path / "shifts.jsonl").exists()
    mark = recorder.mark()
    recorder.on_clients([replace(client(2, 1), shifts=[shifts("0.error"), shifts("3.error")])])
    assert [vars(each) for each in folder.shifts()] == [
        {"server_round": 2, "partition_id": 1, **vars(shifts(tensor))} for tensor in ("0.error", "3.error")
    ]
    assert folder.clients()[-1] == client(2, 1)
    recorder.rewind(mark)
    recorder.close()
    assert folder.shifts() == []
    assert folder.clients_file.read_text() == plain


def test_a_record_can_be_read_as_soon_as_it_is_made(folder):
    recorder = Recorder(folder)

    recorder.on_round(round_(1))
    recorder.on_message("client 7 did not reply")

    assert folder.rounds() == [round_(1)]
    assert folder.log.read_text() == "client 7 did not reply\n"
    recorder.close()


def test_a_record_is_one_line_of_json(folder):
    recorder = Recorder(folder)
    play(recorder, 1)
    recorder.close()

    lines = folder.clients_file.read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[1])["partition_id"] == 1
    assert json.loads(lines[1])["train_loss"] == 0.30000000000000004


def test_pandas_reads_the_rounds(folder):
    recorder = Recorder(folder)
    for server_round in (1, 2, 3):
        recorder.on_round(round_(server_round))
    recorder.close()

    frame = pd.read_json(folder.rounds_file, lines=True)

    assert frame.server_round.tolist() == [1, 2, 3]
    assert frame.simulated_seconds.tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert frame.groups[0][0]["bytes_up"] == 40
    assert frame.configuration[0] == adapters(2, 8)


def test_pandas_makes_columns_of_the_configuration_in_one_line(folder):
    recorder = Recorder(folder)
    recorder.on_clients([client(1, 0), client(1, 1)])
    recorder.close()

    frame = pd.json_normalize(pd.read_json(folder.clients_file, lines=True).to_dict("records"))

    assert frame["configuration.depth"].tolist() == [2, 2]
    assert frame["configuration.width"].tolist() == [8, 8]
    assert frame["partition_id"].tolist() == [0, 1]


def test_a_mark_is_the_length_of_each_file(folder):
    recorder = Recorder(folder)
    assert recorder.mark() == {"rounds.jsonl": 0, "clients.jsonl": 0, "trials.jsonl": 0, "steps.jsonl": 0}

    play(recorder, 1)

    assert recorder.mark() == {name: len(content) for name, content in contents(folder).items()}
    recorder.close()


def test_rewinding_and_going_on_equals_never_having_stopped(tmp_path):
    uninterrupted, resumed = create(tmp_path / "a"), create(tmp_path / "b")
    recorder = Recorder(uninterrupted)
    for server_round in (1, 2, 3):
        play(recorder, server_round)
    recorder.close()

    killed = Recorder(resumed)
    play(killed, 1)
    mark = killed.mark()
    play(killed, 2)
    killed.on_clients([client(3, 0)])
    killed.close()
    with resumed.rounds_file.open("a") as file:
        file.write('{"server_round": 3, "tri')
    recorder = Recorder(resumed)
    recorder.rewind(mark)
    for server_round in (2, 3):
        play(recorder, server_round)
    recorder.close()

    assert contents(resumed) == contents(uninterrupted)


def test_rewinding_within_a_run_leaves_the_recorder_usable(folder):
    recorder = Recorder(folder)
    play(recorder, 1)
    mark = recorder.mark()
    play(recorder, 2)

    recorder.rewind(mark)
    play(recorder, 3)

    assert [record.server_round for record in folder.rounds()] == [1, 3]
    assert recorder.mark()["rounds.jsonl"] == folder.rounds_file.stat().st_size
    recorder.close()


def test_a_line_cut_short_does_not_stick_to_the_next(folder):
    folder.rounds_file.write_text('{"server_round": 1, "tri')

    recorder = Recorder(folder)
    recorder.on_round(round_(1))
    recorder.close()

    assert folder.rounds() == [round_(1)]


def test_records_of_an_earlier_process_are_kept(folder):
    for server_round in (1, 2):
        recorder = Recorder(folder)
        play(recorder, server_round)
        recorder.close()

    assert folder.rounds() == [round_(1), round_(2)]


def test_a_file_that_lost_what_was_marked_is_not_padded(folder):
    recorder = Recorder(folder)
    play(recorder, 1)
    before = contents(folder)

    with pytest.raises(UserError, match=r"trials\.jsonl: shorter than its checkpoint says"):
        recorder.rewind({"rounds.jsonl": 0, "clients.jsonl": 0, "trials.jsonl": 10_000})

    assert contents(folder) == before
    recorder.close()


def test_a_run_folder_has_one_writer_and_another_is_refused_and_changes_nothing(folder):
    first = Recorder(folder)
    play(first, 1)
    before = contents(folder)

    for refused in (Recorder, refuse_if_written):
        with pytest.raises(UserError) as caught:
            refused(folder)
        assert str(caught.value) == (
            f"{folder.path}: process {os.getpid()} is writing this run; wait until it has ended, or end it"
        )
    assert contents(folder) == before
    assert writer_of(folder) == f"process {os.getpid()}"
    first.close()
    refuse_if_written(folder)
    Recorder(folder).close()


def test_a_folder_without_records_is_written_by_no_process(tmp_path):
    assert writer_of(RunFolder(tmp_path)) is None
