import os

import pytest

from fedlab.common.clock import age_seconds
from fedlab.deploy.node.heartbeat import clear_heartbeat, is_alive, write_heartbeat


def grow_older(path, seconds):
    written = path.stat().st_mtime
    os.utime(path, (written - seconds, written - seconds))


@pytest.mark.parametrize(
    ("lasts_seconds", "alive_after", "dead_after"),
    [(None, 30, 90), (300.0, 250, 350), (43_200.0, 3000, 4000)],  # waiting; an order; one of Flower's, of half a day
)
def test_a_node_lives_as_long_as_what_it_does_may_take(tmp_path, lasts_seconds, alive_after, dead_after):
    write_heartbeat(tmp_path, lasts_seconds)
    assert is_alive(tmp_path)
    grow_older(tmp_path / "heartbeat", alive_after)
    assert is_alive(tmp_path)
    grow_older(tmp_path / "heartbeat", dead_after - alive_after)
    assert not is_alive(tmp_path)


def test_a_node_that_was_never_there_has_no_heartbeat(tmp_path):
    assert not is_alive(tmp_path)


def test_a_node_that_is_started_again_has_no_heartbeat_of_before(tmp_path):
    write_heartbeat(tmp_path, 60.0)
    clear_heartbeat(tmp_path)
    assert not is_alive(tmp_path)
    clear_heartbeat(tmp_path / "never-there")


def test_a_heartbeat_that_says_nothing_is_none(tmp_path):
    (tmp_path / "heartbeat").write_text("")
    assert not is_alive(tmp_path)


def test_the_age_of_a_file_is_in_seconds(tmp_path):
    (tmp_path / "file").touch()
    grow_older(tmp_path / "file", 500)
    assert 499 < age_seconds(tmp_path / "file") < 560
