"""Llama, SmolLM2, TinyLlama, Mistral and Qwen2 compute what transformers computes, wherever texts are padded."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from fedlab.config.schema import BackboneTable
from fedlab.data.tokens import IGNORED_LABEL, tokenize
from fedlab.errors import UserError
from fedlab.models.base import TokenIds
from fedlab.models.load import (
    encoder_from_tensors,
    encoder_of,
    encoder_sizes,
    encoder_tensors,
    load_pretrained,
    stored_weights,
)
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.head import HeadOnly
from fedlab.models.peft.lora import Lora
from fedlab.models.peft.whole_blocks import TopBlocks
from fedlab.models.sizes import read_sizes
from fedlab.models.split import Network
from fedlab.models.transformer.unpadded import UnpaddedRows

STORIES = Path(__file__).parents[5] / "shared" / "models" / "stories260k"
LENGTHS, LABELS, BLOCKS = (7, 2, 5, 9), 5, 3
SIZES = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": BLOCKS, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 40, "max_position_embeddings": 24, "pad_token_id": 0,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}  # fmt: skip
CASES = {
    "llama": ("llama", {}),
    "smollm2": ("llama", {"tie_word_embeddings": True, "rope_theta": 100000.0, "num_key_value_heads": 4}),
    "llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 6}),
    "llama, one shared head": ("llama", {"num_key_value_heads": 1}),
    "llama, linear": ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
    "llama, dynamic": ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}),
    "llama, llama3": ("llama", {"rope_scaling": LLAMA3}),
    "llama, yarn": ("llama", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}),
    "mistral": ("mistral", {"sliding_window": 9}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
}


def transformers_model(name, auto=AutoModelForCausalLM, **more):
    kind, changes = CASES[name]
    torch.manual_seed(0)
    model = auto.from_config(AutoConfig.for_model(kind, **(SIZES | changes | more)), attn_implementation="eager")
    draws = torch.Generator().manual_seed(1)
    for path, parameter in model.named_parameters():  # biases are drawn as zero, and norms as one
        centre = float("norm" in path and path.endswith("weight"))
        with torch.no_grad():
            parameter.copy_(centre + 0.2 * torch.randn(parameter.shape, generator=draws))
    return model.eval()


def texts(extra=0):
    draws = torch.Generator().manual_seed(3)
    ids = torch.zeros(len(LENGTHS), max(LENGTHS) + extra, dtype=torch.long)
    for row, length in enumerate(LENGTHS):
        ids[row, :length] = torch.randint(1, 50, (length,), generator=draws)
    return TokenIds(ids=ids, lengths=torch.tensor(LENGTHS))


def mask_of(given):
    return (torch.arange(given.ids.shape[1]) < given.lengths[:, None]).long()


def padded_left(given):
    """Return ids and attention mask of the same texts with their padding on the left."""
    ids, mask = torch.zeros_like(given.ids), torch.zeros_like(given.ids)
    for row, length in enumerate(LENGTHS):
        ids[row, -length:], mask[row, -length:] = given.ids[row, :length], 1
    return ids, mask


def final_states(decoder, given):
    rows = UnpaddedRows.of(given.lengths, given.ids.shape[1])
    states = rows.taken(decoder.embed(given))
    for index in range(decoder.shape.blocks):
        states = decoder.block_end(index, decoder.block_sum(index, states, rows), {})
    return rows.padded(states)


def same(ours, theirs, where=lambda row, length: slice(0, length)):
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(ours[row, :length], theirs[row, where(row, length)], atol=1e-5, rtol=0)


def head(sizes, seed=0):
    draws = torch.Generator().manual_seed(seed)
    shapes = HeadOnly().shapes(sizes)
    return {name: 0.3 * torch.randn(shape, generator=draws) for name, shape in shapes.items()}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return request.param, transformers_model(request.param)


@torch.inference_mode()
def test_states_and_logits_are_transformers_with_padding_on_either_side(case):
    _, model = case
    decoder, given = encoder_of(model), texts()
    right = model(given.ids, attention_mask=mask_of(given), output_hidden_states=True)
    ids, mask = padded_left(given)
    left = model(ids, attention_mask=mask)

    states = final_states(decoder, given)
    logits = states @ decoder.lm_head_weight.T

    same(states, right.hidden_states[-1])
    same(logits, right.logits)
    same(logits, left.logits, where=lambda row, length: slice(-length, None))


@torch.inference_mode()
def test_a_text_is_the_same_alone_and_in_a_batch_of_mixed_lengths(case):
    _, model = case
    decoder, given = encoder_of(model), texts(extra=3)

    together = final_states(decoder, given)

    for row, length in enumerate(LENGTHS):
        alone = TokenIds(ids=given.ids[row : row + 1, :length], lengths=given.lengths[row : row + 1])
        torch.testing.assert_close(final_states(decoder, alone)[0], together[row, :length], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_classifier_is_transformers_and_reads_the_last_real_token(case):
    name, model = case
    classifier = transformers_model(name, AutoModelForSequenceClassification, num_labels=LABELS)
    network = Network(encoder=encoder_of(model), kind="classification", pooling="cls")
    classifier.base_model.load_state_dict(model.base_model.state_dict())
    given, arrays = texts(extra=1), head(network.sizes(LABELS))
    classifier.score.weight.copy_(arrays["head.weight"])
    expected = classifier(given.ids, attention_mask=mask_of(given)).logits

    at = HeadOnly().split_point(BLOCKS)
    frozen = network.frozen(given, [at])[at]

    assert frozen.shape == (len(LENGTHS), 32)
    torch.testing.assert_close(network.logits(frozen, given.lengths, arrays, at), expected, atol=1e-5, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["classification", "tagging"])
def test_split_at_any_depth_it_is_the_same_model(case, kind):
    """Adapters whose up-projections are zero change nothing, so every split gives what no split gives."""
    _, model = case
    network = Network(encoder=encoder_of(model), kind=kind, pooling="cls")
    given, sizes = texts(extra=1), network.sizes(LABELS)
    states, arrays = final_states(network.encoder, given), head(sizes)
    expected = states @ arrays["head.weight"].T + arrays.get("head.bias", 0)

    for depth in range(BLOCKS + 1):
        trained = Bottleneck(depth=depth, width=2)
        shapes = trained.shapes(sizes)
        adapters = {name: torch.full(shape, float("up" not in name)) for name, shape in shapes.items()}
        at = trained.split_point(BLOCKS)
        found = network.logits(network.frozen(given, [at])[at], given.lengths, adapters | arrays, at)
        if kind == "tagging":
            same(found, expected)
        else:
            for row, length in enumerate(LENGTHS):
                torch.testing.assert_close(found[row], expected[row, length - 1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("models", [1, 2])
def test_a_loss_on_few_tokens_and_its_gradients_are_those_of_the_states_of_all(case, models):
    """The last block then runs for these tokens alone, and the blocks of a LoRA begin at any depth."""
    _, model = case
    network = Network(encoder=encoder_of(model), kind="prompt", pooling="cls")
    given, draws = texts(extra=1), torch.Generator().manual_seed(4)
    labels = torch.full_like(given.ids, IGNORED_LABEL)
    for text, place, token in ((0, 2, 7), (0, 5, 3), (1, 1, 9), (3, 8, 4)):  # none in one text
        labels[text, place] = token

    for trained in (Lora(depth=depth, rank=2, targets="q,v,o,gate,down") for depth in range(1, BLOCKS + 1)):
        shapes, at = trained.shapes(network.sizes(0)), trained.split_point(BLOCKS)
        pairs = {name: 0.3 * torch.randn(models, *shape, generator=draws) for name, shape in shapes.items()}
        pairs = {name: (pair if models > 1 else pair[0]).requires_grad_() for name, pair in pairs.items()}
        frozen = network.frozen(given, [at])[at].clone()
        some, kept = network.scored_features(frozen, given.lengths, labels, pairs, at)
        found = network.loss(frozen, given.lengths, labels, pairs, at, models)
        every = network.features(frozen, given.lengths, pairs, at)
        expected = network.head.loss(every, labels, {}, models)

        assert (some.shape[:2], kept.shape) == ((4, 2), (4, 2))
        torch.testing.assert_close(some[kept != IGNORED_LABEL], every[labels != IGNORED_LABEL], atol=3e-5, rtol=0)
        torch.testing.assert_close(found, expected, atol=3e-5, rtol=0)
        gradients = [torch.autograd.grad(loss.sum(), list(pairs.values())) for loss in (found, expected)]
        for ours, theirs in zip(*gradients, strict=True):
            torch.testing.assert_close(ours, theirs, atol=3e-5 * max(1.0, float(theirs.abs().max())), rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize(
    "trained", [HeadOnly(), Lora(depth=0), Bottleneck(depth=1, width=2), Bottleneck(depth=2, width=2)]
)
def test_few_tokens_are_scored_by_the_states_of_all_whatever_is_trained(case, trained):
    _, model = case
    network = Network(encoder=encoder_of(model), kind="prompt", pooling="cls")
    given, at = texts(), trained.split_point(BLOCKS)
    labels = torch.full_like(given.ids, IGNORED_LABEL)
    labels[0, 3], labels[2, 1] = 8, 2
    frozen = network.frozen(given, [at])[at]
    draws = torch.Generator().manual_seed(5)
    shapes = trained.shapes(network.sizes(0))
    arrays = {name: torch.randn(shape, generator=draws) for name, shape in shapes.items()}

    some, kept = network.scored_features(frozen, given.lengths, labels, arrays, at)

    assert some.shape[:2] == kept.shape == (4, 1)
    every = network.features(frozen, given.lengths, arrays, at)
    torch.testing.assert_close(some[kept != IGNORED_LABEL], every[labels != IGNORED_LABEL], atol=1e-4, rtol=0)


def test_where_most_tokens_count_the_states_of_all_are_computed(case):
    _, model = case
    network = Network(encoder=encoder_of(model), kind="next-token", pooling="cls")
    given, at = texts(), Lora(depth=1).split_point(BLOCKS)
    frozen = network.frozen(given, [at])[at]
    pairs = {name: torch.zeros(shape) for name, shape in Lora(depth=1, rank=2).shapes(network.sizes(0)).items()}
    features, labels = network.scored_features(frozen, given.lengths, given.ids, pairs, at)
    assert features.shape[:2] == labels.shape == given.ids.shape


def test_it_is_sized_by_its_configuration_and_kept_as_plain_tensors(case, tmp_path):
    _, model = case
    model.config.save_pretrained(tmp_path)
    decoder = encoder_of(model)

    sizes = read_sizes(BackboneTable(name=str(tmp_path)), resolve=Path)
    back = encoder_from_tensors(encoder_tensors(decoder), json.loads(json.dumps(encoder_sizes(decoder))))

    assert sizes == decoder.sizes == back.sizes
    assert encoder_sizes(back) == encoder_sizes(decoder)
    before, after = encoder_tensors(decoder), encoder_tensors(back)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    shapes = {role: shape for role, shape in sizes.projections.items()}
    for role, name in {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "down": "mlp.down_proj"}.items():
        assert model.base_model.layers[0].get_submodule(name).weight.shape == shapes[role]


# What these functions do not compute


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("llama", {"hidden_act": "gelu"}, "its hidden_act is 'gelu'; accepted: silu"),
        ("llama", {"num_key_value_heads": 3}, "4 heads of size 8 and 3 of keys and values"),
        ("llama", {"intermediate_size": 0}, "intermediate_size is 0, expected a positive whole number"),
    ],
)
def test_what_it_would_not_compute_exactly_is_refused_by_name(tmp_path, name, change, told):
    config = AutoConfig.for_model(CASES[name][0], **SIZES).to_dict() | change
    (tmp_path / "config.json").write_text(json.dumps(config))

    with pytest.raises(UserError, match=told):
        read_sizes(BackboneTable(name=str(tmp_path)), resolve=Path)


@pytest.mark.parametrize("key", ["rope_type", "type"])
def test_a_scaling_of_rope_that_depends_on_the_text_is_refused_by_name(tmp_path, key):
    config = AutoConfig.for_model("llama", **SIZES).to_dict() | {"rope_scaling": {key: "longrope", "factor": 2.0}}
    (tmp_path / "config.json").write_text(json.dumps(config))

    with pytest.raises(UserError, match="its rope_scaling is 'longrope'; accepted: default, linear"):
        read_sizes(BackboneTable(name=str(tmp_path)), resolve=Path)


@pytest.mark.parametrize(
    ("kind", "change", "longest"),
    [
        ("mistral", {"sliding_window": 9}, 9),
        ("mistral", {"sliding_window": None}, 24),
        ("mistral", {"sliding_window": 4096}, 24),
        ("qwen2", {"sliding_window": 9}, 24),
        ("qwen2", {"sliding_window": 9, "use_sliding_window": True}, 9),
    ],
)
def test_texts_are_no_longer_than_a_window_within_which_attention_is_exact(tmp_path, kind, change, longest):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind} | SIZES | change))

    assert read_sizes(BackboneTable(name=str(tmp_path)), resolve=Path).positions == longest


def test_whole_blocks_of_a_decoder_are_refused():
    network = Network(encoder=encoder_of(transformers_model("llama")), kind="classification", pooling="cls")

    with pytest.raises(UserError, match="a llama is not trained whole; accepted: lora"):
        TopBlocks(depth=1).shapes(network.sizes(LABELS))


# Published models and files


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("HuggingFaceTB/SmolLM2-135M", (30, 576, 1536, 49152)),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", (22, 2048, 5632, 32000)),
        ("huggyllama/llama-7b", (32, 4096, 11008, 32000)),
        ("mistralai/Mistral-7B-v0.1", (32, 4096, 14336, 32000)),
        ("Qwen/Qwen2.5-0.5B", (24, 896, 4864, 151936)),
    ],
)
def test_published_models_are_sized_without_the_hub(tmp_path, name, sizes):
    found = read_sizes(BackboneTable(name=name), resolve=tmp_path.joinpath)

    assert (found.shape.blocks, found.shape.hidden, found.shape.intermediate, found.vocabulary) == sizes
    assert found.shape.family == "llama"


def test_smollm2_has_as_many_weights_as_are_published(tmp_path):
    """134.5 million, the embeddings once."""
    sizes = read_sizes(BackboneTable(name="HuggingFaceTB/SmolLM2-135M"), resolve=tmp_path.joinpath)

    block = sum(rows * columns for rows, columns in sizes.projections.values()) + 2 * 576
    assert sizes.vocabulary * 576 + 30 * block + 576 == 134_515_008


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_are_written_from_the_models_own_memory_and_read_back_equal(tmp_path, precision):
    model = transformers_model("qwen2")
    stored = stored_weights(model)

    stored.write(tmp_path / "weights", precision)

    assert stored.parts["words"][0].data_ptr() == model.base_model.embed_tokens.weight.data_ptr()
    read, expected = load_file(tmp_path / "weights"), encoder_tensors(encoder_of(model, precision))
    assert read.keys() == expected.keys()
    assert "lm_head" not in read
    save_file(expected, tmp_path / "library")
    assert (tmp_path / "weights").read_bytes() == (tmp_path / "library").read_bytes()
    assert all(torch.equal(read[name], expected[name]) for name in read)


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_a_folder_gives_the_head_over_the_vocabulary_tied_or_its_own(tmp_path, name, tokenizer_without_padding):
    made = transformers_model(name)
    made.save_pretrained(tmp_path / "mine")
    tokenizer_without_padding.save_pretrained(tmp_path / "mine")

    pretrained = load_pretrained(BackboneTable(name="mine"), seed=0, resolve=tmp_path.joinpath, texts=list)

    decoder = encoder_of(pretrained.model)
    assert torch.equal(decoder.lm_head_weight, made.get_output_embeddings().weight)
    assert (decoder.lm_head_weight is decoder.words) == (name == "qwen2")
    assert pretrained.tokenizer.pad_token_id is None


def test_a_model_without_the_head_over_the_vocabulary_has_none(tmp_path, tokenizer_without_padding):
    transformers_model("llama").base_model.save_pretrained(tmp_path / "mine")
    tokenizer_without_padding.save_pretrained(tmp_path / "mine")

    pretrained = load_pretrained(BackboneTable(name="mine"), seed=0, resolve=tmp_path.joinpath, texts=list)

    assert encoder_of(pretrained.model).lm_head_weight is None


@pytest.fixture
def tokenizer_without_padding():
    from fedlab.models.tokenizer import tokenizer_for  # noqa: PLC0415

    made = tokenizer_for(["red green"], 50)
    made.pad_token = None
    return made


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_tokenizer_without_padding_token_will_do_on_whichever_side_it_pads(tmp_path, tokenizer_without_padding, side):
    tokenizer_without_padding.padding_side = side
    about = {"tokenizer": tokenizer_without_padding, "max_length": 8, "kind": "classification"}

    tokens = tokenize(["red", "green red"], [0, 1], **about, cache_folder=tmp_path)

    assert tokens.lengths.tolist() == [3, 4]
    assert tokens.input_ids[0, :3].tolist() == tokenizer_without_padding("red")["input_ids"]


def test_random_weights_get_a_tokenizer(tmp_path):
    table = BackboneTable(name="llama-tiny", overrides={"vocab_size": 60, "num_hidden_layers": 1})
    pretrained = load_pretrained(table, seed=0, resolve=tmp_path.joinpath, texts=lambda: ["the cat sat"])

    decoder = encoder_of(pretrained.model)
    assert (decoder.shape.blocks, len(decoder.words)) == (1, 60)
    assert pretrained.tokenizer.convert_ids_to_tokens(pretrained.tokenizer("the cat")["input_ids"])[1:3] == [
        "the",
        "cat",
    ]


@pytest.mark.skipif(not STORIES.is_dir(), reason="needs ../shared/models/stories260k")
@torch.inference_mode()
def test_the_real_stories260k_is_transformers():
    pretrained = load_pretrained(BackboneTable(name=str(STORIES)), seed=0, resolve=Path, texts=list)
    reference = AutoModelForCausalLM.from_pretrained(STORIES).eval()
    ids = AutoTokenizer.from_pretrained(STORIES)("Once upon a time there was a cat.", return_tensors="pt").input_ids
    decoder = encoder_of(pretrained.model)

    states = final_states(decoder, TokenIds(ids=ids, lengths=torch.tensor([ids.shape[1]])))

    torch.testing.assert_close(states @ decoder.lm_head_weight.T, reference(ids).logits, atol=1e-4, rtol=1e-5)
