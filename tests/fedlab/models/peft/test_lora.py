"""LoRA and BitFit: which arrays they are, that growing changes nothing, and that PEFT computes the same."""

import json

import numpy as np
import peft
import pytest
import torch
import torch.nn.functional as F
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from fedlab.errors import UserError
from fedlab.models.base import TokenIds, weights_of
from fedlab.models.export.final_model import export_model
from fedlab.models.export.peft_library import CONFIG, read_lora
from fedlab.models.families import families
from fedlab.models.load import Pretrained, encoder_of
from fedlab.models.peft.base import from_configuration
from fedlab.models.peft.bitfit import Biases
from fedlab.models.peft.lora import ROLES, Lora, pair_names
from fedlab.models.split import Network
from fedlab.workload.passes import TrainedSpec

BLOCKS, LABELS, LENGTHS = 3, 4, (7, 2, 5, 9)
NAMES = tuple("abcd")
SMALL = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": BLOCKS, "num_attention_heads": 4}
SMALL |= {"intermediate_size": 40, "max_position_embeddings": 24, "pad_token_id": 0}
DISTIL = {"vocab_size": 50, "dim": 32, "n_layers": BLOCKS, "n_heads": 4, "hidden_dim": 40}
MODELS = {
    "bert": ("bert", SMALL, "query,value"),
    "distilbert": ("distilbert", DISTIL | {"max_position_embeddings": 24}, "q_lin,lin1"),
    "roberta": ("roberta", SMALL | {"pad_token_id": 1, "max_position_embeddings": 26}, "key,dense"),
    "albert": ("albert", SMALL | {"embedding_size": 12}, "query,ffn,o"),
    "llama": ("llama", SMALL | {"num_key_value_heads": 2}, "q,k,v,o,gate,up,down"),
    "qwen2": ("qwen2", SMALL | {"num_key_value_heads": 2, "tie_word_embeddings": True}, "q_proj,v_proj,down_proj"),
}
AUTO = {"classification": AutoModelForSequenceClassification, "tagging": AutoModelForTokenClassification}


def pretrained_model(name):
    from transformers import AutoModel  # noqa: PLC0415

    kind, sizes, _ = MODELS[name]
    torch.manual_seed(0)
    auto = AutoModelForCausalLM if kind in ("llama", "qwen2") else AutoModel
    model = auto.from_config(AutoConfig.for_model(kind, **sizes), attn_implementation="eager")
    draws = torch.Generator().manual_seed(1)
    for path, parameter in model.named_parameters():  # biases are drawn as zero, and norms as one
        centre = float("norm" in path.lower() and path.endswith("weight"))
        with torch.no_grad():
            parameter.copy_(centre + 0.2 * torch.randn(parameter.shape, generator=draws))
    return model.eval()


def texts():
    draws = torch.Generator().manual_seed(3)
    ids = torch.ones(len(LENGTHS), max(LENGTHS), dtype=torch.long)  # RoBERTa's padding
    for row, length in enumerate(LENGTHS):
        ids[row, :length] = torch.randint(2, 50, (length,), generator=draws)
    return TokenIds(ids=ids, lengths=torch.tensor(LENGTHS))


class Case:
    """A small model, read as a kind of task, and what is trained of it: no array is zero, as after training."""

    def __init__(self, name, kind="classification", pooling="cls"):
        self.name, self.kind, self.pooling, self.model = name, kind, pooling, pretrained_model(name)
        self.network = Network(encoder=encoder_of(self.model), kind=kind, pooling=pooling)
        self.sizes = self.network.sizes(LABELS)

    def lora(self, depth, rank=4, alpha=6):
        return Lora(depth=depth, rank=rank, alpha=alpha, targets=MODELS[self.name][2])

    def arrays(self, trained, seed=5):
        draws = np.random.default_rng(seed)
        shapes = trained.shapes(self.sizes)
        return {name: draws.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}

    def logits(self, trained, arrays, given=None):
        given, at = given or texts(), trained.split_point(BLOCKS)
        frozen = self.network.frozen(given, [at])[at].clone()
        return self.network.logits(frozen, given.lengths, {n: torch.as_tensor(a) for n, a in arrays.items()}, at)

    def opened(self, folder, trained, arrays):
        """Return the model that PEFT opens from what is saved, on transformers' own for the task."""
        loaded = Pretrained(model=self.model, tokenizer=None)
        about = {"model_type": self.model.config.model_type, "network": self.network, "label_names": NAMES}
        export_model(arrays, trained, folder, pretrained=lambda: loaded, **about)
        base = AUTO[self.kind].from_config(labelled(self.model.config), attn_implementation="eager")
        base.base_model.load_state_dict(self.model.base_model.state_dict(), strict=False)
        return peft.PeftModel.from_pretrained(base, folder, is_trainable=True).eval()

    def theirs(self, model):
        given = texts()
        ids = given.ids.clone()
        mask = (torch.arange(ids.shape[1]) < given.lengths[:, None]).long()
        ids[mask == 0] = self.model.config.pad_token_id
        return model(ids, attention_mask=mask).logits

    def same(self, ours, theirs, atol=1e-5):
        for row, length in enumerate(LENGTHS):
            real = slice(0, length) if self.kind == "tagging" else slice(None)
            torch.testing.assert_close(ours[row][real], theirs[row][real], atol=atol, rtol=1e-5)


