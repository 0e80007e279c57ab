"""Our functions and the adapters library's model are the same model."""

import adapters
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlab.models.export.adapters_library import library_model, save_adapter

NAMES = tuple("abcde")
# DistilBERT has no pooler, and a tagger reads every row.
READINGS = [
    ("bert", "classification", "cls"),
    ("bert", "classification", "pooler"),
    ("bert", "tagging", "cls"),
    ("distilbert", "classification", "cls"),
    ("distilbert", "tagging", "cls"),
]


@given(
    reading=st.sampled_from(READINGS),
    depth=st.integers(0, 3),
    width=st.integers(1, 31),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
@settings(derandomize=True, max_examples=40)
def test_the_librarys_model_gives_the_same_logits(tiny, assert_same_logits, reading, depth, width, lengths, seed):
    family, kind, pooling = reading
    arrays, texts = tiny.trained(depth, width, seed), tiny.texts(lengths, seed)
    model = library_model(tiny.models[family], arrays, arrays.trained, kind=kind, label_names=NAMES, pooling=pooling)

    assert_same_logits(model, tiny.network(family, kind, pooling), arrays, texts, atol=1e-5)


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize(("family", "kind", "pooling"), READINGS)
def test_a_saved_adapter_opens_with_the_library_alone(tiny, assert_same_logits, tmp_path, family, kind, pooling, depth):
    arrays, texts = tiny.trained(depth, 8), tiny.texts([7, 3])
    model = library_model(tiny.models[family], arrays, arrays.trained, kind=kind, label_names=NAMES, pooling=pooling)
    save_adapter(model, tmp_path / "deep" / "adapter")
    tiny.models[family].save_pretrained(tmp_path / "encoder")

    fresh = adapters.AutoAdapterModel.from_pretrained(tmp_path / "encoder")
    name = fresh.load_adapter(str(tmp_path / "deep" / "adapter"))
    fresh.set_active_adapters(name)
    fresh.active_head = name

    assert_same_logits(fresh.eval(), tiny.network(family, kind, pooling), arrays, texts, atol=1e-5)
    assert fresh.get_labels(name) == list(NAMES)


def test_making_the_librarys_model_leaves_the_encoder_alone(tiny):
    pretrained = tiny.models["bert"]
    before = {name: tensor.clone() for name, tensor in pretrained.state_dict().items()}

    arrays = tiny.trained(2, 8)
    model = library_model(pretrained, arrays, arrays.trained, kind="classification", label_names=NAMES, pooling="cls")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()

    after = pretrained.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not hasattr(pretrained.config, "adapters")
