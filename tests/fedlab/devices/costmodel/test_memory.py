"""The parts of peak memory by hand."""

from dataclasses import replace

import pytest
import torch

from fedlab.devices.costmodel.memory import memory_parts
from fedlab.devices.costmodel.operators import WEIGHT_BYTES
from fedlab.models.quantised.int4 import Int4Matrix
from fedlab.models.quantised.int8 import Int8Matrix
from fedlab.workload.passes import NOTHING, WHOLE, TrainedSpec, bottleneck, lora
from fedlab.workload.shape import REFERENCE_SHAPES, ModelShape
from fedlab.workload.weights import block_vectors, block_weights, num_weights
from fedlab.workload.workload import forward_passes, steps_of, training_passes

DECODER = ModelShape(
    family="llama", blocks=3, hidden=64, intermediate=100, heads=4, kv_heads=2, vocabulary=500, gated=True, tied=False
)
BERT, ALBERT = REFERENCE_SHAPES["bert"], REFERENCE_SHAPES["albert"]
TOKENS = 2 * 8


def parts(shape: ModelShape, depth: int | None = 2, trained: TrainedSpec = NOTHING, **changes):
    batch = {"batches": 1, "batch_size": 2, "input_shape": (8,), "model_blocks": shape.blocks, **changes}
    passes = forward_passes(**batch) if depth is None else training_passes(depth=depth, trained=trained, **batch)
    return memory_parts(steps_of(passes)[0], shape)


def test_the_total_is_the_sum_of_the_parts():
    found = parts(DECODER, trained=WHOLE)
    assert found.total == sum(vars(found).values())


@pytest.mark.parametrize("shape", [DECODER, BERT, ALBERT], ids=["decoder", "bert", "albert"])
def test_weights_are_held_once_in_their_format(shape):
    assert parts(shape, depth=None).weights == 4 * num_weights(shape)
    assert parts(shape, depth=None, format="fp16").weights == 2 * num_weights(shape)


def test_integer_weights_are_the_matrices_of_blocks_alone():
    matrices, others = 3 * block_weights(DECODER), 3 * block_vectors(DECODER) + 2 * 500 * 64 + 64
    assert parts(DECODER, depth=None, format="int8").weights == matrices + 2 * others
    assert parts(DECODER, depth=None, format="int4").weights == matrices * (0.5 + 2 / 128) + 2 * others


@pytest.mark.parametrize(("precision", "matrix"), [("int8", Int8Matrix), ("int4", Int4Matrix)])
def test_a_quantised_matrix_takes_the_bytes_that_are_billed_for_it(precision, matrix):
    """Scales of int8 are one for each row and are not billed: here they are 4 bytes for 1,024 numbers."""
    parts_of_it = matrix.of(torch.ones(6, 1024)).parts.values()
    held = sum(part.numel() * part.element_size() for part in parts_of_it)
    assert held == pytest.approx(6 * 1024 * WEIGHT_BYTES[precision], rel=0.004)


def test_a_step_from_stored_activations_holds_the_blocks_it_runs_and_the_head():
    found = parts(DECODER, depth=1, trained=WHOLE, cached_batches=1)
    assert found.weights == 4 * (block_weights(DECODER) + block_vectors(DECODER) + 500 * 64 + 64)
    tied = parts(replace(DECODER, tied=True), depth=1, trained=WHOLE, cached_batches=1)
    assert tied.weights == found.weights  # it is the embedding


@pytest.mark.parametrize(("optimiser", "kept"), [("sgd", 0), ("momentum", 1), ("adam", 2)])
def test_gradients_and_what_an_optimiser_keeps_are_float32(optimiser, kept):
    found = parts(DECODER, trained=lora(4, ["q"], optimiser), format="int4")
    values = 2 * (64 * 4 + 4 * 64)
    assert (found.trained, found.gradients, found.optimiser) == (4 * values, 4 * values, 4 * kept * values)


def test_whole_weights_are_trained_in_place_in_fp32_and_as_a_copy_in_other_formats():
    values = 2 * (block_weights(DECODER) + block_vectors(DECODER))
    assert (parts(DECODER, trained=WHOLE).trained, parts(DECODER, trained=WHOLE).gradients) == (0, 4 * values)
    assert parts(DECODER, trained=WHOLE, format="bf16").trained == 4 * values


def test_an_encoders_frozen_block_keeps_what_gradients_of_states_need():
    # q, k, v; probabilities, dropped ones and their mask; two inputs of norms with a mask each; the input of GELU
    kept = 4 * (3 * 768 + 3072) + 12 * 8 * (4 + 4 + 1) + 2 * 768 * (4 + 1)
    assert parts(BERT, trained=NOTHING).activations == 2 * TOKENS * kept
    adapter = kept + 4 * (768 + 2 * 32)  # its input, and what its activation reads and returns
    assert parts(BERT, trained=bottleneck(32)).activations == 2 * TOKENS * adapter
    whole = kept + 4 * (3 * 768 + 3072)  # the inputs of q, k and v together, of the output and of both of the rest
    assert parts(BERT, trained=WHOLE).activations == 2 * TOKENS * whole


