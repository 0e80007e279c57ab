"""What a workbench gives the server: weights to begin with, and the model that a run ends with."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoModelForSequenceClassification

from fedlab.config.file import experiment_from
from fedlab.config.schema import BackboneTable, ClientTable, Experiment
from fedlab.data.metrics import Score, labels_of, others_of
from fedlab.errors import UserError
from fedlab.models.base import weights_of
from fedlab.models.cnn.sizes import conv_sizes
from fedlab.models.load import encoder_of
from fedlab.models.peft.bitfit import Biases
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.head import HeadOnly
from fedlab.models.peft.lora import Lora, pair_names
from fedlab.models.peft.whole_blocks import TopBlocks
from fedlab.server.bench import Bench, bench_of, first_model, initial_set, pretrained_arrays
from fedlab.training.bundle import pretrained_of
from fedlab.workload.shape import ModelShape

HEAD = {"head.weight": np.ones((2, 128), np.float32), "head.bias": np.zeros(2, np.float32)}


def unmeasured(experiment, workbench) -> Bench:
    return bench_of(experiment, workbench, lambda arrays, split, at: 0.0)


def client(experiment, **keys):
    """Return the experiment with another client table."""
    return experiment.model_copy(update={"client": ClientTable(**keys)})


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_whole_blocks_begin_with_the_weights_as_published_whatever_the_precision(prepare, precision):
    experiment, workbench = prepare(precision=precision)

    names = list(TopBlocks(depth=2).shapes(workbench.network.sizes(2)))

    arrays = pretrained_arrays(experiment, workbench.network, names)

    expected = weights_of(encoder_of(pretrained_of(experiment).model), names)
    assert list(arrays) == list(expected) == [name for name in names if name not in HEAD]
    assert all(np.array_equal(array, expected[name]) for name, array in arrays.items())


def test_the_pooler_is_trained_where_the_head_reads_it(prepare):
    experiment, workbench = prepare(pooling="pooler")
    bench = unmeasured(experiment, workbench)

    assert list(first_model(client(experiment, name="freeze"), bench)) == ["pooler.weight", "pooler.bias", *HEAD]


def test_a_model_is_measured_where_its_set_splits_it(prepare):
    experiment, workbench = prepare()
    bench = bench_of(experiment, workbench, lambda arrays, split, at: f"{split} {at}")

    assert bench.measure(HEAD, "test", Bottleneck(depth=1, width=8).configuration) == "test adapter-1"
    assert bench.measure(HEAD, "validation", TopBlocks(depth=2).configuration) == "validation inputs"
    with pytest.raises(UserError, match="the set 'x:Own' is not built in"):
        bench.measure(HEAD, "test", {"set": "x:Own"})


def test_the_measure_that_the_experiment_names_is_the_score_and_the_usual_one_is_beside_it(prepare):
    experiment, workbench = prepare()
    table = experiment.model_dump() | {"evaluation": {"measure": "macro-f1"}}
    found = Score.of(0.75, {"macro-f1": 0.5, "loss": 1.25}, {"a": {"f1": 1.0}})
    bench = bench_of(Experiment.model_validate(table), workbench, lambda arrays, split, at: found)

    score = bench.measure(HEAD, "test", HeadOnly().configuration)

    assert (float(score), others_of(score)) == (0.5, {"accuracy": 0.75, "loss": 1.25})
    assert labels_of(score) == {"a": {"f1": 1.0}}


def test_a_model_is_exported_by_what_was_trained(prepare, tmp_path: Path):
    experiment, workbench = prepare()
    bench = unmeasured(experiment, workbench)

    bench.export(HEAD, Bottleneck(depth=0, width=8), tmp_path / "adapter")
    top = TopBlocks(depth=1)
    bench.export(bench.pretrained(list(top.shapes(bench.sizes))) | HEAD, top, tmp_path / "model")

    assert (tmp_path / "adapter" / "adapter_config.json").exists()
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert set(model.config.id2label.values()) == {"day", "night"}


def lora(experiment, *, depth, rank, start=None):
    axes = {"rank": rank, "alpha": 6, "targets": "q,v"}
    return client(experiment, trains="lora", depth=depth, axes=axes, start=None if start is None else str(start))


def test_lora_starts_from_an_adapter_of_peft_and_grows_to_what_the_experiment_says(prepare, tmp_path):
    experiment, workbench = prepare()
    bench, saved = unmeasured(experiment, workbench), Lora(depth=1, rank=2, alpha=6, targets="q,v")
    draws = np.random.default_rng(1)
    arrays = {name: draws.normal(size=it).astype(np.float32) for name, it in saved.shapes(bench.sizes).items()}
    bench.export(arrays, saved, tmp_path / "saved")
    first, second = pair_names(1, "q")

    new = first_model(lora(experiment, depth=2, rank=3), bench)
    started = first_model(lora(experiment, depth=2, rank=3, start=tmp_path / "saved"), bench)

    assert {name: array.shape for name, array in started.items()} == {name: array.shape for name, array in new.items()}
    np.testing.assert_array_equal(started[first][:2], arrays[first])
    np.testing.assert_allclose(2 * started[second] @ started[first], 3 * arrays[second] @ arrays[first], atol=1e-5)
    assert not new[second].any()


def test_an_adapter_that_is_larger_than_the_experiments_is_refused_as_a_start(prepare, tmp_path):
    experiment, workbench = prepare()
    bench, saved = unmeasured(experiment, workbench), Lora(depth=2, rank=4, alpha=6, targets="q,v")
    bench.export(saved.initial(bench.sizes, np.random.default_rng(1), bench.pretrained), saved, tmp_path / "saved")

    for depth, rank in ((1, 4), (2, 3)):
        with pytest.raises(UserError, match=r"it has pairs of rank 4 beside q,v in 2 blocks; the experiment must have"):
            first_model(lora(experiment, depth=depth, rank=rank, start=tmp_path / "saved"), bench)


def test_only_lora_starts_from_a_saved_adapter():
    with pytest.raises(ValueError, match="start: the client trains bottleneck; only lora starts from a saved adapter"):
        ClientTable(start="somewhere")


@pytest.mark.parametrize("precision", ["int8", "int4"])
@pytest.mark.parametrize(
    "table", [{"name": "full"}, {"name": "freeze", "depth": 1}, {"name": "freeze", "depth": 4}], ids=str
)
def test_blocks_whose_weights_are_quantised_are_not_trained_whole(precision, table):
    settings = {"rounds": 1, "client": table, "backbone": {"precision": precision}}
    with pytest.raises(UserError) as refused:
        initial_set(experiment_from(settings, "test"), ModelShape(family="bert", blocks=4, hidden=12, intermediate=24))
    trains = "everything" if table.get("name") == "full" else "blocks"
    assert str(refused.value) == (
        f"backbone.precision = '{precision}': client.trains = '{trains}' trains blocks whole, and quantised weights are"
        " never trained; accepted: fp32 or bf16, or a set that leaves the matrices of blocks frozen, such as lora,"
        " bottleneck, bias or head"
    )


@pytest.mark.parametrize(
    "table",
    [
        {"depth": 2},
        {"trains": "bias", "depth": 4},
        {"trains": "head"},
        {"trains": "lora", "depth": 1},
        {"name": "freeze", "depth": 0},
    ],
    ids=str,
)
def test_sets_that_leave_the_matrices_frozen_are_trained_above_quantised_ones(table):
    experiment = experiment_from({"rounds": 1, "client": table, "backbone": {"precision": "int8"}}, "test")
    shape = ModelShape(family="bert", blocks=4, hidden=12, intermediate=24)
    assert initial_set(experiment, shape).configuration["set"] == experiment.client.trained


def test_biases_begin_as_published_above_quantised_matrices_and_a_matrix_cannot(prepare):
    experiment, workbench = prepare(precision="int8")
    names = list(Biases(depth=2).shapes(workbench.network.sizes(2)))

    arrays = pretrained_arrays(experiment, workbench.network, names)

    expected = weights_of(encoder_of(pretrained_of(experiment).model), names)
    assert list(arrays) == list(expected)
    assert all(np.array_equal(array, expected[name]) for name, array in arrays.items())
    with pytest.raises(UserError, match=r"backbone\.precision = 'int8': the weight 'block\.0\.attention\.in\.weight'"):
        weights_of(workbench.network.encoder, ["block.0.attention.in.weight"])


def test_a_first_model_deeper_than_the_encoder_is_refused():
    experiment = experiment_from({"rounds": 1, "client": {"depth": 5}}, "test")
    with pytest.raises(UserError, match=r"client\.depth = 5: the encoder has 4 blocks"):
        initial_set(experiment, ModelShape(family="bert", blocks=4, hidden=12, intermediate=24))


@pytest.mark.parametrize(
    ("network", "keys", "said"),
    [
        (
            "resnet18",
            {"name": "forward", "trains": "everything"},
            "client.name = 'forward': 'resnet18' has batch norms",
        ),
        (
            "lenet",
            {"name": "mine.py:app", "trains": "blocks", "depth": 1},
            "client.trains = 'blocks': 'lenet' is trained",
        ),
    ],
)
def test_a_network_for_images_is_trained_whole_by_a_client_that_measures_its_batch_norms(network, keys, said):
    table = {"rounds": 1, "task": {"kind": "image"}, "backbone": {"name": network}, "client": {"name": "full"}}
    experiment = experiment_from(table, "images")
    shape = conv_sizes(experiment.backbone, (3, 32, 32), 10, base=Path()).shape
    assert initial_set(experiment, shape).configuration == {"set": "everything"}
    with pytest.raises(UserError) as refused:
        initial_set(client(experiment, **keys), shape)
    assert said in str(refused.value)
    lenet = client(experiment, name="forward", trains="everything")
    assert initial_set(lenet, conv_sizes(BackboneTable(name="lenet"), (3, 32, 32), 10, base=Path()).shape)


def test_the_network_that_a_run_on_images_ends_with_is_saved_with_what_it_takes_to_use_it(
    image_experiment, image_bench, tmp_path
):
    bench = unmeasured(image_experiment, image_bench)
    arrays = first_model(image_experiment, bench)
    bench.export(arrays, initial_set(image_experiment, bench.shape), tmp_path / "model")
    saved = load_file(tmp_path / "model" / "model.safetensors")
    assert {name: array.tolist() for name, array in saved.items()} == {
        name: array.tolist() for name, array in arrays.items()
    }
    about = json.loads((tmp_path / "model" / "config.json").read_text())
    assert (about["network"], about["input_shape"], about["labels"]) == ("lenet", [1, 16, 16], ["0", "1"])
    assert about["mean"] == list(image_bench.network.scaling.mean)


def test_a_network_for_images_is_drawn_as_the_experiment_says(image_experiment, image_bench):
    backbone = image_experiment.backbone.model_copy(update={"initial": "xavier-uniform"})
    uniform = image_experiment.model_copy(update={"backbone": backbone})
    normal_arrays, uniform_arrays = (
        first_model(each, unmeasured(each, image_bench)) for each in (image_experiment, uniform)
    )
    name = list(normal_arrays)[-1]
    spread = (2 / sum(normal_arrays[name].shape)) ** 0.5
    assert np.abs(uniform_arrays[name]).max() <= 3**0.5 * spread < np.abs(normal_arrays[name]).max()
