import numpy as np
import pytest
import torch

from fedlab.models import precision
from fedlab.models.base import TokenIds
from fedlab.models.load import encoder_from_tensors, encoder_of, encoder_sizes, encoder_tensors
from fedlab.models.peft.base import SplitPoint
from fedlab.models.precision import bfloat16_is_faster, widened
from fedlab.models.split import Network

AT = SplitPoint(kind="adapter", block=2)


def told(**capabilities: bool | str):
    return lambda: {"architecture": "x86_64", **capabilities}


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16"])
def test_a_processor_with_instructions_for_it_multiplies_bfloat16_faster(monkeypatch, name):
    monkeypatch.setattr(precision.torch.cpu, "get_capabilities", told(avx2=True, **{name: True}), raising=False)

    assert bfloat16_is_faster("cpu")


def test_a_processor_without_them_does_not(monkeypatch):
    monkeypatch.setattr(precision.torch.cpu, "get_capabilities", told(avx512_f=True, avx512_bf16=False), raising=False)

    assert not bfloat16_is_faster("cpu")


def test_intel_processors_whose_matrix_units_are_switched_off_do_not(monkeypatch):
    about = {"cpu_name": "Intel Xeon", "avx512_bf16": True, "avx512_fp16": True}
    for has_units in (False, True):
        monkeypatch.setattr(precision.torch.cpu, "get_capabilities", told(amx_bf16=has_units, **about), raising=False)

        assert bfloat16_is_faster("cpu") == has_units


def test_a_torch_that_cannot_tell_counts_as_without(monkeypatch):
    monkeypatch.delattr(precision.torch.cpu, "get_capabilities", raising=False)

    assert not bfloat16_is_faster("cpu")


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_widened_weights_are_the_same_numbers_and_words_stay_as_they_are(tiny, family):
    kept = encoder_tensors(encoder_of(tiny.models[family], "bf16"))

    wide = widened(kept)

    assert set(wide) == set(kept) - {"words"}
    assert {tensor.dtype for tensor in wide.values()} == {torch.float32}
    assert all(torch.equal(tensor.bfloat16(), kept[name]) for name, tensor in wide.items())


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_wide_products_of_narrow_weights_are_as_near_to_float32_as_their_rounding(tiny, family):
    exact = encoder_of(tiny.models[family])
    rough = encoder_of(tiny.models[family], "bf16")
    kept = encoder_tensors(rough)
    wide = encoder_from_tensors(kept | widened(kept), encoder_sizes(rough))
    ids, lengths = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]), torch.tensor([4, 3])

    def state(encoder):
        network = Network(encoder=encoder, kind="classification", pooling="cls")
        return network.frozen(TokenIds(ids=ids, lengths=lengths), [AT])[AT]

    assert (wide.dtype, wide.computes_in) == (torch.bfloat16, torch.float32)
    assert state(wide).dtype == torch.float32
    error, bfloat16_error = ((state(each).float() - state(exact)).abs().max() for each in (wide, rough))
    assert 0 < error <= bfloat16_error < 0.2
    np.testing.assert_allclose(state(wide).numpy(), state(exact).numpy(), atol=0.05)
