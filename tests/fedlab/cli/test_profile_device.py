"""`fedlab profile-device` writes what was measured, says what was not, and never overwrites."""

import json

import pytest
from typer.testing import CliRunner

from fedlab.cli.main import app
from fedlab.devices.profile import load_profile
from fedlab.errors import RunFailedError, UserError
from fedlab.profiler import session
from fedlab.profiler.plan import Reading, jobs_of
from fedlab.profiler.readings import Readings
from fedlab.workload.shape import ModelShape

SHAPE = ModelShape(family="bert", blocks=2, hidden=128, intermediate=512)
WATTS = ["--watts-computing", "5", "--watts-communicating", "2", "--watts-idle", "1"]


def reading(depth: int) -> Reading:
    return Reading(round_seconds=(8.0 + depth,), batches=4, loaded_bytes=10**8, peak_bytes=2 * 10**8 + depth, threads=1)


@pytest.fixture
def profile(monkeypatch, tmp_path):
    """Return a function that runs the command on a machine whose measurements fail where a function says so."""

    def run(*words: str, fails=lambda job: False, watts=WATTS):
        def measured(plan, *, on_job, on_reading):
            readings = Readings(plan=plan, shape=SHAPE)
            jobs = list(jobs_of(plan, SHAPE, bundle="", scratch=""))
            for job in jobs:
                found = "no memory" if fails(job) else reading(job.depth)
                on_job(job, len(jobs))
                on_reading(job, found)
                readings.add(job, found)
            return readings

        monkeypatch.setattr(session, "measure_board", measured)
        monkeypatch.setenv("COLUMNS", "300")  # for the path, which is as long as the machine's folder for tests
        out = str(tmp_path / "mine.toml")
        return CliRunner().invoke(app, ["profile-device", "--backbone", "bert-tiny", "--out", out, *watts, *words])

    return run


def test_the_profile_is_written_and_shown(profile, tmp_path):
    done = profile("--seq-len", "64", "--watts-source", "a meter", "--description", "my board")
    assert done.exit_code == 0, done.output
    board = load_profile("mine.toml", tmp_path)
    assert board.description == "my board"
    assert board.tables("default", "fp32").latency_seconds["bert", "full"].values == (2.0, 2.25, 2.5)
    assert board.tables("default", "fp32").latency_seconds["bert", "cached_adapter"].point.sequence_length == 64
    assert board.provenance["idle_watts"].source == "a meter"
    assert "mine.toml: my board" in " ".join(done.output.split())
    assert "2.25 m" in done.output


@pytest.mark.parametrize("watts", ["nan", "inf"])
def test_a_power_that_is_no_finite_number_is_refused_before_anything_is_measured(profile, monkeypatch, tmp_path, watts):
    done = profile(watts=["--watts-computing", watts, *WATTS[2:]])
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == f"--watts-computing {watts}: expected a finite number of watts"
    assert not (tmp_path / "mine.toml").exists()


def test_the_table_is_printed_as_one_json_object_on_the_last_line(profile):
    table = json.loads(profile("--json").stdout.splitlines()[-1])
    assert table["by_depth"][1]["adapter"]["latency_seconds"]["level"] == "measured"


def test_one_method_alone_can_be_measured(profile, tmp_path):
    assert profile("--method", "full").exit_code == 0
    assert set(load_profile("mine.toml", tmp_path).tables("default", "fp32").latency_seconds) == {("bert", "full")}


def test_what_could_not_be_measured_is_said_and_the_rest_is_kept(profile, tmp_path):
    done = profile(fails=lambda job: job.table == "full" and job.depth == 2)
    assert isinstance(done.exception, RunFailedError)
    assert str(done.exception).endswith("is written, but some measurements failed: full: depth 2: no memory")
    assert ("bert", "full") not in load_profile("mine.toml", tmp_path).tables("default", "fp32").latency_seconds


def test_no_profile_is_written_of_nothing(profile, tmp_path):
    done = profile(fails=lambda job: True)
    assert isinstance(done.exception, RunFailedError)
    assert not list(tmp_path.iterdir())


def test_a_profile_that_is_there_is_left_alone_before_anything_is_measured(profile, tmp_path):
    (tmp_path / "mine.toml").write_text("of value")
    done = profile(fails=lambda job: pytest.fail("measured all the same"))
    assert isinstance(done.exception, UserError)
    assert (tmp_path / "mine.toml").read_text() == "of value"


def test_the_powers_have_to_be_given(profile):
    done = profile(watts=WATTS[2:])
    assert done.exit_code == 2
    assert "--watts-computing" in done.output
