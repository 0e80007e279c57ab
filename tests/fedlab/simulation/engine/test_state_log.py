import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlab.common.durable import sync_folder
from fedlab.errors import DamagedError
from fedlab.simulation.engine.state_log import StateLog

MEGABYTE = bytes(1 << 20)


def test_a_client_that_was_never_asked_has_an_empty_state(tmp_path):
    assert StateLog(tmp_path).get(7) == b""


def test_a_later_state_replaces_an_earlier_one(tmp_path):
    log = StateLog(tmp_path)
    log.put(3, b"first")
    log.put(4, b"other")
    log.put(3, b"second, and longer")
    assert (log.get(3), log.get(4)) == (b"second, and longer", b"other")


def test_a_state_that_did_not_change_is_not_written_again(tmp_path):
    log = StateLog(tmp_path)
    log.put(3, b"state")
    before = log.mark()
    log.put(3, b"state")
    assert log.mark() == before


def test_restoring_a_mark_forgets_what_came_after_it(tmp_path):
    log = StateLog(tmp_path)
    log.put(1, b"kept")
    mark = log.mark()
    log.put(1, b"lost")
    log.put(2, b"lost")
    log.close()
    again = StateLog(tmp_path)
    again.restore(mark)
    assert (again.get(1), again.get(2)) == (b"kept", b"")


def test_the_file_does_not_grow_with_the_rounds(tmp_path):
    log = StateLog(tmp_path)
    for number in range(30):
        log.put(1, MEGABYTE + bytes([number]))
        log.mark()
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert log.get(1) == MEGABYTE + bytes([29])
    assert written < 6 * len(MEGABYTE)


def test_the_last_mark_can_be_restored_after_the_file_was_written_anew(tmp_path):
    log = StateLog(tmp_path)
    marks = []
    for number in range(8):
        log.put(number % 2, MEGABYTE + bytes([number]))
        marks.append(log.mark())
    assert marks[-1]["file"] > 0
    log.put(0, b"lost")
    log.restore(marks[-1])
    assert (log.get(0)[-1], log.get(1)[-1]) == (6, 7)


@pytest.mark.parametrize("marked", [0, 1])
@settings(deadline=None)
@given(
    puts=st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=40)), max_size=30),
    later=st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=40)), max_size=10),
)
def test_a_log_holds_what_a_dictionary_would(tmp_path_factory, marked, puts, later):
    log, expected = StateLog(tmp_path_factory.mktemp("log")), {}
    for partition_id, state in puts:
        log.put(partition_id, state)
        expected[partition_id] = state
        if marked:
            log.mark()
    mark = log.mark()
    for partition_id, state in later:
        log.put(partition_id, state)
    log.restore(mark)
    assert {partition_id: log.get(partition_id) for partition_id in expected} == expected
    log.close()


@pytest.mark.parametrize(
    ("replaced_bytes", "after"),
    [
        (5 + 2**20, {"file": 0, "bytes": 2**20 + 50}),  # just twice the 25 bytes of the last entry, and a mebibyte
        (5 + 2**20 + 1, {"file": 1, "bytes": 25}),  # a byte more: only the last entry is kept
    ],
)
def test_a_log_is_compacted_when_it_is_over_twice_what_it_holds_and_a_mebibyte(tmp_path, replaced_bytes, after):
    log = StateLog(tmp_path)
    log.put(1, bytes(replaced_bytes))  # an entry has 20 bytes before its state
    log.put(1, b"state")
    assert log.mark() == after
    assert (log.get(1), (tmp_path / f"states.{after['file']}").stat().st_size) == (b"state", after["bytes"])


def test_a_client_that_was_never_asked_has_an_empty_state_whatever_others_have(tmp_path):
    log = StateLog(tmp_path)
    log.put(3, b"state")
    assert log.get(7) == b""


def test_marked_states_outlast_a_power_failure_whatever_comes_after(tmp_path, lossy_disk):
    root = tmp_path / "disk"
    root.mkdir()
    marks = []

    def work():
        log = StateLog(root / "states")
        sync_folder(root)  # as the run's folder is by the recorder
        for number in range(3):
            log.put(1, bytes([number]) * (1 << 20))  # large: the second mark writes the file anew
            log.put(number, b"small")
            marks.append(log.mark())
        log.put(1, b"not marked")
        log.put(9, b"not marked")

    left, _ = lossy_disk(root, work)
    for place in left:
        log = StateLog(place / "states")
        log.restore(marks[-1])
        assert [log.get(number) for number in (0, 2, 9)] == [b"small", b"small", b""]
        assert log.get(1) == b"\x02" * (1 << 20)
        log.close()


def filled(folder):
    log = StateLog(folder)
    log.put(1, b"first")
    log.put(2, b"second")
    mark = log.mark()
    log.close()
    return mark, folder / f"states.{mark['file']}"


def test_a_state_that_was_changed_is_refused_when_it_is_read(tmp_path):
    mark, file = filled(tmp_path)
    file.write_bytes(file.read_bytes().replace(b"second", b"SECOND"))
    log = StateLog(tmp_path)
    log.restore(mark)
    assert log.get(1) == b"first"
    with pytest.raises(DamagedError, match="the state of client 2 has been changed"):
        log.get(2)


@pytest.mark.parametrize("content", [None, b"", b"x" * 40, b"\xff" * 100], ids=["missing", "empty", "short", "garbage"])
def test_a_file_that_is_not_what_was_marked_is_refused(tmp_path, content):
    mark, file = filled(tmp_path)
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(DamagedError, match=r"states\.0: .*the run cannot be resumed"):
        StateLog(tmp_path).restore(mark)


def test_files_of_other_names_are_left_alone(tmp_path):
    (tmp_path / "states.old").write_text("mine")
    StateLog(tmp_path).mark()
    assert (tmp_path / "states.old").read_text() == "mine"