def exported(case, trained, arrays, folder):
    """Return the tagger that transformers opens from what is saved of a model with trained biases."""

    class Tokenizer:
        def save_pretrained(self, folder):
            pass

    loaded = Pretrained(model=case.model, tokenizer=Tokenizer())
    about = {"model_type": case.model.config.model_type, "network": case.network, "label_names": NAMES}
    export_model(arrays, trained, folder, pretrained=lambda: loaded, **about)
    return AutoModelForTokenClassification.from_pretrained(folder, attn_implementation="eager").eval()


def labelled(config):
    copied = type(config).from_dict(config.to_dict())
    copied.id2label = dict(enumerate(NAMES))
    copied.label2id = {name: at for at, name in enumerate(NAMES)}
    return copied


READINGS = [
    ("bert", "classification", "cls"),
    ("bert", "classification", "pooler"),
    ("bert", "tagging", "cls"),
    ("distilbert", "classification", "cls"),
    ("roberta", "classification", "cls"),
    ("llama", "classification", "cls"),
    ("llama", "tagging", "cls"),
    ("qwen2", "classification", "cls"),
]


@pytest.fixture(scope="module", params=READINGS, ids="-".join)
def case(request):
    return Case(*request.param)


# The same as PEFT


@pytest.mark.parametrize("depth", range(BLOCKS + 1))
def test_a_saved_adapter_opens_with_peft_and_answers_the_same(case, tmp_path, depth):
    trained = case.lora(depth)
    arrays = case.arrays(trained)

    model = case.opened(tmp_path / "adapter", trained, arrays)

    with torch.inference_mode():  # a head that reads the first row goes through a dense layer, which rounds
        exact = case.pooling == "pooler" or case.kind == "tagging" or case.name in ("llama", "qwen2")
        case.same(case.logits(trained, arrays), case.theirs(model), atol=1e-5 if exact else 5e-5)


@pytest.mark.parametrize("depth", [1, BLOCKS])
@pytest.mark.parametrize("name", ["bert", "llama", "qwen2"])
def test_gradients_are_those_of_peft_and_transformers(tmp_path, name, depth):
    case = Case(name, pooling="pooler" if name == "bert" else "cls")
    trained = case.lora(depth)
    arrays = case.arrays(trained)
    labels = torch.arange(len(LENGTHS)) % LABELS
    model = case.opened(tmp_path / "adapter", trained, arrays)
    parameters = dict(model.named_parameters())
    ours = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}

    F.cross_entropy(case.logits(trained, ours), labels).backward()
    F.cross_entropy(case.theirs(model), labels).backward()

    pairs = 0
    for path, parameter in parameters.items():
        if ".lora_" not in path:
            continue
        module, which = path.removeprefix("base_model.model.").split(".lora_")
        block = next(int(part) for part in module.split(".") if part.isdigit())
        family = {"query": "q", "value": "v"} | {f"{role}_proj": role for role in ROLES}
        found = ours[pair_names(block, family[module.rpartition(".")[2]])[which.startswith("B")]].grad
        torch.testing.assert_close(found, parameter.grad, atol=1e-5, rtol=1e-4, msg=lambda text, path=path: path + text)
        assert parameter.grad.abs().max() > 1e-6
        pairs += 1
    assert pairs == 2 * depth * len(trained.roles)


