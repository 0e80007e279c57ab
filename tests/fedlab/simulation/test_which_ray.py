"""A run uses the Ray that its experiment names, else a session's, else one of its own."""

from contextlib import nullcontext

import pytest

from fedlab.config.run_tables import EngineTable
from fedlab.simulation import which_ray
from fedlab.simulation.which_ray import ray_for


@pytest.mark.parametrize(
    ("table", "session", "place"),
    [
        ({"ray_address": "10.0.0.1:6379"}, "a session", None),
        ({}, "a session", "a session"),
        ({}, None, "a Ray of 3 cores"),
        ({"ray_address": "local"}, "a session", "a Ray of 3 cores"),
        ({"device": "cuda"}, "a session", "a Ray of 3 cores"),
    ],
)
def test_the_experiment_comes_before_the_session_and_that_before_a_ray_of_its_own(monkeypatch, table, session, place):
    monkeypatch.setattr(which_ray, "usable_session", lambda tell: session)
    monkeypatch.setattr(which_ray, "own_ray", lambda workers: nullcontext(f"a Ray of {workers} cores"))
    with ray_for(EngineTable(workers=3, **table), print) as found:
        assert found == place
