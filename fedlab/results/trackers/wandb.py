"""Weights & Biases: a run of a project, online or in a folder that is sent later."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from fedlab.results.trackers.base import TrackedRun, remember, remembered

_NAME = "wandb"
_TIME = "simulated_hours"
# Nothing is printed into the run's own display, no terminal is asked for a key, and no code or output is sent. A server
# that is down is noticed in half a minute, at the end in a minute; what was not sent stays in the run's folder.
_SETTINGS = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "init_timeout": 30,
    "finish_timeout": 60,
    "finish_timeout_raises": True,
}


class WeightsAndBiases:
    """A run of a W&B project; `mode` is by default WANDB_MODE, or online.

    An offline run is sent by `wandb sync RUN/wandb/offline-run-*`.

    Each row has the round and the simulated time, which is the horizontal axis by default. The configuration has the
    keys of the experiment. At the end the report, the records and the adapter are sent, unless `artifacts` is false. A
    resumed run goes on with its run; offline it is written a second time from the first round, and replaces the first.
    """

    def __init__(
        self,
        *,
        project: str = "fedlab",
        entity: str | None = None,
        mode: Literal["online", "offline"] | None = None,
        artifacts: bool = True,
    ) -> None:
        self._about = {"project": project, "entity": entity, "mode": mode}
        self._artifacts = artifacts

    def start(self, run: TrackedRun) -> int:
        """Begin a run, or go on with it; return the last round that W&B has."""
        # Imported here: only runs that are tracked need the package.
        import wandb  # noqa: PLC0415

        settings = wandb.Settings(**_SETTINGS)
        # Set up here, because `silent` of a run alone would not keep W&B from asking for a key.
        mode = wandb.setup(settings).settings.mode
        offline = (self._about["mode"] or mode) == "offline"
        known = remembered(run.folder, _NAME).get("run_id")
        self._run = wandb.init(
            **self._about,
            id=known,
            resume=None if known is None or offline else "allow",
            name=run.name,
            group=run.experiment,
            config=dict(run.settings),
            dir=str(run.folder),
            reinit="create_new",
            settings=settings,
        )
        remember(run.folder, _NAME, run_id=self._run.id)
        self._run.define_metric("*", step_metric=_TIME)
        return 0 if self._run.offline else int(self._run.summary.get("round", 0))

    def scalars(self, values: Mapping[str, float], *, server_round: int, simulated_seconds: float) -> None:
        """Log a row."""
        self._run.log({"round": server_round, _TIME: simulated_seconds / 3600} | dict(values))

    def event(self, text: str, *, server_round: int, simulated_seconds: float) -> None:
        """Log a row with a text."""
        self._run.log({"round": server_round, _TIME: simulated_seconds / 3600, "event": text})

    def end(self, summary: Mapping[str, Any] | None, files: Sequence[Path]) -> None:
        """Send the files, and finish the run; one that broke off is marked as failed."""
        try:
            for path in files if self._artifacts else ():
                for each in path.rglob("*") if path.is_dir() else (path,):
                    self._run.save(str(each), base_path=str(path.parent), policy="now", glob=False)
        finally:
            self._run.finish(exit_code=int(summary is None))
