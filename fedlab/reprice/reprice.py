"""Repricing: a finished run is billed for other boards and links, without training again.

What a run cost is a pure function of what its clients did. Where that cannot depend on how long anything takes, the
same work on other boards over other links is the same run with other times, energies and bytes a second. A run is
repriced only if billing it on its own boards and links gives its own records again, to the last digit.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedlab.billing.simulated import SimulatedPhysics
from fedlab.common.files import share
from fedlab.compare.grouping import identity_of, table_of
from fedlab.config.file import experiment_from, parse_setting, set_key
from fedlab.config.schema import Experiment
from fedlab.data.report import report_from
from fedlab.errors import UserError
from fedlab.models.cnn.sizes import conv_sizes
from fedlab.models.sizes import read_sizes
from fedlab.reprice.rebill import rebilled, says_work
from fedlab.results.folder import RunFolder
from fedlab.results.recorder import Recorder
from fedlab.results.records import ClientRecord, RoundRecord
from fedlab.results.write import write_results
from fedlab.server.context import DecidesByTime, searches
from fedlab.server.factory import load_physics, load_strategy
from fedlab.workload.shape import AnyShape

REPRICED_TABLES = ("fleet", "link")

_SAYS_NOTHING = ("name", "label", "engine", "checkpoint", "tracking", "base_folder", *REPRICED_TABLES)
_TIMELESS = ("strategies.", "flwr.")  # packages whose strategies decide nothing by time unless they search


def why_not(experiment: Experiment) -> str | None:
    """Say why an experiment's training may depend on its boards and links; None if it cannot.

    A strategy of one's own is taken at its word: `decides_by_time = False` among its attributes.

    Raises:
        UserError: there is no such strategy, or it does not take its options.
    """
    options, name = experiment.strategy.options, experiment.strategy.name
    if experiment.simulated_hours is not None:
        return "it stops when its clock says so (simulated_hours)"
    if experiment.availability.name != "always":
        return f"its clients come and go as time passes (availability {experiment.availability.name})"
    if options.get("deadline_seconds") is not None or options.get("over_selection", 1) != 1:
        return "who is left out of a round depends on time (deadline_seconds, over_selection)"
    strategy = load_strategy(experiment)
    if searches(strategy):
        return f"the strategy '{name}' searches by what its trials take"
    known = type(strategy).__module__.startswith(_TIMELESS)
    if strategy.decides_by_time if isinstance(strategy, DecidesByTime) else not known:
        return f"the strategy '{name}' may decide by time; if it does not, give it decides_by_time = False"
    return None


def billing_key(experiment: Experiment) -> str:
    """Return what experiments have in common that can be billed from each other's training."""
    table = experiment.model_dump(mode="json", exclude=set(_SAYS_NOTHING))
    return identity_of([table, experiment.engine.pack])


def changed_experiment(source: RunFolder, settings: Sequence[str]) -> Experiment:
    """Return a run's experiment with other boards or links.

    Raises:
        UserError: a setting is of something else, or is not accepted.
    """
    table = source.experiment_table()
    for setting in settings:
        key, value = parse_setting(setting)
        if table_of(key) not in (*REPRICED_TABLES, "name", "label"):
            raise UserError(f"--set {setting}: only keys of fleet and link can be repriced; for others run it again")
        set_key(table, key, value, place=f"--set {setting}")
    return experiment_from(table, str(source.experiment))


def reprice(source: RunFolder, experiment: Experiment, out: Path) -> dict[str, Any]:
    """Bill a finished run for an experiment of other boards and links, into a new folder; return its summary.

    Raises:
        UserError: it has not ended, its training may depend on its boards and links, or the folder is not empty.
    """
    own, summary = experiment_from(source.experiment_table(), str(source.experiment)), source.summary()
    if summary is None:
        raise UserError(f"{source.path}: has not ended; resume it first")
    if billing_key(own) != billing_key(experiment):
        raise UserError(f"{source.path}: is of another experiment: boards and links alone can be repriced")
    if reason := why_not(experiment):
        raise UserError(f"{source.path}: cannot be repriced: {reason}")
    rounds, clients = _checked(source, own)
    rounds, clients = rebilled(rounds, clients, _physics(experiment, source), str(source.path))
    return _written(source, summary, experiment, rounds, clients, out)


