"""ALBERT computes what transformers and the adapters library compute, with one block for all."""

import copy

import adapters
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AlbertConfig, AlbertModel

from fedlab.config.schema import BackboneTable
from fedlab.errors import UserError
from fedlab.models.base import weights_of
from fedlab.models.export.adapters_library import save_adapter
from fedlab.models.load import encoder_from_tensors, encoder_of, encoder_sizes, encoder_tensors, load_pretrained
from fedlab.models.peft.base import ModelSizes
from fedlab.models.peft.whole_blocks import Everything, TopBlocks
from fedlab.models.sizes import read_sizes
from fedlab.models.split import Network
from fedlab.training.finetune import finetune
from fedlab.training.local import LocalTraining, TrainingExamples

READINGS = [("classification", "cls"), ("classification", "pooler"), ("tagging", "cls")]
SIZES = {
    "vocab_size": 50, "embedding_size": 12, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 24,
}  # fmt: skip
REFUSED = r"the albert shares one block among all 3, .*accepted: train everything, adapters or the head"


def albert(**changes):
    return AlbertModel(AlbertConfig(**(SIZES | changes)))


@pytest.fixture(scope="module", params=READINGS, ids="-".join)
def case(request, family_model):
    return family_model(albert(), *request.param)


@pytest.fixture(scope="module")
def classifier(family_model):
    return family_model(albert())


@pytest.mark.parametrize("depth", range(4))
def test_adapters_answer_and_learn_as_the_librarys(holds, case, depth):
    holds.adapters_answer_as_the_librarys(case, depth)
    holds.adapters_have_the_librarys_gradients(case, depth)


def test_cut_at_its_ends_it_answers_as_transformers(holds, case):
    holds.whole_blocks_answer_as_transformers(case, [0, 3])


def test_padding_changes_no_answer(holds, case):
    holds.padding_changes_no_answer(case)


def test_everything_trained_opens_with_transformers(holds, case, tmp_path):
    holds.everything_trained_opens_with_transformers(case, tmp_path)


def test_it_is_sized_by_its_configuration_and_kept_as_plain_tensors(holds, case, tmp_path):
    holds.sizes_are_those_of_the_weights(case, tmp_path)
    holds.an_encoder_survives_the_way_through_plain_tensors(case)


@pytest.mark.parametrize(("activation", "gelu"), [("gelu", "none"), ("gelu_new", "tanh")])
def test_both_forms_of_gelu_are_computed(holds, family_model, activation, gelu):
    case = family_model(albert(hidden_act=activation))

    assert case.network.encoder.gelu == gelu
    holds.adapters_answer_as_the_librarys(case, 2)


@pytest.mark.parametrize("blocks", [1, 2])
def test_fewer_blocks_share_their_weights_as_well(holds, family_model, blocks, tmp_path):
    case = family_model(albert(num_hidden_layers=blocks))

    holds.adapters_answer_as_the_librarys(case, blocks)
    holds.sizes_are_those_of_the_weights(case, tmp_path)


# One block


def test_the_block_lies_in_memory_once(classifier):
    encoder = classifier.network.encoder
    tensors = encoder_tensors(encoder)
    again = encoder_from_tensors(tensors, encoder_sizes(encoder))

    assert {name.split(".")[1] for name in tensors if name.startswith("blocks.")} == {"0"}
    for each in (encoder, again):
        assert len(each.blocks) == 3
        assert all(block is each.blocks[0] for block in each.blocks)


def test_the_block_travels_once_under_the_numbers_of_all(classifier):
    arrays = classifier.whole(Everything())

    assert [name for name in arrays if "attention.in.weight" in name] == ["block.0-2.attention.in.weight"]
    assert arrays["embedding.projection.weight"].shape == (32, 12)
    assert arrays["embedding.words"].shape == (50, 12)


def test_a_trained_block_is_read_in_every_place(classifier):
    encoder = classifier.network.encoder
    arrays = weights_of(encoder, classifier.whole(Everything()))

    trained = encoder.with_trained({name: torch.from_numpy(array) + 1 for name, array in arrays.items()})

    assert all(block is trained.blocks[0] for block in trained.blocks)
    torch.testing.assert_close(trained.blocks[0].up_bias, encoder.blocks[0].up_bias + 1)
    torch.testing.assert_close(trained.projection_bias, encoder.projection_bias + 1)


@pytest.mark.parametrize("depth", [1, 2])
def test_some_of_the_blocks_alone_cannot_be_trained(classifier, tmp_path, depth):
    classifier.model.config.save_pretrained(tmp_path)
    sizes = read_sizes(BackboneTable(name=str(tmp_path)), resolve=lambda text: tmp_path)

    with pytest.raises(UserError, match=rf"^client.depth = {depth}: {REFUSED}$"):
        classifier.whole(TopBlocks(depth=depth))
    with pytest.raises(UserError, match=REFUSED):
        TopBlocks(depth=depth).shapes(ModelSizes(encoder=sizes, labels=2))


@pytest.mark.parametrize("depth", [0, 3])
def test_the_head_alone_and_everything_can_be_trained(classifier, depth):
    assert (len(classifier.whole(TopBlocks(depth=depth))) > 2) == (depth == 3)


