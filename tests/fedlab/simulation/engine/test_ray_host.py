"""The process of a Ray answers with its address, or with what is wrong; it needs nothing of Ray that is not public."""

import errno
import sys
from types import ModuleType, SimpleNamespace

import pytest

from fedlab.simulation.engine import ray_host


def fails(error):
    def raising(*_, **__):
        raise error

    return raising


def test_the_answer_is_the_address(monkeypatch, tmp_path):
    monkeypatch.setattr(ray_host, "start", lambda folder, cores: f"{folder.name}:{cores}")
    assert ray_host.host(tmp_path / "host", 2) == {"address": "host:2"}


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (Exception("timed out"), {"error": "Exception: timed out", "errno": None, "filename": None}),
        (
            OSError(errno.ENOSPC, "No room", "/tmp"),
            {"error": "OSError: [Errno 28] No room: '/tmp'", "errno": 28, "filename": "/tmp"},
        ),
        (ConnectionError("lost"), {"error": "ConnectionError: lost", "errno": None, "filename": None}),
    ],
)
def test_what_is_wrong_is_the_answer_too(monkeypatch, tmp_path, error, answer):
    monkeypatch.setattr(ray_host, "start", fails(error))
    assert ray_host.host(tmp_path, 1) == answer


@pytest.mark.parametrize("error", [ImportError("no Node"), AttributeError("no start"), TypeError("no argument")])
def test_a_ray_whose_private_parts_are_others_is_started_as_its_users_do(monkeypatch, tmp_path, error):
    started = []
    ray = ModuleType("ray")
    ray.init = lambda **options: started.append(options)
    ray.get_runtime_context = lambda: SimpleNamespace(gcs_address="127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(ray_host, "_start_lean", fails(error))
    assert ray_host.start(tmp_path, 3) == "127.0.0.1:1"
    assert (started[0]["address"], started[0]["num_cpus"], started[0]["_temp_dir"]) == ("local", 3, str(tmp_path))
