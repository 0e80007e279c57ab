"""BERT computes what transformers and the adapters library compute."""

import pytest
from transformers import BertConfig, BertModel

READINGS = [("classification", "cls"), ("classification", "pooler"), ("tagging", "cls")]
SIZES = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 24,
}  # fmt: skip


@pytest.fixture(scope="module", params=READINGS, ids="-".join)
def case(request, family_model):
    return family_model(BertModel(BertConfig(**SIZES)), *request.param)


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


def test_the_other_form_of_gelu_is_computed_too(holds, family_model):
    case = family_model(BertModel(BertConfig(**SIZES, hidden_act="gelu_new")))

    assert case.network.encoder.gelu == "tanh"
    holds.adapters_answer_as_the_librarys(case, 2)
