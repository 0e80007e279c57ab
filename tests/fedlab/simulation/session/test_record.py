"""A session holds its record locked; what is there without the lock was left by one that has died."""

import pytest

from fedlab.simulation.session.record import Found, SessionRecord, claimed, find, forget, record_path, write

RECORD = SessionRecord(
    process_id=42, address="127.0.0.1:1", cores=2, identity={"a": "b"}, joining={"RAY_AUTH_MODE": "token"}
)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Keep the record in a folder that is not there yet."""
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))


def test_there_is_none_before_and_after_a_session():
    assert find() is None
    with claimed():
        pass
    assert find() is None


def test_a_session_is_found_while_it_starts_and_when_it_is_ready_by_its_user_alone():
    with claimed() as place:
        assert find() == Found(alive=True, record=None)
        write(place, RECORD)
        assert find() == Found(alive=True, record=RECORD)
        assert record_path().stat().st_mode & 0o777 == 0o600


def test_a_second_session_gets_no_place_and_leaves_the_first_ones():
    with claimed() as place:
        write(place, RECORD)
        with claimed() as second:
            assert second is None
        assert find() == Found(alive=True, record=RECORD)


def test_a_record_without_its_lock_is_of_a_session_that_has_died_and_can_be_forgotten():
    with claimed() as place:
        write(place, RECORD)
        text = record_path().read_text()
    record_path().write_text(text)
    assert find() == Found(alive=False, record=RECORD)
    forget()
    assert find() is None


def test_what_a_dead_session_left_is_replaced():
    record_path().parent.mkdir()
    record_path().write_text("x" * 10_000)
    with claimed() as place:
        write(place, RECORD)
        assert find() == Found(alive=True, record=RECORD)