def _checked(source: RunFolder, own: Experiment) -> tuple[list[RoundRecord], list[ClientRecord]]:
    """Return a run's records if its own boards and links account for them."""
    rounds, clients = source.rounds(), source.clients()
    if any(record.trial is not None for record in rounds):
        raise UserError(f"{source.path}: cannot be repriced: its strategy searched by what its trials took")
    if lost := next((each for each in clients if each.dropout not in (None, "failed", "refused")), None):
        raise UserError(f"{source.path}: cannot be repriced: client {lost.partition_id} dropped out: {lost.error}")
    if any(each.dropout not in ("failed", "refused") and not says_work(each) for each in clients):
        raise UserError(f"{source.path}: cannot be repriced: its records, of an earlier version, lack what clients did")
    again = rebilled(rounds, clients, _physics(own, source), str(source.path))
    if [_text(records) for records in again] != [_text(rounds), _text(clients)]:
        raise UserError(
            f"{source.path}: cannot be repriced: its records are not what its own boards and links come to "
            "(an earlier version, a deployed run, or a strategy with rounds of its own)"
        )
    return rounds, clients


def _text(records: Sequence[RoundRecord | ClientRecord]) -> str:
    return json.dumps([asdict(record) for record in records])  # a loss that is not a number equals itself


def _physics(experiment: Experiment, source: RunFolder) -> SimulatedPhysics:
    return load_physics(experiment, clients=experiment.task.partition.clients, shape=_shape(experiment, source))


def _shape(experiment: Experiment, source: RunFolder) -> AnyShape:
    """Return the sizes of the model; those of a network for images depend on what the run has read."""
    if experiment.task.kind != "image":
        return read_sizes(experiment.backbone, resolve=experiment.path).shape
    try:
        images = report_from(json.loads(source.data.read_text(encoding="utf-8"))).images
        assert images is not None, "a run of images says what it read"
        channels, height, width = images.shape
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{source.data}: cannot be read, and the size of the images is in it") from error
    shape = (channels, height, width)
    return conv_sizes(experiment.backbone, shape, images.num_labels, base=experiment.path(".")).shape


def _written(
    source: RunFolder,
    summary: Mapping[str, Any],
    experiment: Experiment,
    rounds: Sequence[RoundRecord],
    clients: Sequence[ClientRecord],
    out: Path,
) -> dict[str, Any]:
    """Write the new run's folder beside its place, and put it there when it is whole."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: not a new or empty folder; choose another --out")
    made = [each for each in (out.parent, *out.parent.parents) if not each.exists()]  # the innermost first
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
        scratch.chmod(0o755)
    except OSError as error:
        raise UserError(f"{out.parent}: cannot make a folder: {error.strerror}") from error
    try:
        _fill(RunFolder(scratch), source, experiment, rounds, clients)
        said = write_results(
            RunFolder(scratch),
            experiment,
            status=str(summary.get("status", "finished")),
            arrays_digest=summary.get("arrays_digest"),
            more=_more(summary, source, out),
        )
        scratch.replace(out)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        for folder in made:
            folder.rmdir()
        raise
    return said


def _more(summary: Mapping[str, Any], source: RunFolder, out: Path) -> dict[str, Any]:
    """Return what the new summary says besides the records: where it is from, and the digest of the same best model."""
    best = {key: value for key, value in summary.items() if key == "best_arrays_digest"}
    return {"run_dir": str(out), "repriced_from": str(source.path), **best}


def _fill(
    folder: RunFolder,
    source: RunFolder,
    experiment: Experiment,
    rounds: Sequence[RoundRecord],
    clients: Sequence[ClientRecord],
) -> None:
    folder.write_experiment(experiment)
    models = (source.final, source.adapter, source.model, source.best, source.best_model)
    for file in (source.environment, source.start_file, source.data, *models):
        share(file, folder.path / file.name)
    recorder = Recorder(folder)
    recorder.on_message(f"repriced, without training, from {source.path}")
    recorder.on_clients(clients)
    for record in rounds:
        recorder.on_round(record)
    for step in source.steps():  # of the same messages
        recorder.on_step(step)
    recorder.on_shifts(source.shifts())
    recorder.close()