def test_an_adapter_of_peft_is_read_as_the_set_and_the_arrays_that_were_saved(case, tmp_path):
    trained = case.lora(2)
    arrays = case.arrays(trained)
    case.opened(tmp_path / "adapter", trained, arrays).save_pretrained(tmp_path / "again")

    for folder in (tmp_path / "adapter", tmp_path / "again"):
        read, found = read_lora(folder, case.sizes, "client.start")
        assert (read.depth, read.rank, read.alpha, read.roles) == (2, 4, 6, trained.roles)
        for name, array in arrays.items():
            if "lora" in name or (name == "head.weight" and name in found):
                np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; accepted: LORA"),
        ({"use_dora": True}, "use_dora is True; accepted: False"),
        ({"use_rslora": True}, "use_rslora is True"),
        ({"rank_pattern": {"q": 2}}, "rank_pattern is {'q': 2}"),
        ({"r": 0}, "r is 0, expected a whole number"),
        ({"r": 5}, "is of (4, 40), and this backbone takes (5, 40)"),
    ],
)
def test_an_adapter_that_computes_something_else_is_refused(tmp_path, change, told):
    case = Case("llama")
    case.opened(tmp_path, case.lora(1), case.arrays(case.lora(1)))
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | change))

    with pytest.raises(UserError) as refused:
        read_lora(tmp_path, case.sizes, "client.start = 'x'")
    assert told in str(refused.value)
    assert str(refused.value).startswith("client.start = 'x': ")


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(UserError, match="accepted: a folder that PEFT has saved a LoRA to"):
        read_lora(tmp_path, Case("llama").sizes, "client.start")


# The set


def test_the_arrays_are_those_of_the_protocol_in_its_order():
    case = Case("llama")

    shapes = Lora(depth=1, rank=3, alpha=6, targets="v, q").shapes(case.sizes)

    assert list(shapes.items()) == [
        ("block.2.lora.q.a", (3, 32)),
        ("block.2.lora.q.b", (32, 3)),
        ("block.2.lora.v.a", (3, 32)),
        ("block.2.lora.v.b", (16, 3)),
        ("head.weight", (LABELS, 32)),
    ]


def test_new_pairs_change_nothing(case):
    trained = case.lora(2)
    new = trained.initial(case.sizes, np.random.default_rng(0), lambda names: {})
    head = {name: array for name, array in new.items() if name.startswith("head")}

    with torch.inference_mode():
        case.same(case.logits(trained, new), case.logits(case.lora(0), head), atol=1e-6)
    assert np.abs(new[pair_names(2, trained.roles[0])[0]]).max() > 0.1


@pytest.mark.parametrize(("depth", "rank", "alpha"), [(1, 7, 6), (3, 4, 6), (3, 16, 6), (2, 5, 9)])
def test_growing_rank_or_depth_keeps_the_function(case, depth, rank, alpha):
    small, large = case.lora(1), case.lora(depth, rank, alpha)
    arrays = case.arrays(small)

    grown = small.grow(arrays, large, sizes=case.sizes, generator=np.random.default_rng(7))

    assert {name: array.shape for name, array in grown.items()} == large.shapes(case.sizes)
    with torch.inference_mode():
        case.same(case.logits(large, grown), case.logits(small, arrays), atol=1e-5)
    new_rows = grown[pair_names(BLOCKS - 1, small.roles[0])[0]][4:]
    assert rank == 4 or np.abs(new_rows).max() > 0.05


def test_growing_keeps_the_pairs_products_to_rounding():
    case = Case("llama")
    small, large = case.lora(1), case.lora(1, rank=7)
    arrays = case.arrays(small)
    grown = small.grow(arrays, large, sizes=case.sizes, generator=np.random.default_rng(7))

    for role in small.roles:
        first, second = pair_names(BLOCKS - 1, role)
        before, after = (it.scale * held[second] @ held[first] for it, held in ((small, arrays), (large, grown)))
        np.testing.assert_allclose(after, before, atol=1e-6)


def test_models_of_different_ranks_are_averaged_with_the_factor_of_each():
    case = Case("llama")
    small, large = Lora(depth=1, rank=1, alpha=4, targets="q"), Lora(depth=1, rank=2, alpha=4, targets="q")
    ones, twos = (
        {name: np.full(shape, value, np.float32) for name, shape in trained.shapes(case.sizes).items()}
        for trained, value in ((small, 1.0), (large, 2.0))
    )

    merged = small.merge(ones, 1.0, [(large, twos, 3.0)])

    first, second = pair_names(2, "q")
    assert np.unique(merged[first]).tolist() == [(1 + 3 * 2) / 4]
    assert np.unique(merged[second]).tolist() == [(1 + 3 * 2 * (2 / 4)) / 4]  # a factor of 2 in place of 4


