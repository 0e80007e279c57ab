"""A run uses a session if one is there that is as itself; otherwise it is told why not, in one line."""

import pytest

from fedlab.errors import UserError
from fedlab.simulation.session import session as module
from fedlab.simulation.session.record import Found, SessionRecord
from fedlab.simulation.session.session import start_session, stop_session, usable_session

OWN = {"the code of fedlab": "1", "HF_HOME": "2"}


@pytest.fixture
def there(monkeypatch, tmp_path):
    """Return a function that says what there is of a session, and the lines that were told of it."""
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setattr(module, "identity", lambda: OWN)
    monkeypatch.setattr(module, "remove_leftovers", lambda: None)

    def make(*, alive=True, identity=OWN, ready=True):
        record = SessionRecord(process_id=2**30, address="127.0.0.1:1", cores=2, identity=identity, joining={})
        found = Found(alive=alive, record=record if ready else None)
        monkeypatch.setattr(module, "find", lambda: found)
        return found.record

    return make


def told():
    lines = []
    return usable_session(lines.append), lines


def test_without_a_session_nothing_is_told(there):
    assert told() == (None, [])


def test_a_session_that_is_as_the_run_is_used(there):
    record = there()
    assert told() == (record, [])


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (
            {"alive": False},
            "the session has died, and this run starts its own Ray; fedlab session start begins a new one",
        ),
        ({"ready": False}, "the session is still starting, and this run starts its own Ray"),
        (
            {"identity": {"the code of fedlab": "0"}},
            "the session is not used, because it was started with another value of: HF_HOME, the code of fedlab;"
            " fedlab session stop, then fedlab session start",
        ),
    ],
)
def test_why_a_session_is_not_used_is_one_line(there, state, line):
    there(**state)
    assert told() == (None, [line])


def test_a_session_that_runs_is_not_started_again(there):
    record = there()
    assert start_session() == record


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"ready": False}, "a session is starting; try again in a moment"),
        ({"identity": {**OWN, "HF_HOME": "3"}}, "a session runs that was started with another value of: HF_HOME; "),
    ],
)
def test_a_session_that_runs_could_not_use_must_be_stopped_first(there, state, words):
    there(**state)
    with pytest.raises(UserError, match=words):
        start_session()


def test_a_system_that_cannot_watch_a_process_has_no_sessions(there, monkeypatch):
    monkeypatch.delattr(module.os, "pidfd_open")
    with pytest.raises(UserError, match="a session needs Linux"):
        start_session()


def test_there_is_nothing_to_stop_without_a_session(there):
    assert stop_session() is False
    there(alive=False)
    assert stop_session() is False
