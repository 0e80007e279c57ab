from pathlib import Path

import pytest

from fedlab.deploy.settings import WaitSettings, settings_of_run
from fedlab.errors import UserError


def test_what_is_not_said_is_as_in_patience():
    settings = settings_of_run({"out": "/data/runs"})
    assert (settings.out, settings.run, settings.wait) == (Path("/data/runs"), "", WaitSettings())


def test_everything_can_be_said():
    config = {"run": "lab-1", "nodes": 5, "least-nodes": 2, "wait-seconds": 9, "reply-seconds": 0.5}
    settings = settings_of_run(config)
    assert settings.run == "lab-1"
    assert settings.wait == WaitSettings(nodes=5, least_nodes=2, wait_seconds=9, reply_seconds=0.5)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"nodes": 0}, "nodes = 0: expected a whole number above 0"),
        ({"nodes": 1.5}, "nodes = 1.5"),
        ({"wait-seconds": "long"}, "wait-seconds = 'long': expected a number above 0"),
        ({"reply-seconds": True}, "reply-seconds = True"),
        ({"nodes": 2, "least-nodes": 3}, "least-nodes = 3: more than nodes = 2"),
        ({"run": "../elsewhere"}, "expected the name of a folder"),
        ({"run": ".."}, "expected the name of a folder"),
    ],
)
def test_a_wrong_setting_is_named(config, reason):
    with pytest.raises(UserError, match=reason):
        settings_of_run(config)
