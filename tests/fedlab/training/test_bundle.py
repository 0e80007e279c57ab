"""A bundle is prepared once and opened as it is needed: by whom is told where it lies."""

import shutil

import numpy as np
import pytest
import torch

from fedlab.errors import UserError
from fedlab.models.peft.base import SplitPoint
from fedlab.training.activation_store import ActivationStore
from fedlab.training.bundle import PreparedBundle, bundle_for, open_bundle


class SetOfAUser:
    """A set that no other library has a form for."""


@pytest.mark.parametrize(("native", "computes_in"), [(True, torch.bfloat16), (False, torch.float32)])
def test_what_is_kept_in_bfloat16_is_computed_in_what_the_processor_multiplies(
    prepare, monkeypatch, native, computes_in
):
    monkeypatch.setattr("fedlab.training.bundle.bfloat16_is_faster", lambda device: native)
    _, workbench = prepare(precision="bf16")
    network, tokens = workbench.network, workbench.tokens("train")

    states, places = workbench.activations.table(
        network, tokens, np.arange(5), split="train", at=SplitPoint(kind="adapter", block=0)
    )

    assert network.encoder.computes_in == computes_in
    assert (states.dtype, len(places)) == (torch.bfloat16, 5)


@pytest.mark.parametrize(("native", "computes_in"), [(True, torch.bfloat16), (False, torch.float32)])
def test_int4_matrices_stay_packed_in_a_bundle_and_all_else_is_as_in_bfloat16(
    prepare, monkeypatch, native, computes_in
):
    monkeypatch.setattr("fedlab.training.bundle.bfloat16_is_faster", lambda device: native)
    _, workbench = prepare(precision="int4")
    encoder, at = workbench.network.encoder, SplitPoint(kind="adapter", block=0)

    states = workbench.activations.states(
        workbench.network, workbench.tokens("train"), np.arange(5), split="train", at=at
    )

    assert (encoder.precision, encoder.dtype, encoder.computes_in) == ("int4", torch.bfloat16, computes_in)
    block = encoder.blocks[1]
    assert (block.up_weight.packed.dtype, block.up_weight.scales.dtype) == (torch.uint8, torch.bfloat16)
    assert block.norm_weight.dtype == computes_in
    assert states.dtype == torch.bfloat16
    assert states.isfinite().all()


def test_int8_matrices_are_in_a_bundle_in_a_byte_a_number_and_all_else_in_float32(prepare):
    _, workbench = prepare(precision="int8")
    encoder = workbench.network.encoder

    assert (encoder.precision, encoder.dtype, encoder.computes_in) == ("int8", torch.float32, torch.float32)
    block = encoder.blocks[1]
    assert (block.up_weight.values.dtype, block.up_weight.scales.dtype) == (torch.int8, torch.float32)


def test_an_opener_opens_once_and_returns_the_same_workbench(bundle):
    opener = bundle.opener()
    assert opener() is opener()


def test_a_prepared_bundle_says_where_states_are_stored_and_how_much_room_they_have(bundle, tmp_path):
    place = PreparedBundle(folder=bundle.folder, activations=tmp_path / "states", prefix="run-", room_bytes=1234)
    store = place.open().activations
    assert (store.folder, store.budget_bytes) == (tmp_path / "states", 1234)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    "cleaned",
    ["tokens", "encoders", "tasks", "bundles", "tokens/*/labels.npy", "encoders/*/encoder.safetensors", "bundles/*/*"],
)
def test_what_is_cleaned_from_the_cache_is_made_again(small_experiment, cache, tmp_path, cleaned):
    first = open_bundle(bundle_for(small_experiment, tmp_path), ActivationStore(folder=tmp_path, budget_bytes=0))
    labels = np.array(first.task.train.labels)
    for path in list(cache.glob(cleaned)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    again = open_bundle(bundle_for(small_experiment, tmp_path), ActivationStore(folder=tmp_path, budget_bytes=0))

    assert np.array_equal(again.task.train.labels, labels)
    assert again.task.digest == first.task.digest


def test_a_cache_that_cannot_be_written_to_is_one_line(small_experiment, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"file/cache: the cache cannot be written to: Not a directory; FEDLAB_CACHE"):
        bundle_for(small_experiment, tmp_path)
