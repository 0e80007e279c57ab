"""What `fedlab run` refuses before anything is started."""

import os
from contextlib import closing

from fedlab.config.file import experiment_from
from fedlab.results.folder import create
from fedlab.results.recorder import Recorder


def begun(path, **keys):
    folder = create(path)
    folder.write_experiment(experiment_from({"rounds": 2} | keys, "test"))
    return folder


def test_a_run_that_another_process_writes_is_not_resumed(fedlab, tmp_path):
    run = begun(tmp_path / "run")
    with closing(Recorder(run)):
        code, out, err = fedlab("run", "--resume", run.path)
    assert (code, out) == (2, "")
    assert err == f"fedlab: {run.path}: process {os.getpid()} is writing this run; wait until it has ended, or end it\n"
