"""What LoRA's names mean, and how many values each set trains, counted by hand."""

import pytest

from fedlab.devices.costmodel.projections import added_matrices, targets_of, trained_weights
from fedlab.errors import UserError
from fedlab.models.decoders import decoder_shape
from fedlab.workload.passes import NOTHING, WHOLE, TrainedSpec, bottleneck, lora
from fedlab.workload.shape import REFERENCE_SHAPES
from fedlab.workload.weights import Matrix, num_weights

BERT, ALBERT = REFERENCE_SHAPES["bert"], REFERENCE_SHAPES["albert"]
LLAMA, SMOLLM2 = (decoder_shape(name) for name in ("llama-7b", "smollm2-135m"))
BIASES = TrainedSpec(kind="bias")


@pytest.mark.parametrize("names", [("q", "v"), ("q_proj", "v_proj"), ("query", "value")])
def test_a_projection_has_the_name_that_any_family_gives_it(names):
    assert targets_of(lora(8, names), BERT) == {"q": Matrix(768, 768), "v": Matrix(768, 768)}


def test_a_pair_is_as_wide_as_grouped_queries_make_it():
    assert added_matrices(lora(8, ["v"]), SMOLLM2) == [Matrix(576, 8), Matrix(8, 192)]
    assert added_matrices(bottleneck(32), BERT) == [Matrix(768, 32), Matrix(32, 768)]
    assert added_matrices(NOTHING, BERT) == []


@pytest.mark.parametrize(
    ("trained", "shape", "message"),
    [
        (
            lora(8, ["qq"]),
            LLAMA,
            "a llama has no projection 'qq', accepted: q, k, v, o, up, down, gate",
        ),
        (lora(8, ["gate_proj"]), BERT, "a bert has no projection 'gate_proj', accepted: q, k, v, o, up, down"),
        (lora(200, ["v"]), SMOLLM2, "trained.rank is 200, expected at most 192: the projection 'v' is 576 x 192"),
    ],
)
def test_a_set_that_the_model_cannot_have_is_refused(trained, shape, message):
    with pytest.raises(UserError, match=message):
        added_matrices(trained, shape)


@pytest.mark.parametrize(
    ("trained", "shape", "blocks", "count"),
    [
        (lora(8, ["q", "v"]), LLAMA, 32, 4_194_304),  # FwdLLM: 4.2 M parameters
        (lora(8, ["q", "v"]), LLAMA, 1, 2 * 2 * 8 * 4096),
        (lora(8, ["q", "v"]), ALBERT, 12, 2 * 2 * 8 * 768),  # one pair is in all runs of the block
        (bottleneck(48), ALBERT, 12, 12 * (2 * 768 * 48 + 48 + 768)),
        (bottleneck(48), BERT, 12, 12 * (2 * 768 * 48 + 48 + 768)),
        (BIASES, BERT, 12, 12 * (6 * 768 + 3072 + 768)),  # FwdLLM: 105,988 with embeddings, pooler and 4 labels
        (BIASES, LLAMA, 2, 2 * 2 * 4096),  # it has no biases: its norms
        (WHOLE, LLAMA, 32, num_weights(LLAMA) - 4096),  # the last norm is left out
        (WHOLE, BERT, 0, 0),
        (WHOLE, ALBERT, 12, num_weights(ALBERT)),
        (NOTHING, BERT, 12, 0),
    ],
)
def test_trained_values_are_counted(trained, shape, blocks, count):
    assert trained_weights(trained, shape, blocks) == count