@pytest.mark.parametrize("key", ["num_hidden_groups", "inner_group_num"])
def test_more_blocks_than_one_are_refused_by_name(key, tmp_path):
    model = albert(num_hidden_layers=4, **{key: 2})
    model.config.save_pretrained(tmp_path)

    with pytest.raises(UserError, match=f"its {key} is 2; accepted: 1"):
        encoder_of(model)
    with pytest.raises(UserError, match=f"its {key} is 2; accepted: 1"):
        read_sizes(BackboneTable(name=str(tmp_path)), resolve=lambda text: tmp_path)


def test_training_everything_is_what_transformers_and_torch_do(classifier):
    """Gradients of all places of the one block are summed."""
    texts, labels, rate = classifier.texts(), torch.tensor([0, 1, 2, 3]), 0.05
    arrays = classifier.whole(Everything())
    network = classifier.network
    options = LocalTraining(batch_size=4, clip_norm=None, learning_rate=rate, schedule="constant")
    examples = TrainingExamples(at=Everything().split_point(3), frozen=texts.ids, lengths=texts.lengths, labels=labels)

    ours = finetune(network, examples, arrays, options, np.random.default_rng(0)).arrays

    model = copy.deepcopy(classifier.model)
    weight, bias = (torch.tensor(arrays[f"head.{name}"], requires_grad=True) for name in ("weight", "bias"))
    optimizer = torch.optim.SGD([*model.parameters(), weight, bias], lr=rate)
    mask = (torch.arange(texts.ids.shape[1]) < texts.lengths[:, None]).long()
    first = model(texts.ids, attention_mask=mask).last_hidden_state[:, 0]
    F.cross_entropy(first @ weight.T + bias, labels).backward()
    optimizer.step()
    expected = weights_of(encoder_of(model), arrays)
    for name, array in expected.items():
        np.testing.assert_allclose(ours[name], array, atol=1e-5, rtol=0, err_msg=name)
    assert np.abs(ours["block.0-2.feed_forward.in.weight"] - arrays["block.0-2.feed_forward.in.weight"]).max() > 1e-3


# Adapters


def test_every_run_of_the_block_has_an_adapter_of_its_own(classifier):
    arrays = classifier.adapters(3)
    with torch.inference_mode():
        before = classifier.logits(arrays)
        for block in range(3):
            changed = {f"block.{block}.up.bias": arrays[f"block.{block}.up.bias"] * 9}
            assert (classifier.logits(type(arrays)(arrays.set, arrays | changed)) - before).abs().max() > 1e-3


def test_a_saved_adapter_opens_on_the_model_with_blocks_of_its_own(classifier, library, tmp_path):
    arrays = classifier.adapters(2)
    about = {"kind": "classification", "label_names": tuple("abcde"), "pooling": "cls"}
    save_adapter(arrays, arrays.set, tmp_path / "adapter", model_type="albert", blocks=3, **about)
    library.with_own_blocks(classifier.model).save_pretrained(tmp_path / "encoder")

    fresh = adapters.AutoAdapterModel.from_pretrained(tmp_path / "encoder")
    name = fresh.load_adapter(str(tmp_path / "adapter"))
    fresh.set_active_adapters(name)
    fresh.active_head = name

    with torch.inference_mode():
        torch.testing.assert_close(classifier.logits(arrays), classifier.librarys(fresh.eval()), atol=1e-5, rtol=0)


# Precision, and random weights


def test_in_bfloat16_it_is_as_near_as_rounding_allows(classifier):
    rough = Network(encoder=encoder_of(classifier.model, "bf16"), kind="classification", pooling="cls")
    texts, at = classifier.texts(), TopBlocks(depth=0).split_point(3)

    exact, near = (each.frozen(texts, [at])[at].float() for each in (classifier.network, rough))

    assert 0 < (near - exact).norm() < 0.03 * exact.norm()


def test_random_weights_have_the_sizes_and_the_tokenizer_of_the_family(tmp_path):
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 90}
    table = BackboneTable(name="albert-base", overrides=sizes | {"embedding_size": 8})
    made = load_pretrained(table, seed=0, resolve=tmp_path.joinpath, texts=lambda: ["the cat sat"])
    encoder = encoder_of(made.model)

    assert (encoder.words.shape, encoder.projection_weight.shape) == ((90, 8), (32, 8))
    assert len(encoder.blocks) == 12
    assert made.tokenizer.convert_ids_to_tokens(made.tokenizer("cat")["input_ids"]) == ["[CLS]", "cat", "[SEP]"]
    assert (made.tokenizer.pad_token, made.tokenizer.pad_token_id, made.tokenizer.cls_token_id) == ("<pad>", 0, 2)


def test_everything_of_albert_base_is_as_many_weights_as_are_published(tmp_path):
    """11.7 million (Lan et al. 2020, table 1: 12 M), of which the second token type is never read."""
    sizes = read_sizes(BackboneTable(name="albert-base-v2"), resolve=tmp_path.joinpath)

    shapes = Everything().shapes(ModelSizes(encoder=sizes, labels=1, pooler=True))
    count = sum(int(np.prod(shape)) for shape in shapes.values())

    assert count == 11_683_584 - 128 + 768 + 1
    assert read_sizes(BackboneTable(name="albert-base"), resolve=tmp_path.joinpath) == sizes
