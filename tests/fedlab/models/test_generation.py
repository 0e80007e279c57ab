import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fedlab.models.base import TokenIds
from fedlab.models.generation import GreedyGeneration
from fedlab.models.load import encoder_of
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.lora import Lora
from fedlab.models.split import Network

VOCABULARY, BLOCKS = 60, 3
PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14, 15], [16, 17]]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=BLOCKS, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=48, max_position_embeddings=24, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def network(model):
    return Network(encoder=encoder_of(model), kind="prompt", pooling="cls")


def _trained(network, trained):
    """Return the parameters of a set, none of which is zero, as after training."""
    draws = np.random.default_rng(0)
    shapes = trained.shapes(network.sizes(0))
    return {name: torch.from_numpy(draws.normal(0, 0.3, shape).astype(np.float32)) for name, shape in shapes.items()}


def _one_by_one(network, prompt, parameters, at, steps):
    """Continue a prompt without a cache: the whole text is computed for each token."""
    ids = list(prompt)
    for _ in range(steps):
        texts = TokenIds(ids=torch.tensor([ids]), lengths=torch.tensor([len(ids)]))
        frozen = network.frozen(texts, [at])[at]
        ids.append(int(network.logits(frozen, texts.lengths, parameters, at)[0, -1].argmax()))
    return ids[len(prompt) :]


def _generation(network, parameters, at, **settings):
    usual = {"new_tokens": 8, "ends": ()}
    return GreedyGeneration(decoder=network.decoder, parameters=parameters, at=at, **usual | settings)


def test_texts_of_any_length_are_continued_as_transformers_does(model, network):
    at = Lora(depth=0).split_point(BLOCKS)
    found = _generation(network, {}, at).continued(PROMPTS)
    for prompt, written in zip(PROMPTS, found, strict=True):
        ids = torch.tensor([prompt])
        greedy = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        expected = model.generate(ids, attention_mask=torch.ones_like(ids), **greedy)
        assert written == expected[0, len(prompt) :].tolist()


@pytest.mark.parametrize(
    "trained",
    [
        Lora(depth=2, rank=3, alpha=6, targets="q,k,v,o,gate,up,down"),
        Lora(depth=3, rank=2),
        Bottleneck(depth=2, width=4),
    ],
    ids=str,
)
def test_what_is_trained_is_heeded_as_without_a_cache(network, trained):
    parameters, at = _trained(network, trained), trained.split_point(BLOCKS)
    found = _generation(network, parameters, at).continued(PROMPTS)
    assert found == [_one_by_one(network, prompt, parameters, at, 8) for prompt in PROMPTS]
    assert found != _generation(network, {}, at).continued(PROMPTS)


@pytest.mark.parametrize("precision", ["int8", "int4"])
@pytest.mark.parametrize(
    "trained", [Lora(depth=2, rank=3, alpha=6, targets="q,k,v,o,gate,up,down"), Bottleneck(depth=2, width=4)], ids=str
)
def test_what_is_trained_stays_beside_quantised_matrices(model, precision, trained):
    rough = Network(encoder=encoder_of(model, precision), kind="prompt", pooling="cls")
    parameters, at = _trained(rough, trained), trained.split_point(BLOCKS)
    found = _generation(rough, parameters, at).continued(PROMPTS)
    assert found == [_one_by_one(rough, prompt, parameters, at, 8) for prompt in PROMPTS]
    assert found != _generation(rough, {}, at).continued(PROMPTS)


def test_a_text_ends_with_an_end_which_is_not_part_of_it(network):
    at = Lora(depth=0).split_point(BLOCKS)
    whole = _generation(network, {}, at).continued(PROMPTS)
    end = whole[0][3]
    found = _generation(network, {}, at, ends=(end,)).continued(PROMPTS)
    assert found == [text[: text.index(end)] if end in text else text for text in whole]


def test_a_text_never_exceeds_what_the_model_can_read(network):
    at = Lora(depth=0).split_point(BLOCKS)
    (found,) = _generation(network, {}, at, new_tokens=50).continued([list(range(1, 21))])
    assert len(found) == 4
