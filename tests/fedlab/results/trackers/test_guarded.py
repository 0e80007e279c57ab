"""No observer can stop the run that it is told of."""

import pytest

from fedlab.results.trackers.base import tracked_run
from fedlab.results.trackers.guarded import tracking


class Raises:
    """Raises an error of its own from one of its methods, and counts what it is told."""

    def __init__(self, method, error):
        self.told = []
        for name in ("on_start", "on_clients", "on_round", "on_trial", "on_step", "on_message", "on_end"):
            setattr(self, name, self._raises(name, error if name == method else None))

    def _raises(self, name, error):
        def hear(*_):
            self.told.append(name)
            if error is not None:
                raise error

        return hear


@pytest.fixture
def tell(tracked_folder, records):
    """Return a function that tells an observer of two rounds and returns what was said; `broken` breaks off."""
    clients_of, round_of, trial_of = records

    def tell(observer, *, broken=None):
        made = tracked_folder()
        with tracking({"mine": observer}, tracked_run(made.experiment(), made.folder), made.said.append) as tracked:
            for number in (1, 2):
                for each in tracked.observers:
                    each.on_clients(clients_of(number))
                    each.on_round(round_of(number))
                    each.on_trial(trial_of(number))
                    each.on_step(None)
                    each.on_message("a line", "its detail")
            if broken is not None:
                raise broken
            tracked.ended({"status": "finished"}, [])
        return made.said

    return tell


METHODS = ["on_start", "on_clients", "on_round", "on_trial", "on_step", "on_message", "on_end"]


@pytest.mark.parametrize("method", METHODS)
def test_one_that_fails_is_named_once_and_told_nothing_more(tell, method):
    observer = Raises(method, RuntimeError("no\nconnection"))
    (line,) = tell(observer)
    assert line.startswith(f"tracker mine failed in {method}: RuntimeError: no connection")
    assert line.endswith("; it is told nothing more, and the run goes on")
    assert observer.told.index(method) == len(observer.told) - 1


@pytest.mark.parametrize("error", [SystemExit(3), MemoryError(), OSError(28, "No space left on device"), KeyError("x")])
def test_whatever_it_raises_the_run_goes_on(tell, error):
    (line,) = tell(Raises("on_round", error))
    assert type(error).__name__ in line


def test_ctrl_c_is_none_of_its_errors(tell):
    with pytest.raises(KeyboardInterrupt):
        tell(Raises("on_round", KeyboardInterrupt()))


def test_one_that_works_is_told_all_and_its_end_once(tell):
    observer = Raises(None, None)
    assert tell(observer) == []
    assert observer.told == ["on_start", *METHODS[1:6] * 2, "on_end"]


def test_one_without_a_method_is_told_what_it_has_a_method_for(tell):
    class OnlyRounds:
        rounds = 0

        def on_round(self, record):
            self.rounds += 1

    observer = OnlyRounds()
    assert tell(observer) == []
    assert observer.rounds == 2


def test_of_a_run_that_breaks_off_it_is_told_that_there_are_no_results(tell):
    ends = []

    class Ends:
        def on_end(self, summary, files):
            ends.append((summary, [*files]))

    with pytest.raises(ValueError, match="the run failed"):
        tell(Ends(), broken=ValueError("the run failed"))
    assert ends == [(None, [])]


def test_a_failure_in_a_file_of_the_users_is_told_with_its_line(tell, tmp_path):
    path = tmp_path / "own.py"
    path.write_text("class Own:\n    def on_round(self, record):\n        1 / 0\n")
    found = {}
    exec(compile(path.read_text(), str(path), "exec"), found)
    (line,) = tell(found["Own"]())
    assert "ZeroDivisionError: division by zero (own.py, line 3); it is told nothing more" in line
