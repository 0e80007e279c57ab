import errno
import os
import signal
import time

import pytest

from fedlab.common import ending
from fedlab.common.ending import ResumableCommand, disk_trouble
from fedlab.errors import InterruptedRunError, RunFailedError


class SilentWatcher:
    """Starts no process."""

    def __init__(self, words):
        self.words = words

    def __exit__(self, *error):
        pass

    def last_words(self, text):
        self.words = text


@pytest.fixture(autouse=True)
def no_watcher(monkeypatch):
    monkeypatch.setattr(ending, "Watcher", SilentWatcher)


def work(what, folder=None):
    """Do something in a command that can be resumed if it has a folder."""
    with ResumableCommand() as command:
        if folder is not None:
            command.resumed_by("fedlab run --resume r", folder)
        what()
        time.sleep(5)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "interrupted by SIGTERM"),
        (signal.SIGHUP, "interrupted: the terminal was closed"),
    ],
)
def test_a_signal_interrupts_and_the_line_says_how_to_go_on(number, words, tmp_path):
    with pytest.raises(InterruptedRunError) as raised:
        work(lambda: os.kill(os.getpid(), number), tmp_path)
    assert str(raised.value) == f"{words}; resume with: fedlab run --resume r"


def test_before_there_is_anything_to_resume_the_line_names_nothing():
    with pytest.raises(InterruptedRunError, match=r"^interrupted$"):
        work(lambda: os.kill(os.getpid(), signal.SIGINT))


def test_a_second_signal_does_not_disturb_the_cleaning_up():
    cleaned = []

    def interrupted_twice():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            cleaned.append(True)

    with pytest.raises(InterruptedRunError):
        work(interrupted_twice)
    assert cleaned == [True]


def test_signals_are_given_back_and_ignored_ones_stay_ignored():
    before = signal.getsignal(signal.SIGTERM)
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with ResumableCommand():
        assert signal.getsignal(signal.SIGTERM) != before
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    signal.signal(signal.SIGHUP, old)


def test_a_full_disk_is_one_line_with_the_path_and_the_way_on(tmp_path):
    def fill():
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunFailedError) as raised:
        work(fill, tmp_path)
    assert str(raised.value) == f"{tmp_path}: No space left on device; resume with: fedlab run --resume r"


def test_the_path_is_that_of_the_error_if_it_has_one(tmp_path):
    error = OSError(errno.EROFS, "Read-only file system", "/there/x.json")
    assert disk_trouble(error, tmp_path) == "/there/x.json: Read-only file system"
    assert disk_trouble(RuntimeError("serializing: No space left on device (os error 28)"), tmp_path) == (
        f"{tmp_path}: No space left on device"
    )


def test_other_errors_pass():
    assert disk_trouble(ConnectionError(), None) is disk_trouble(ValueError("x"), None) is None
    with pytest.raises(ValueError, match="x"), ResumableCommand():
        raise ValueError("x")


def test_an_error_that_says_how_to_go_on_stays():
    with pytest.raises(InterruptedRunError, match=r"^3 of 4 cells$"), ResumableCommand():
        raise InterruptedRunError("3 of 4 cells")
