"""What a workbench gives the server: weights to begin with, and the model that a run ends with."""

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModelForSequenceClassification

from fedlab.config.file import experiment_from
from fedlab.errors import UserError
from fedlab.models.load import encoder_of
from fedlab.models.peft.config import AdapterConfig
from fedlab.models.peft.whole_blocks import whole_arrays
from fedlab.server.bench import bench_of, initial_configuration, pretrained_arrays
from fedlab.training.activation_store import ActivationStore
from fedlab.training.bundle import bundle_for, open_bundle, pretrained_of
from fedlab.workload.shape import ModelShape

HEAD = {"head.weight": np.ones((2, 128), np.float32), "head.bias": np.zeros(2, np.float32)}


@pytest.fixture(scope="module")
def prepare(small_experiment, tmp_path_factory):
    """Return a function that opens a workbench of the small experiment with another backbone table."""

    def make(**backbone):
        table = small_experiment.backbone.model_copy(update=backbone)
        experiment = small_experiment.model_copy(update={"backbone": table})
        folder = tmp_path_factory.mktemp("workbench")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FEDLAB_CACHE", str(folder / "cache"))
            bundle = bundle_for(experiment, folder)
        return experiment, open_bundle(bundle, ActivationStore(folder=folder, budget_bytes=0))

    return make


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_whole_blocks_begin_with_the_weights_as_published_whatever_the_precision(prepare, precision):
    experiment, workbench = prepare(precision=precision)

    arrays = pretrained_arrays(experiment, workbench.network, 2)

    expected = whole_arrays(encoder_of(pretrained_of(experiment).model), 2, pooler=False)
    assert list(arrays) == list(expected)
    assert all(np.array_equal(array, expected[name]) for name, array in arrays.items())


def test_the_pooler_is_trained_where_the_head_reads_it(prepare):
    experiment, workbench = prepare(pooling="pooler")

    assert list(pretrained_arrays(experiment, workbench.network, 0)) == ["pooler.weight", "pooler.bias"]


def test_a_model_is_exported_by_what_was_trained(prepare, tmp_path: Path):
    experiment, workbench = prepare()
    save = bench_of(experiment, workbench, lambda arrays, split: 0.0).export

    save(HEAD, AdapterConfig(depth=0, width=8), tmp_path / "adapter")
    save(
        pretrained_arrays(experiment, workbench.network, 1) | HEAD, AdapterConfig(depth=1, width=1), tmp_path / "model"
    )

    assert (tmp_path / "adapter" / "adapter_config.json").exists()
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert set(model.config.id2label.values()) == {"day", "night"}


def test_a_first_model_deeper_than_the_encoder_is_refused():
    experiment = experiment_from({"rounds": 1, "client": {"depth": 5}}, "test")
    with pytest.raises(UserError, match=r"client\.depth = 5: the encoder has 4 blocks"):
        initial_configuration(experiment, ModelShape(family="bert", blocks=4, hidden=12, intermediate=24))