def test_work_is_said_by_role_whatever_targets_are_called():
    expected = TrainedSpec(kind="lora", rank=4, targets=("q", "v"))

    assert Lora(depth=1, rank=4, targets="v_proj,q_proj").spec == expected
    assert Lora(depth=1, rank=4, targets="value,query").spec == expected
    assert Lora(depth=1, rank=4, targets="dense").roles == ("o", "up", "down")


def test_axes_that_are_left_out_have_defaults():
    found = from_configuration({"set": "lora", "depth": 2})

    assert dict(found.configuration) == {"set": "lora", "depth": 2, "rank": 8, "alpha": 16, "targets": "q,v"}


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"targets": "q,qq"}, "the set 'lora': targets 'qq': "),
        ({"targets": ""}, "the set 'lora': targets '': "),
        ({"targets": 3}, "the set 'lora': targets 3, expected names"),
        ({"rank": 0}, "the set 'lora': rank 0, expected a whole number from 1 up"),
        ({"alpha": "x"}, "the set 'lora': alpha 'x', expected a whole number from 1 up"),
        ({"ranks": 3}, "the set 'lora' has no axis 'ranks'"),
    ],
)
def test_axes_that_cannot_be_are_refused(axes, told):
    with pytest.raises(UserError) as refused:
        from_configuration({"set": "lora", "depth": 1} | axes)
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(
    ("name", "axes", "told"),
    [
        ("bert", {"targets": "gate"}, "client.axes.targets: a bert has no 'gate'"),
        ("llama", {"targets": "query"}, "client.axes.targets: a llama has no 'query'"),
        (
            "llama",
            {"targets": "q,k", "rank": 17},
            "client.axes.rank = 17: the matrix of 'k' has rank 16; accepted: 1 to 16",
        ),
        ("llama", {"depth": 4}, "the set 'lora': depth 4, but the encoder has 3 blocks"),
    ],
)
def test_what_does_not_fit_the_backbone_is_refused(name, axes, told):
    with pytest.raises(UserError) as refused:
        Lora(**{"depth": 1} | axes).shapes(Case(name).sizes)
    assert str(refused.value).startswith(told)


# BitFit


@pytest.mark.parametrize("name", ["bert", "distilbert", "qwen2"])
@pytest.mark.parametrize("depth", [0, 1, BLOCKS])
def test_pretrained_biases_are_the_model_and_trained_ones_open_with_transformers(tmp_path, name, depth):
    case, trained = Case(name, "tagging"), Biases(depth=depth)
    new = trained.initial(case.sizes, np.random.default_rng(0), lambda names: weights_of(case.network.encoder, names))
    head = {each: array for each, array in new.items() if each.startswith("head")}
    moved = case.arrays(trained)
    with torch.inference_mode():
        case.same(case.logits(trained, new), case.logits(Biases(depth=0), head))

    opened = exported(case, trained, moved, tmp_path)

    with torch.inference_mode():
        case.same(case.logits(trained, moved), case.theirs(opened))


def test_every_bias_of_the_top_blocks_is_trained_and_no_other():
    sizes = Case("bert").sizes

    names = list(Biases(depth=1).shapes(sizes))

    assert names == [
        *(f"block.2.{part}.bias" for part in ("attention.in", "attention.out", "attention.norm")),
        *(f"block.2.{part}.bias" for part in ("feed_forward.in", "feed_forward.out", "norm")),
        "head.weight",
        "head.bias",
    ]


def test_a_backbone_without_biases_is_refused():
    with pytest.raises(UserError, match="this llama has no biases; accepted: lora, bottleneck or head"):
        Biases(depth=1).shapes(Case("llama").sizes)


# One block for all (ALBERT): pairs and biases are in all its runs


ALL = f"0-{BLOCKS - 1}"


@pytest.fixture(scope="module", params=[("classification", "cls"), ("classification", "pooler"), ("tagging", "cls")])
def shared(request):
    return Case("albert", *request.param)


@pytest.mark.parametrize("depth", [0, BLOCKS])
def test_a_pair_of_a_shared_block_opens_with_peft_and_answers_the_same(shared, tmp_path, depth):
    trained = shared.lora(depth)
    arrays = shared.arrays(trained)

    model = shared.opened(tmp_path / "adapter", trained, arrays)

    assert sum(".lora_A" in name for name, _ in model.named_parameters()) == len(trained.roles)
    with torch.inference_mode():
        exact = shared.pooling == "pooler" or shared.kind == "tagging"
        shared.same(shared.logits(trained, arrays), shared.theirs(model), atol=1e-5 if exact else 5e-5)


