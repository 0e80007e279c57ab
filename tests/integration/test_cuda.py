"""A run on GPUs gives the results of a run on the cores, up to the rounding of float32 sums."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

DEVICE = "cuda"
FEDLAB = Path(sys.executable).with_name("fedlab")
EXPERIMENT = Path(__file__).parents[2] / "experiments" / "quickstart.toml"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
@pytest.mark.slow
def test_a_run_on_gpus_ends_as_accurate_as_on_the_cores(day_and_night, tmp_path):
    data = [f"task.data={day_and_night}", "backbone.name=bert-tiny", "task.max_length=16", "task.partition.clients=8"]
    work = ["rounds=3", "strategy.name=fedavg", "strategy.options={clients_per_round=8}", "client.depth=1"]
    settings = [word for each in (*data, *work) for word in ("--set", each)]
    found = {}
    for device, words in (("cpu", []), (DEVICE, ["--set", "engine.actors_per_gpu=2"])):
        command = [FEDLAB, "run", EXPERIMENT, "--quiet", "--out", tmp_path / device, *settings, *words]
        subprocess.run([*map(str, command), "--set", f"engine.device={device}"], check=True, capture_output=True)
        found[device] = load_file(tmp_path / device / "final.safetensors")
        assert json.loads((tmp_path / device / "engine.json").read_text())["workers"] >= 2

    for name, array in found["cpu"].items():
        np.testing.assert_allclose(array, found[DEVICE][name], atol=1e-4, err_msg=name)
