import os

import pytest

from fedlab.common.clock import age_seconds
from fedlab.deploy.node.heartbeat import beat, beats, forget


def grow_older(path, seconds):
    written = path.stat().st_mtime
    os.utime(path, (written - seconds, written - seconds))


@pytest.mark.parametrize(
    ("lasts_seconds", "alive_after", "dead_after"),
    [(None, 30, 90), (300.0, 250, 350), (43_200.0, 3000, 4000)],  # waiting; an order; one of Flower's, of half a day
)
def test_a_node_lives_as_long_as_what_it_does_may_take(tmp_path, lasts_seconds, alive_after, dead_after):
    beat(tmp_path, lasts_seconds)
    assert beats(tmp_path)
    grow_older(tmp_path / "pulse", alive_after)
    assert beats(tmp_path)
    grow_older(tmp_path / "pulse", dead_after - alive_after)
    assert not beats(tmp_path)


def test_a_node_that_was_never_there_has_no_pulse(tmp_path):
    assert not beats(tmp_path)


def test_a_node_that_is_started_again_has_no_pulse_of_before(tmp_path):
    beat(tmp_path, 60.0)
    forget(tmp_path)
    assert not beats(tmp_path)
    forget(tmp_path / "never-there")


def test_a_pulse_that_says_nothing_is_none(tmp_path):
    (tmp_path / "pulse").write_text("")
    assert not beats(tmp_path)


def test_the_age_of_a_file_is_in_seconds(tmp_path):
    (tmp_path / "file").touch()
    grow_older(tmp_path / "file", 500)
    assert 499 < age_seconds(tmp_path / "file") < 560
