"""`fedlab estimate` prints what rounds cost, and refuses in a line what it cannot estimate."""

import inspect
import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from fedlab.cli.estimate import estimate
from fedlab.estimate.named import Named

KEYS = ["seconds", "bytes_down", "bytes_up", "joules", "peak_memory_bytes", "by_segment"]
EXPERIMENT = """
rounds = 3
[task]
data = "someone/some_data" # of a hub that nobody asks
max_length = 64
partition = { clients = 6 }
[backbone]
name = "bert-tiny"
[client]
depth = 1
[fleet]
devices = { jetson-tx2 = 1, rpi-4b = 1 }
"""
FEDAVG = ["--set", "strategy={name = 'fedavg', options = {clients_per_round = 4}}"]
ADAFL = [
    "--set",
    "strategy={name = 'adafl', options = {clients_per_round = 6, base_seconds = 0.1}}",
    "--set",
    "rounds=12",
]


LORA = ["lora.csv", "--method", "lora", "--backbone", "llama-7b"]
# Run the command line, and say at last how many KiB the process took at most.
MEASURED = """
import atexit, resource, runpy, sys
atexit.register(lambda: sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)))
sys.argv[0] = "fedlab"
runpy.run_module("fedlab", run_name="__main__")
"""


FWDLLM = ["rounds.csv", "--published", "--paper", "fwdllm"]


@pytest.fixture
def command(fedlab, monkeypatch, tmp_path):
    """Return a function that runs `fedlab estimate` in a folder with two trajectories and an experiment."""
    (tmp_path / "ft.csv").write_text("round,depth,width\n171,12,8\n")
    (tmp_path / "adafl.csv").write_text("round,depth,width\n80,0,8\n89,2,8\n181,2,16\n")
    (tmp_path / "lora.csv").write_text("round,depth,rank\n20,32,8\n")
    (tmp_path / "rounds.csv").write_text("round,perturbations\n10,1\n24,3\n")
    (tmp_path / "planned.toml").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return partial(fedlab, "estimate")


def plain(command, *words):
    code, out, err = command(*words, "--json")
    assert code == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize(
    ("words", "hours"),
    [
        ([], 43.95175),
        (["--device", "jetson-nano"], 46.2935),
        (["--device", "rpi-4b"], 88.445),
        (["--codec", "int8"], 12.74425),
        (["--bandwidth", "10MB/s"], 6.50275),
    ],
)
def test_the_papers_hours_come_out(command, words, hours):
    found = plain(command, "ft.csv", "--method", "full", "--published", "--batches", "29", *words)
    assert found["seconds"] / 3600 == pytest.approx(hours, rel=1e-6)
    assert list(found) == KEYS


def test_the_guides_trajectory_takes_what_the_guide_says(command):
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "estimate.md").read_text()
    Path("trajectory.csv").write_text(re.search(r"```csv.*?\n(.*?)```", guide, re.DOTALL)[1])
    for words in (["trajectory.csv", "--published"], ["trajectory.csv"]):
        said = re.search(rf"fedlab estimate {' '.join(words)} +# ([\d,]+) s", guide)[1]
        assert f"{plain(command, *words)['seconds']:,.0f}" == said


def test_segments_add_up_to_the_whole(command):
    found = plain(command, "adafl.csv")
    assert [part["rounds"] for part in found["by_segment"]] == [80, 9, 92]
    for key in ("seconds", "bytes_down", "bytes_up", "joules"):
        assert sum(part[key] for part in found["by_segment"]) == pytest.approx(found[key])
    assert found["peak_memory_bytes"] == max(part["peak_memory_bytes"] for part in found["by_segment"])


def test_the_table_names_all_that_is_assumed(command):
    _, out, _ = command("adafl.csv")
    for word in ("adapter", "bert-base", "jetson-tx2", "1MB/s", "29 batches of 4 x 256 tokens", "20 labels", "181"):
        assert word in out
    _, out, _ = command("adafl.csv", "--published")
    assert "artifact" in out


def test_lora_of_a_decoder_is_estimated_on_a_board(command):
    found = plain(command, *LORA, "--device", "jetson-agx-orin", "--format", "fp16")
    assert found["by_segment"][0]["configuration"] == {"set": "lora", "depth": 32, "rank": 8, "targets": "q,v"}
    code, out, _ = command(*LORA, "--device", "jetson-agx-orin", "--format", "fp16", "--checkpointing")
    assert code == 0
    assert "lora, checkpointing of llama-7b in fp16 on jetson-agx-orin, 1MB/s, 29 batches" in " ".join(out.split())
    saved = plain(command, *LORA, "--device", "jetson-agx-orin", "--format", "fp16", "--checkpointing")
    assert saved["peak_memory_bytes"] < found["peak_memory_bytes"]
    assert saved["seconds"] > found["seconds"]


def test_forward_passes_alone_run_on_an_npu(command):
    phone = ["--method", "forward", "--device", "pixel-7-pro", "--format", "int8"]
    cpu, npu = (plain(command, *LORA, *phone, "--processor", name)["seconds"] for name in ("default", "npu"))
    assert npu < cpu / 3


