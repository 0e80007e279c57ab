"""A whole profile measured: the encoder and texts prepared once, then a process for each depth of each method."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from fedlab.common.scratch import scratch_folder
from fedlab.config.file import experiment_from
from fedlab.errors import UserError
from fedlab.profiler.plan import Job, MeasurementPlan, Reading, jobs_of
from fedlab.profiler.readings import Readings
from fedlab.workload.shape import ModelShape

# A measurement starts (its job, and the number of jobs) and has ended.
OnJob = Callable[[Job, int], None]
OnReading = Callable[[Job, Reading | str], None]


def measure_board(plan: MeasurementPlan, *, on_job: OnJob, on_reading: OnReading) -> Readings:
    """Measure this machine as a plan says; tables of which a depth cannot be measured are left out.

    Raises:
        UserError: the encoder cannot be loaded, or the sequences are too long for it.
    """
    with scratch_folder("profile-") as scratch:
        bundle = _prepare(plan, scratch)
        shape = shape_of(bundle)
        jobs = list(jobs_of(plan, shape, bundle=str(bundle), scratch=str(scratch)))
        return _measure(plan, shape, jobs, on_job, on_reading)


def run_job(job: Job) -> Reading | str:
    """Measure one entry in a process of its own; return the reason in words if it could not be.

    Python's -P keeps modules of the current folder from being taken for ours.
    """
    command = [sys.executable, "-P", "-m", "fedlab.profiler.worker", json.dumps(asdict(job))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        table = json.loads(done.stdout.splitlines()[-1])
        return Reading(**{**table, "round_seconds": tuple(table["round_seconds"])})
    if done.returncode == -signal.SIGKILL:
        return "its process was killed, as happens where memory runs out"
    said = done.stderr.strip().splitlines()
    return said[-1] if said else f"its process ended with {done.returncode}"


def shape_of(bundle: Path) -> ModelShape:
    """Return the sizes of a prepared encoder."""
    about = json.loads((bundle / "about.json").read_text())
    return ModelShape(**about["sizes"]["shape"])


def _measure(
    plan: MeasurementPlan, shape: ModelShape, jobs: Sequence[Job], on_job: OnJob, on_reading: OnReading
) -> Readings:
    readings = Readings(plan=plan, shape=shape)
    for job in jobs:
        if job.table in readings.failures or (job.table == "cached_adapter" and "adapter" in readings.failures):
            continue
        on_job(job, len(jobs))
        try:
            found = run_job(job)
        except KeyboardInterrupt:  # what was measured by now may be hours of work
            readings.failures |= {each.table: "interrupted" for each in jobs if each.table not in readings.complete()}
            break
        on_reading(job, found)
        readings.add(job, found)
    return readings


def _prepare(plan: MeasurementPlan, scratch: Path) -> Path:
    # Imported here: seconds of torch and transformers, which the command line can do without for help and mistakes.
    from fedlab.training.bundle import bundle_for  # noqa: PLC0415

    tokens = plan.point.sequence_length
    options = {"count": plan.batches * plan.point.batch_size, "words": tokens}
    table = {
        "rounds": 1,
        "task": {
            "data": "fedlab.data.sources.synthetic:texts",
            "options": options,
            "max_length": tokens,
            "partition": {"clients": 1},
        },
        "backbone": {"name": plan.backbone},
    }
    try:
        return bundle_for(experiment_from(table, "fedlab profile-device"), scratch)
    except UserError as error:
        # It speaks of an experiment's keys, and there is no experiment here but in the making.
        said = str(error).replace("task.max_length", "--seq-len").replace("backbone.name", "--backbone")
        raise UserError(said) from error
