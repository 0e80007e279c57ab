"""MLflow: a run of an experiment on a tracking server, or in a database of MLflow's own."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedlab.common.short_text import shortened
from fedlab.results.trackers.base import TrackedRun, remember, remembered

_NAME = "mlflow"
# A server that is down is noticed in seconds: MLflow's own patience is seven tries, each of up to two minutes. Nothing
# is printed into the run's own display.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_NOT_IN_KEYS = re.compile(r"[^\w.:/ -]")  # MLflow refuses all other characters
_MOST_PARAMS = 100  # of a request (MLflow's limit)
_LONGEST_PARAM = 500  # characters (the limit of MLflow 1 and 2)


class MLflow:
    """A run on an MLflow server; `uri` is by default MLFLOW_TRACKING_URI, or what MLflow takes without one.

    A step is a round, and the time of a metric is the simulated time in ms. Parameters are the keys of the experiment,
    as the run began. The outcome of a trial is a tag.
    At the end the report, the records and the adapter are sent, unless `artifacts` is false. A resumed run goes on with
    its run on the server.
    """

    def __init__(self, *, uri: str | None = None, experiment: str = "fedlab", artifacts: bool = True) -> None:
        self._uri, self._experiment, self._artifacts = uri, experiment, artifacts

    def start(self, run: TrackedRun) -> int:
        """Make a run on the server, or go on with the one that was made before; return its last round."""
        # Imported here: only runs that are tracked need the package.
        from mlflow import MlflowClient  # noqa: PLC0415

        with _environment():
            self._client = MlflowClient(tracking_uri=self._uri)
            known = remembered(run.folder, _NAME).get("run_id")
            if known is not None:
                return self._resumed(known)
            found = self._client.get_experiment_by_name(self._experiment)
            group = self._client.create_experiment(self._experiment) if found is None else found.experiment_id
            tags = {"fedlab.experiment": run.experiment, "fedlab.folder": str(run.folder)}
            self._run_id = self._client.create_run(group, run_name=run.name, tags=tags).info.run_id
            remember(run.folder, _NAME, run_id=self._run_id)
            self._send_params(run.settings)
        return 0

    def scalars(self, values: Mapping[str, float], *, server_round: int, simulated_seconds: float) -> None:
        """Send metrics."""
        from mlflow.entities import Metric  # noqa: PLC0415

        at = round(1000 * simulated_seconds)
        with _environment():
            metrics = [Metric(_key(name), value, at, server_round) for name, value in values.items()]
            self._client.log_batch(self._run_id, metrics=metrics)

    def event(self, text: str, *, server_round: int, simulated_seconds: float) -> None:
        """Set a tag named for the round, such as `event.00012`."""
        with _environment():
            self._client.set_tag(self._run_id, f"event.{server_round:05d}", text)

    def end(self, summary: Mapping[str, Any] | None, files: Sequence[Path]) -> None:
        """Send the files, and say that the run has ended, or was killed."""
        with _environment():
            try:
                for path in files if self._artifacts else ():
                    if path.is_dir():
                        self._client.log_artifacts(self._run_id, str(path), path.name)
                    else:
                        self._client.log_artifact(self._run_id, str(path))
            finally:
                self._client.set_terminated(self._run_id, "KILLED" if summary is None else "FINISHED")

    def _resumed(self, run_id: str) -> int:
        run = self._client.get_run(run_id)
        self._client.update_run(run_id, status="RUNNING")
        self._run_id = run_id
        return int(run.data.metrics.get("round", 0))

    def _send_params(self, settings: Mapping[str, Any]) -> None:
        from mlflow.entities import Param  # noqa: PLC0415

        params = [Param(_key(name), shortened(str(value), _LONGEST_PARAM)) for name, value in settings.items()]
        for first in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(self._run_id, params=params[first : first + _MOST_PARAMS])


def _key(name: str) -> str:
    return _NOT_IN_KEYS.sub("_", name)


@contextmanager
def _environment() -> Iterator[None]:
    """Let MLflow give up on a server that is down, and print nothing, unless the user's environment says otherwise."""
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