def test_all_boards_are_shown_with_what_would_fit(command):
    words = [*LORA, "--device", "all", "--format", "fp16", "--batch-size", "8"]
    code, out, _ = command(*words)
    assert code == 0
    assert re.search(r"jetson-agx-orin .*as it is", out)
    assert "too large" in out
    boards = plain(command, *words)["boards"]
    assert [name for name, board in boards.items() if board["fits"]] == ["jetson-agx-orin"]


def test_llama_7b_is_estimated_without_weights_within_30_seconds_and_2_gb(tmp_path):
    (tmp_path / "lora.csv").write_text("round,depth,rank\n20,32,8\n")
    words = [*LORA, "--format", "fp16", "--device", "all", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "estimate", *words],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert "boards" in json.loads(done.stdout)
    assert int(done.stderr) * 1024 < 2e9


def test_the_defaults_the_help_shows_are_those_in_use():
    shown = {
        name: parameter.annotation.__metadata__[0] for name, parameter in inspect.signature(estimate).parameters.items()
    }
    named = Named()
    for option, default in {
        "method": named.method,
        "codec": named.codec,
        "backbone": named.backbone,
        "device": named.device,
        "bandwidth": named.bandwidth,
        "batches": named.batches,
        "seq_len": named.sequence_length,
        "batch_size": named.batch_size,
        "labels": named.labels,
        "number_format": named.format,
        "processor": named.processor,
        "targets": ",".join(named.targets),
    }.items():
        assert re.match(rf"{default}\b", str(shown[option].show_default))


def test_a_planned_experiment_is_estimated_without_training(command):
    found = plain(command, "planned.toml", "--batches", "5", *FEDAVG)
    assert list(found)[:6] == KEYS
    assert found["by_segment"][0]["rounds"] == 3
    assert {board["device"] for board in found["by_device"]} == {"jetson-tx2", "rpi-4b"}
    assert found["run"]["participations"] == 12
    assert found["seconds"] >= max(board["seconds"] for board in found["by_device"]) * 0.5
    assert "bounds" not in found


def test_a_search_is_estimated_between_its_cheapest_and_dearest_way(command):
    _, shown, _ = command("planned.toml", "--batches", "5", *ADAFL)
    code, out, _ = command("planned.toml", "--batches", "5", "--json", *ADAFL)
    found = json.loads(out)
    assert code == 0
    assert "every trial is won by the group that stays as it is" in found["assumption"]
    assert "every trial is won by the largest group" in " ".join(shown.split())
    low, high = found["bounds"]["lower"], found["bounds"]["upper"]
    assert low["seconds"] == found["seconds"]
    assert low["bytes_up"] < high["bytes_up"]


