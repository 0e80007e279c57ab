"""A model whose blocks were trained whole opens with transformers alone, and answers as ours does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

from fedlab.models.export.transformers_model import finetuned_model, save_finetuned
from fedlab.models.tokenizer import tokenizer_for

NAMES = tuple("abcde")
READINGS = [
    ("bert", "classification", "cls"),
    ("bert", "classification", "pooler"),
    ("bert", "tagging", "cls"),
    ("distilbert", "classification", "cls"),
    ("distilbert", "tagging", "cls"),
]


def changed(tiny, network, depth, seed=0):
    """Return arrays that differ from the pretrained weights, as after training."""
    draws = np.random.default_rng(seed)
    arrays = tiny.whole(network, depth, seed)
    for name, array in arrays.items():
        arrays[name] = array + draws.normal(0, 0.05, array.shape).astype(np.float32)
    return arrays


@given(
    reading=st.sampled_from(READINGS),
    depth=st.integers(1, 3),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
@settings(derandomize=True, max_examples=30)
def test_transformers_gives_the_same_logits(tiny, assert_same_logits, reading, depth, lengths, seed):
    family, kind, pooling = reading
    network, texts = tiny.network(family, kind, pooling), tiny.texts(lengths, seed)
    arrays = changed(tiny, network, depth, seed)

    model = finetuned_model(tiny.models[family], arrays, kind=kind, label_names=NAMES, pooling=pooling)

    assert_same_logits(model, network, arrays, texts, atol=3e-5)


@pytest.mark.parametrize(("family", "kind", "pooling"), READINGS)
def test_a_saved_model_opens_with_transformers_alone(tiny, assert_same_logits, tmp_path, family, kind, pooling):
    network, texts = tiny.network(family, kind, pooling), tiny.texts([7, 3])
    arrays, tokenizer = changed(tiny, network, 2), tokenizer_for(["red cat", "blue dog"], 50)
    model = finetuned_model(tiny.models[family], arrays, kind=kind, label_names=NAMES, pooling=pooling)

    save_finetuned(model, tokenizer, tmp_path / "deep" / "model")
    auto = AutoModelForTokenClassification if kind == "tagging" else AutoModelForSequenceClassification
    fresh, loading = auto.from_pretrained(tmp_path / "deep" / "model", output_loading_info=True)

    assert_same_logits(fresh.eval(), network, arrays, texts, atol=3e-5)
    assert not loading["missing_keys"]
    assert [fresh.config.id2label[number] for number in range(5)] == list(NAMES)
    again = AutoTokenizer.from_pretrained(tmp_path / "deep" / "model")
    assert again("red dog").input_ids == tokenizer("red dog").input_ids


def test_making_it_leaves_the_pretrained_model_and_torchs_own_generator_alone(tiny):
    pretrained, network = tiny.models["bert"], tiny.network()
    before = {name: tensor.clone() for name, tensor in pretrained.state_dict().items()}
    config, draws = pretrained.config.to_dict(), torch.random.get_rng_state()

    model = finetuned_model(
        pretrained, changed(tiny, network, 3), kind="classification", label_names=NAMES, pooling="cls"
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()

    assert all(torch.equal(tensor, before[name]) for name, tensor in pretrained.state_dict().items())
    assert pretrained.config.to_dict() == config
    assert torch.equal(torch.random.get_rng_state(), draws)
