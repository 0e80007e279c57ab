"""The benchmark of decoders: both sides do the same work, and its rows say what was measured."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
SHAPE, DEPTH = "llama-tiny", 1


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """Return the modules of the benchmark and its loop, which import each other from their own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        patch.setenv("FEDLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield importlib.import_module("decoder"), importlib.import_module("decoder_loop")
        for name in ("decoder", "decoder_cpu", "decoder_loop", "loops", "steady_run", "memory"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def loop(scripts, tmp_path_factory):
    benchmark, loops = scripts
    file = benchmark.write_work(tmp_path_factory.mktemp("work"), SHAPE, DEPTH)
    return loops.DecoderLoop(file, [], file.parent / f"start-{DEPTH}")


def test_each_client_has_ten_batches_of_four_texts_of_64_tokens_with_a_short_response(scripts, loop):
    tokens, partitions = loop.bench.tokens("train"), loop.bench.partitions
    assert [len(partitions[client]) for client in range(6)] == [40] * 6
    assert set(tokens.lengths.tolist()) == {64}
    assert set((np.asarray(tokens.labels) != -100).sum(1).tolist()) == {scripts[0].RESPONSE}


def test_the_loop_and_the_engine_train_the_same_pairs(scripts, loop):
    from peft import get_peft_model_state_dict  # noqa: PLC0415  (seconds to import)

    from clients.partition import examples_for  # noqa: PLC0415
    from fedlab.common.seeds import generator  # noqa: PLC0415
    from fedlab.models.export.peft_library import read_lora  # noqa: PLC0415
    from fedlab.training.sgd_stacked import Trainee, train_together  # noqa: PLC0415

    bench = loop.bench
    trained, start = read_lora(loop.start, bench.network.sizes(0), "start")
    trainees = [
        Trainee(examples=examples_for(bench, client, trained), generator=generator(bench.seed, "batches", 1, client))
        for client in range(2)
    ]
    for client, ours in enumerate(train_together(bench.network, trainees, start, loop.settings)):
        model, loss = loop.trained(client)
        theirs = get_peft_model_state_dict(model)
        loop.model = model.unload()
        assert ours.loss == pytest.approx(loss, abs=1e-5)
        assert len(theirs) == len(ours.arrays) == 4
        for name, array in ours.arrays.items():
            role, which = name.split(".")[-2:]
            (peer,) = (value for key, value in theirs.items() if f"{role}_proj.lora_{which.upper()}" in key)
            assert not np.allclose(array, start[name], atol=1e-3)
            assert array == pytest.approx(peer.detach().numpy(), abs=1e-4)


def test_cpu_seconds_are_compared_of_the_same_losses(scripts, tmp_path):
    cpu = importlib.import_module("decoder_cpu")
    theirs, mine, difference = cpu.compare(tmp_path, SHAPE, DEPTH, batches=2, repeats=1)
    assert theirs > 0
    assert mine > 0
    assert difference < 1e-5


@pytest.mark.slow
def test_rows_have_the_speedup_and_the_losses_agree(scripts, tmp_path, monkeypatch):
    benchmark, _ = scripts
    words = ["--quick", "--shape", SHAPE, "--depths", str(DEPTH), "--stories", str(tmp_path / "none")]
    monkeypatch.setattr(sys, "argv", ["decoder.py", *words, "--json", str(tmp_path / "rows.json")])
    benchmark.main()
    (row,) = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert (row["model"], row["depth"], row["scored_tokens"]) == (SHAPE, DEPTH, benchmark.RESPONSE)
    assert row["speedup"] == pytest.approx(row["loop_seconds"] / row["fedlab_seconds"])
    assert row["speedup"] > 0
    assert (row["speedup_bf16"] is None) == (row["bf16_is_left_out"] is not None)
    assert row["largest_difference"] < benchmark.TOLERANCE
    assert row["fill_seconds"] > 0
    assert 1e8 < row["actors_peak_bytes"] < row["peak_bytes"] < 8e9