def test_a_search_follows_a_trajectory_if_one_is_given(command):
    found = plain(command, "planned.toml", "--batches", "5", "--trajectory", "adafl.csv", *ADAFL)
    assert "trajectory" in found["assumption"]
    assert "bounds" not in found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.csv"], "none.csv: cannot be read: No such file"),
        (["none.toml"], "none.toml: cannot be read"),
        (["planned.toml", *FEDAVG], "--batches N"),
        (["planned.toml", "--method", "full"], "--method is for a trajectory"),
        (["planned.toml", "--seq-len", "64"], "--seq-len is for a trajectory"),
        (["planned.toml", "--published"], "--published is for a trajectory"),
        (["planned.toml", "--batches", "5", "--trajectory", "ft.csv", *FEDAVG], "has no trials that could follow it"),
        (
            ["planned.toml", "--batches", "5", "--trajectory", "ft.csv", *ADAFL],
            "--trajectory: depth 12 up to round 171, expected 0 to 2",
        ),
        (["ft.csv", "--set", "rounds=3"], "--set is for an experiment"),
        (["ft.csv", "--trajectory", "ft.csv"], "--trajectory is for an experiment"),
        (["ft.csv", "--device", "jetson-tx3"], "unknown device 'jetson-tx3', nearest is 'jetson-tx2'"),
        (["ft.csv", "--bandwidth", "fast"], "bandwidth 'fast' is not usable"),
        (["ft.csv", "--bandwidth", "1e-310MB/s", "--published"], "bandwidth '1e-310MB/s' is not usable"),
        (["ft.csv", "--published", "--labels", "4"], "--labels sets the size of the head"),
        (["ft.csv", "--batches", "0"], "--batches"),
        (["ft.csv", "--codec", "int2"], "--codec"),
        (["ft.csv", "--backbone", "./none"], "--backbone: no folder none"),
        (["ft.csv", "--backbone", "distilbert-base"], "depth 12 up to round 171, expected 0 to 6"),
        (["planned.toml", "--format", "int4"], "--format is for a trajectory"),
        (["planned.toml", "--checkpointing"], "--checkpointing is for a trajectory"),
        (["ft.csv", "--format", "fp8"], "--format"),
        (["ft.csv", "--format", "int4"], "no tables or rates for int4 on the processor 'default', accepted: fp32"),
        (["ft.csv", "--processor", "npu"], "jetson-tx2: no processor 'npu', accepted: default"),
        ([*LORA, "--targets", "q,dense"], "a llama has no projection 'dense', accepted: q, k, v, o, up, down, gate"),
        ([*LORA, "--targets", ""], "trained.targets is '', expected a name"),
        ([*LORA, "--backbone", "llama-9b"], "--backbone: 'llama-9b' is no folder"),
        ([*LORA, "--published"], "--published: the artifact's tables are of adapters and whole blocks, not of lora"),
        ([*LORA, "--backbone", "smollm2-135m"], "depth 32 up to round 20, expected 0 to 30: the decoder has 30 blocks"),
        ([*LORA, "--device", "pixel-7-pro", "--processor", "npu", "--format", "int8"], "runs forward passes alone"),
        (["ft.csv", "--paper", "fwdllm"], "--paper says whose published figures are used: give --published as well"),
        (["planned.toml", "--paper", "fwdllm"], "--paper is for a trajectory"),
        (["ft.csv", "--published", "--paper", "bert"], "--paper"),
        (["ft.csv", "--evaluate-every", "5"], "--evaluate-every is for --published --paper fwdllm"),
        (["ft.csv", "--published", "--method", "bitfit"], "--method bitfit is for --published --paper fwdllm"),
        (["ft.csv", *FWDLLM[1:]], "the columns are round,depth,width, expected round,perturbations"),
        ([*FWDLLM, "--method", "lora"], "--method lora: FwdLLM has no figures of it, accepted: forward, full"),
        ([*FWDLLM, "--codec", "int8"], "--codec is for AdaFL and our own cost model"),
        ([*FWDLLM, "--checkpointing"], "--checkpointing is for AdaFL and our own cost model"),
        ([*FWDLLM, "--device", "all"], "--device: FwdLLM has no figures of 'all'"),
        ([*FWDLLM, "--backbone", "bert-large"], "--backbone: FwdLLM has no figures of 'bert-large'"),
        ([*FWDLLM, "--processor", "npu", "--format", "int4"], "the npu of pixel-7-pro has no figures in int4"),
        ([*FWDLLM, "--method", "full"], "line 3: perturbations is '3', but full has none"),
        ([*FWDLLM, "--bandwidth", "fast"], "bandwidth 'fast' is not usable"),
        ([*FWDLLM, "--batches", "-1"], "--batches"),
        ([*FWDLLM, "--evaluate-every", "0"], "--evaluate-every"),
        (
            [*LORA, "--method", "forward", "--device", "pixel-7-pro", "--processor", "npu"],
            "no tables or rates for fp32 on the processor 'npu', accepted: fp16, int8",
        ),
        ([*LORA, "--device", "all", "--targets", "w"], "a llama has no projection 'w'"),
    ],
)
def test_what_cannot_be_estimated_costs_one_line_and_exit_code_2(command, words, message):
    code, out, err = command(*words)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not out


def test_fwdllms_figures_are_printed_as_a_table_and_as_json(command):
    words = ["--processor", "npu", "--batches", "18", "--labels", "10", "--evaluate-every", "5"]
    found = plain(command, *FWDLLM, *words)
    transfer_seconds = 4 * 454_954 / 1_310_720
    computing = 18 * 0.3085584 * (10 + 3 * 14)
    assert found["seconds"] == pytest.approx(computing + 5 * 18 * transfer_seconds)  # after 1, 6, 11, 16 and 21 rounds
    assert found["joules"] == pytest.approx(5.2817 * computing + 4 * 24 * 18 * transfer_seconds)
    assert (found["bytes_down"], found["bytes_up"]) == (24 * 18 * 4 * 454_954, 0)
    assert (found["parameters"], found["evaluations"], found["provenance"]) == (454_954, 5, "published")
    assert [part["configuration"]["perturbations"] for part in found["by_segment"]] == [1, 3]
    code, out, _ = command(*FWDLLM, *words)
    assert code == 0
    assert "454,954 parameters, 5 evaluations" in " ".join(out.split())


def test_the_phone_without_a_processor_is_billed_for_its_cpu_and_says_what_does_not_follow_from_the_rules(command):
    (Path.cwd() / "rounds.csv").write_text("round,perturbations\n18,1\n")
    words = [*FWDLLM, "--backbone", "roberta-large", "--method", "fedadapter", "--labels", "10"]
    found = plain(command, *words)
    assert found["compute_seconds"] == pytest.approx(18 * 15 * 5.48234)
    assert "as bitfit" in " ".join(found["notes"])
    _, out, _ = command(*words)
    assert "as bitfit" in " ".join(out.split())


def test_adafl_is_the_paper_where_none_is_named(command):
    assert plain(command, "adafl.csv", "--published") == plain(command, "adafl.csv", "--published", "--paper", "adafl")