def test_gradients_of_all_runs_of_a_shared_block_are_those_of_peft(tmp_path):
    case = Case("albert", pooling="pooler")
    trained = case.lora(BLOCKS)
    arrays, labels = case.arrays(trained), torch.arange(len(LENGTHS)) % LABELS
    model = case.opened(tmp_path / "adapter", trained, arrays)
    ours = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}

    F.cross_entropy(case.logits(trained, ours), labels).backward()
    F.cross_entropy(case.theirs(model), labels).backward()

    roles = {"attention.query": "q", "attention.dense": "o", "albert_layers.0.ffn": "up"}
    pairs = {path: each for path, each in model.named_parameters() if ".lora_" in path}
    assert len(pairs) == 2 * len(trained.roles) == 6
    for path, parameter in pairs.items():
        module, which = path.split(".lora_")
        role = next(role for end, role in roles.items() if module.endswith(end))
        found = ours[pair_names(ALL, role)[which.startswith("B")]].grad
        torch.testing.assert_close(found, parameter.grad, atol=1e-5, rtol=1e-4)
        assert parameter.grad.abs().max() > 1e-6


def test_several_models_share_a_shared_block_each_with_its_pairs(shared):
    trained = shared.lora(BLOCKS)
    models, given = [shared.arrays(trained, seed) for seed in (5, 6)], texts()
    at = trained.split_point(BLOCKS)
    frozen = shared.network.frozen(given, [at])[at].clone()
    stacked = {name: torch.from_numpy(np.stack([each[name] for each in models])) for name in models[0]}

    with torch.inference_mode():
        together = shared.network.logits(torch.cat([frozen, frozen]), given.lengths.repeat(2), stacked, at)
        for part, arrays in zip(together.chunk(2), models, strict=True):
            shared.same(part, shared.logits(trained, arrays))


def test_a_pair_of_a_shared_block_is_read_as_it_was_saved(shared, tmp_path):
    trained = shared.lora(BLOCKS)
    arrays = shared.arrays(trained)
    shared.opened(tmp_path, trained, arrays)

    read, found = read_lora(tmp_path, shared.sizes, "client.start")

    assert (read.depth, read.rank, read.alpha, read.roles) == (BLOCKS, 4, 6, trained.roles)
    assert {name for name in found if "lora" in name} == {name for name in arrays if "lora" in name}
    for role in trained.roles:
        for name in pair_names(ALL, role):
            np.testing.assert_array_equal(found[name], arrays[name])


@pytest.mark.parametrize(("before", "depth", "rank"), [(0, BLOCKS, 4), (BLOCKS, BLOCKS, 7)])
def test_growing_keeps_the_function_of_a_shared_block(shared, before, depth, rank):
    small, large = shared.lora(before), shared.lora(depth, rank)
    arrays = shared.arrays(small)

    grown = small.grow(arrays, large, sizes=shared.sizes, generator=np.random.default_rng(7))

    with torch.inference_mode():
        shared.same(shared.logits(large, grown), shared.logits(small, arrays))


def test_biases_of_a_shared_block_are_the_model_and_trained_ones_open_with_transformers(tmp_path):
    case, trained = Case("albert", "tagging"), Biases(depth=BLOCKS)
    new = trained.initial(case.sizes, np.random.default_rng(0), lambda names: weights_of(case.network.encoder, names))
    head = {each: array for each, array in new.items() if each.startswith("head")}
    moved = case.arrays(trained)
    with torch.inference_mode():
        case.same(case.logits(trained, new), case.logits(Biases(depth=0), head))

    opened = exported(case, trained, moved, tmp_path)

    assert next(name for name in moved if name.startswith("block")) == f"block.{ALL}.attention.in.bias"
    with torch.inference_mode():
        case.same(case.logits(trained, moved), case.theirs(opened))


@pytest.mark.parametrize("trained", [Lora(depth=1), Biases(depth=2)], ids=["lora", "bias"])
def test_some_runs_of_a_shared_block_alone_are_refused(trained):
    told = (
        "the albert shares one block among all 3, so its top blocks cannot be trained without the others; "
        "accepted: client.depth = 0 or 3, or the set bottleneck"
    )
    with pytest.raises(UserError) as refused:
        trained.shapes(Case("albert").sizes)
    assert str(refused.value) == f"client.trains = '{trained.configuration['set']}': {told}"


def test_a_name_of_a_target_means_the_same_in_every_family():
    meanings = {}
    for family in families().values():
        for name, roles in family.targets.items():
            assert meanings.setdefault(name, tuple(roles)) == tuple(roles), name
