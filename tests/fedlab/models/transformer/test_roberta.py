"""RoBERTa and XLM-R compute what transformers and the adapters library compute."""

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, RobertaConfig, RobertaModel, XLMRobertaConfig, XLMRobertaModel

from fedlab.config.schema import BackboneTable
from fedlab.errors import UserError
from fedlab.models.load import encoder_of, load_pretrained
from fedlab.models.sizes import read_sizes

MODELS = {"roberta": (RobertaModel, RobertaConfig), "xlm-roberta": (XLMRobertaModel, XLMRobertaConfig)}
READINGS = [
    ("roberta", "classification", "cls"),
    ("roberta", "classification", "pooler"),
    ("roberta", "tagging", "cls"),
    ("xlm-roberta", "classification", "cls"),
    ("xlm-roberta", "tagging", "cls"),
]
SIZES = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 24, "type_vocab_size": 1, "layer_norm_eps": 1e-5,
}  # fmt: skip
SMALL = {key: SIZES[key] for key in list(SIZES)[1:5]} | {"vocab_size": 90}
TEXTS = ["the cat sat on the mat", "a dog ate the cat"]


def roberta(kind="roberta", **changes):
    model, config = MODELS[kind]
    return model(config(**(SIZES | changes)))


def load(name, base, **overrides):
    table = BackboneTable(name=name, overrides=overrides)
    return load_pretrained(table, seed=0, resolve=lambda text: base / text, texts=lambda: TEXTS)


@pytest.fixture(scope="module", params=READINGS, ids="-".join)
def case(request, family_model):
    kind, *reading = request.param
    return family_model(roberta(kind), *reading)


@pytest.mark.parametrize("depth", range(4))
def test_adapters_answer_and_learn_as_the_librarys(holds, case, depth):
    holds.adapters_answer_as_the_librarys(case, depth)
    holds.adapters_have_the_librarys_gradients(case, depth)


def test_cut_anywhere_it_answers_as_transformers(holds, case):
    holds.whole_blocks_answer_as_transformers(case, range(4))


def test_padding_changes_no_answer(holds, case):
    holds.padding_changes_no_answer(case)


def test_everything_trained_opens_with_transformers(holds, case, tmp_path):
    holds.everything_trained_opens_with_transformers(case, tmp_path)


def test_it_is_sized_by_its_configuration_and_kept_as_plain_tensors(holds, case, tmp_path):
    holds.sizes_are_those_of_the_weights(case, tmp_path)
    holds.an_encoder_survives_the_way_through_plain_tensors(case)


@pytest.mark.parametrize("padding", [0, 3])
def test_positions_are_counted_from_the_one_after_the_padding(holds, family_model, padding):
    case = family_model(roberta(pad_token_id=padding))

    assert case.network.encoder.longest == 24 - padding - 1
    holds.adapters_answer_as_the_librarys(case, 1)


def test_a_model_without_padding_is_refused():
    model = roberta()
    model.config.pad_token_id = None

    with pytest.raises(UserError, match="pad_token_id is None, expected a whole number"):
        encoder_of(model)


# Random weights


def test_random_weights_get_a_tokenizer_with_the_ids_of_the_family(tmp_path):
    pretrained = load("roberta-base-random", tmp_path, **SMALL)
    tokenizer, config = pretrained.tokenizer, pretrained.model.config

    ids = tokenizer("the cat")["input_ids"]

    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id) == (0, 2)
    assert (config.bos_token_id, config.eos_token_id) == (0, 2)
    assert tokenizer.pad_token_id == config.pad_token_id == 1
    assert tokenizer.convert_ids_to_tokens(ids) == ["<s>", "the", "cat", "</s>"]
    assert tokenizer.unk_token_id == 3


def test_model_and_tokenizer_open_from_the_folder_they_are_saved_to(tmp_path):
    made = load("roberta-base-random", tmp_path, **SMALL)
    made.model.save_pretrained(tmp_path / "mine")
    made.tokenizer.save_pretrained(tmp_path / "mine")

    again = load("mine", tmp_path)

    assert torch.equal(encoder_of(again.model).words, encoder_of(made.model).words)
    assert again.tokenizer(TEXTS)["input_ids"] == made.tokenizer(TEXTS)["input_ids"]
    assert again.tokenizer.pad_token_id == 1
    assert AutoTokenizer.from_pretrained(tmp_path / "mine").mask_token_id == made.tokenizer.mask_token_id


@pytest.mark.parametrize(("name", "rows"), [("roberta-base", 50265), ("xlm-roberta-base", 250002)])
def test_the_published_models_are_sized_without_the_hub(tmp_path, name, rows):
    sizes = read_sizes(BackboneTable(name=name), resolve=tmp_path.joinpath)

    assert (sizes.shape.family, sizes.shape.blocks, sizes.shape.hidden, sizes.shape.intermediate) == (
        *("roberta", 12, 768, 3072),
    )
    assert (sizes.vocabulary, sizes.positions) == (rows, 512)


def test_roberta_large_is_sized_without_the_hub(tmp_path):
    shape = read_sizes(BackboneTable(name="roberta-large"), resolve=tmp_path.joinpath).shape

    assert (shape.family, shape.blocks, shape.hidden, shape.intermediate) == ("roberta", 24, 1024, 4096)


def test_everything_of_roberta_base_is_as_many_weights_as_are_published(tmp_path):
    """124.6 million without a head (transformers' roberta-base), of which 2 rows of positions are never read."""
    from fedlab.models.peft.base import ModelSizes  # noqa: PLC0415
    from fedlab.models.peft.whole_blocks import Everything  # noqa: PLC0415

    sizes = read_sizes(BackboneTable(name="roberta-base"), resolve=tmp_path.joinpath)

    shapes = Everything().shapes(ModelSizes(encoder=sizes, labels=1, pooler=True))
    count = sum(int(np.prod(shape)) for shape in shapes.values())

    assert count == 124_645_632 - 2 * 768 + 768 + 1
