"""The adapters library's model is ours, and what we save is what the library saves of it."""

import json
from types import SimpleNamespace

import adapters
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModel

from fedlab.models.export.adapters_library import save_adapter

NAMES = tuple("abcde")
# DistilBERT has no pooler, and a tagger reads every row.
READINGS = [
    ("bert", "classification", "cls"),
    ("bert", "classification", "pooler"),
    ("bert", "tagging", "cls"),
    ("distilbert", "classification", "cls"),
    ("distilbert", "tagging", "cls"),
]
FAMILIES = ["bert", "distilbert", "roberta", "xlm-roberta", "albert"]
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 50,
    "max_position_embeddings": 24,
}  # fmt: skip


def contents(folder):
    """Return what the files of a saved adapter hold: tables, and tensors by name."""
    tables = {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}
    return tables, {path.name: torch.load(path) for path in folder.glob("*.bin")}


@pytest.mark.parametrize(
    "kind_and_pooling", [("classification", "cls"), ("classification", "pooler"), ("tagging", "cls")]
)
@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_saved_files_hold_what_the_library_saves(tiny, library, tmp_path, model_type, kind_and_pooling):
    kind, pooling = kind_and_pooling
    arrays = tiny.trained(2, 7)
    pretrained = AutoModel.from_config(AutoConfig.for_model(model_type, **SIZES))
    about = {"kind": kind, "label_names": NAMES, "pooling": pooling}
    library.library_model(pretrained, arrays, arrays.trained, **about).save_adapter(
        str(tmp_path / "theirs"), library.NAME, with_head=True
    )

    assert save_adapter(arrays, arrays.trained, tmp_path / "ours", model_type=model_type, blocks=3, **about)

    tables, files = contents(tmp_path / "ours")
    their_tables, their_files = contents(tmp_path / "theirs")
    assert tables == their_tables
    assert {name: list(tensors) for name, tensors in files.items()} == {
        name: list(tensors) for name, tensors in their_files.items()
    }
    assert all(
        torch.equal(tensor, their_files[file][name]) for file, it in files.items() for name, tensor in it.items()
    )


def test_nothing_is_saved_for_a_family_that_the_library_has_no_adapters_for(tiny, tmp_path, monkeypatch):
    nowhere = SimpleNamespace(adapter_places={})
    monkeypatch.setattr("fedlab.models.export.adapters_library.family_of", lambda model_type, where: nowhere)
    about = {"kind": "classification", "label_names": NAMES, "pooling": "cls"}
    arrays = tiny.trained(2, 8)

    assert not save_adapter(arrays, arrays.trained, tmp_path / "adapter", model_type="llama", blocks=3, **about)

    assert not list(tmp_path.iterdir())


@given(
    reading=st.sampled_from(READINGS),
    depth=st.integers(0, 3),
    width=st.integers(1, 31),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
@settings(derandomize=True, max_examples=40)
def test_the_librarys_model_gives_the_same_logits(
    tiny, library, assert_same_logits, reading, depth, width, lengths, seed
):
    family, kind, pooling = reading
    arrays, texts = tiny.trained(depth, width, seed), tiny.texts(lengths, seed)
    about = {"kind": kind, "label_names": NAMES, "pooling": pooling}
    model = library.library_model(tiny.models[family], arrays, arrays.trained, **about)

    assert_same_logits(model, tiny.network(family, kind, pooling), arrays, texts, atol=1e-5)


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize(("family", "kind", "pooling"), READINGS)
def test_a_saved_adapter_opens_with_the_library_alone(tiny, assert_same_logits, tmp_path, family, kind, pooling, depth):
    arrays, texts = tiny.trained(depth, 8), tiny.texts([7, 3])
    about = {"kind": kind, "label_names": NAMES, "pooling": pooling}
    save_adapter(arrays, arrays.trained, tmp_path / "deep" / "adapter", model_type=family, blocks=3, **about)
    tiny.models[family].save_pretrained(tmp_path / "encoder")

    fresh = adapters.AutoAdapterModel.from_pretrained(tmp_path / "encoder")
    name = fresh.load_adapter(str(tmp_path / "deep" / "adapter"))
    fresh.set_active_adapters(name)
    fresh.active_head = name

    assert_same_logits(fresh.eval(), tiny.network(family, kind, pooling), arrays, texts, atol=1e-5)
    assert fresh.get_labels(name) == list(NAMES)