def test_a_decoders_block_keeps_norms_and_probabilities_in_fp32():
    state = 64 + 2 * 32 + 3 * 100
    kept = 2 * state + 4 * 8 * (4 + 2) + 2 * 64 * 4
    assert parts(DECODER, trained=NOTHING, format="fp16").activations == 2 * TOKENS * kept
    pairs = lora(4, ["q", "v"])  # one input for both, and what comes out of the first matrix of each
    assert parts(DECODER, trained=pairs, format="fp16").activations == 2 * TOKENS * (kept + 2 * (64 + 2 * 4))


def test_checkpointing_keeps_the_states_that_enter_blocks_and_one_block():
    plain = parts(DECODER, depth=3, trained=WHOLE).activations
    saved = parts(DECODER, depth=3, trained=WHOLE, checkpointing=True).activations
    assert saved == plain / 3 + 3 * TOKENS * 64 * 4


def test_logits_are_of_the_scored_tokens():
    assert parts(DECODER, depth=None, format="fp16").logits == TOKENS * 500 * (2 + 4)
    assert parts(DECODER, format="fp16").logits == TOKENS * 500 * (2 + 3 * 4)
    assert parts(DECODER, scored_tokens=1).logits == 2 * 500 * 3 * 4
    assert parts(DECODER, scored_tokens=0).logits == parts(BERT).logits == 0


def test_no_backward_pass_keeps_nothing():
    found = parts(DECODER, depth=None)
    assert (found.activations, found.gradients, found.trained, found.optimiser) == (0, 0, 0, 0)


# --- what transformers really keeps ---------------------------------------------------------------------------------

SIZES = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "vocab_size": 128}


def kept_bytes(model, forward) -> int:
    """Return the bytes of all that a forward pass keeps for its backward pass, weights apart."""
    import torch  # noqa: PLC0415

    weights = {each.untyped_storage().data_ptr() for each in [*model.parameters(), *model.buffers()]}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = forward()
    assert loss.requires_grad  # so that all is still alive, and no two tensors can have had the same place
    return sum(storage.nbytes() for storage in kept.values())


def expected_bytes(shape: ModelShape, trained: TrainedSpec, number_format: str) -> float:
    found = parts(shape, depth=4, trained=trained, input_shape=(64,), format=number_format)
    return found.activations + found.logits


@pytest.mark.parametrize("number_format", ["fp32", "bf16"])
@pytest.mark.parametrize("trained", [WHOLE, TrainedSpec(kind="bias")])
def test_a_decoder_of_transformers_keeps_what_the_parts_say(number_format, trained):
    import torch  # noqa: PLC0415
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    config = LlamaConfig(**SIZES, intermediate_size=688, attn_implementation="eager")
    model = LlamaForCausalLM(config).to(torch.bfloat16 if number_format == "bf16" else torch.float32).train()
    model.requires_grad_(trained == WHOLE)
    ids = torch.randint(0, 128, (2, 64))
    embedded = model.model.embed_tokens(ids).detach().requires_grad_(True)  # what a set below would ask gradients of
    shape = ModelShape(
        family="llama", blocks=4, hidden=256, intermediate=688, heads=4, vocabulary=128, gated=True, tied=False
    )
    kept = kept_bytes(model, lambda: model(inputs_embeds=embedded, labels=ids).loss)
    assert expected_bytes(shape, trained, number_format) == pytest.approx(kept, rel=0.15)


@pytest.mark.parametrize("trained", [WHOLE, TrainedSpec(kind="bias")])
def test_an_encoder_of_transformers_keeps_what_the_parts_say_and_larger_masks(trained):
    import torch  # noqa: PLC0415
    from transformers import BertConfig, BertForSequenceClassification  # noqa: PLC0415

    config = BertConfig(**SIZES, intermediate_size=1024, attn_implementation="eager")
    model = BertForSequenceClassification(config).train()
    for name, weight in model.named_parameters():
        weight.requires_grad = trained == WHOLE or name.endswith("bias")
    batch = {"input_ids": torch.randint(0, 128, (2, 64)), "labels": torch.zeros(2, dtype=torch.long)}
    shape = ModelShape(family="bert", blocks=4, hidden=256, intermediate=1024)
    kept = kept_bytes(model, lambda: model(**batch).loss)
    masks = 4 * 128 * (2 * 256 + 4 * 64) * 3  # on a CPU, torch keeps the masks of dropout as float32
    assert expected_bytes(shape, trained, "fp32") + masks == pytest.approx(kept, rel=0.1)
