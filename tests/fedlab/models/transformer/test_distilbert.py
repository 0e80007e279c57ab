"""DistilBERT computes what transformers and the adapters library compute."""

import pytest
from transformers import DistilBertConfig, DistilBertModel

SIZES = {"vocab_size": 50, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 24}


@pytest.fixture(scope="module", params=["classification", "tagging"])
def case(request, family_model):
    return family_model(DistilBertModel(DistilBertConfig(**SIZES)), request.param)


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


def test_it_has_no_pooler_and_no_token_types(case):
    encoder = case.network.encoder

    assert not encoder.has_pooler
    assert encoder.token_type is None
