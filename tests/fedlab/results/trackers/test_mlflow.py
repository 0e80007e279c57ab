"""A real MLflow server on loopback keeps a run, also one that was resumed; without a server the run goes on."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec

import pytest

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
SECONDS = 180


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Start an MLflow server that keeps everything in a folder, and return its address."""
    if missing := [name for name in ("flask", "sqlalchemy", "alembic") if find_spec(name) is None]:
        pytest.skip(f"no MLflow server here: {missing[0]} is not installed (mlflow-skinny is the client alone)")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    with (folder / "log").open("w") as log:
        quick = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log, env=quick)
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
        try:
            while not answers(address):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait()


def answers(address):
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def kept(server, experiment="fedlab"):
    """Return the client and the runs that a server has of an experiment."""
    client = mlflow.MlflowClient(tracking_uri=server)
    found = client.get_experiment_by_name(experiment)
    return client, client.search_runs([found.experiment_id])


@pytest.mark.slow
def test_a_server_keeps_scalars_keys_trials_and_results_of_a_resumed_run_once(server, tracked_folder, capfd):
    made = tracked_folder("mlflow", mlflow={"uri": server})
    (made.folder.path / "adapter").mkdir()
    (made.folder.path / "adapter" / "config.json").write_text("{}")
    made.run([1, 2, 3], ends=False)
    client, (run,) = kept(server)
    assert run.info.status == "KILLED"
    made.run([2, 3, 4])  # the checkpoint was of round 1
    client, (run,) = kept(server)

    assert made.said == []
    assert capfd.readouterr().out == "", "it would spoil the run's own display"
    assert (run.info.run_name, run.info.status) == ("mine", "FINISHED")
    history = client.get_metric_history(run.info.run_id, "validation/accuracy")
    assert [(each.step, each.timestamp, each.value) for each in history] == [
        (number, 10_000 * number, number / 10) for number in (1, 2, 3, 4)
    ]
    assert run.data.metrics["total/joules"] == 32.0
    assert run.data.metrics["trial/deep"] == 0.5
    assert run.data.params["task.partition.clients"] == "100"
    assert len(run.data.params) > 40
    assert "deep wins" in run.data.tags["event.00002"]
    assert run.data.tags["fedlab.experiment"] == "mine"
    sent = {each.path for each in client.list_artifacts(run.info.run_id)}
    assert {"summary.json", "report.html", "rounds.jsonl", "clients.jsonl", "trials.jsonl", "adapter"} <= sent
    assert [each.path for each in client.list_artifacts(run.info.run_id, "adapter")] == ["adapter/config.json"]


@pytest.mark.slow
def test_a_run_of_another_experiment_is_kept_apart_and_without_files_if_asked(server, tracked_folder):
    made = tracked_folder("mlflow", mlflow={"uri": server, "experiment": "apart", "artifacts": False})
    made.run([1, 2])
    client, (run,) = kept(server, "apart")
    assert client.list_artifacts(run.info.run_id) == []
    assert run.data.metrics["round"] == 2.0


def test_a_server_that_is_down_is_told_once_and_soon_and_the_run_goes_on(tracked_folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        made = tracked_folder("mlflow", mlflow={"uri": f"http://127.0.0.1:{closed.getsockname()[1]}"})
        made.run([1, 2, 3])
    (line,) = made.said
    assert line.startswith("tracker mlflow failed in on_start: ")
    assert line.endswith("it is told nothing more, and the run goes on")


def test_the_patience_of_mlflow_is_as_before_after_the_run(tracked_folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    tracked_folder("mlflow", mlflow={"uri": "http://127.0.0.1:1"}).run([1])
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ
