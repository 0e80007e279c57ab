"""Sets come from their configurations and say where they split a model; what cannot be is refused in one line."""

import textwrap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.config.builtins import TRAINABLE_SETS
from fedlab.errors import UserError
from fedlab.models.peft.base import ModelSizes, SplitPoint, TrainableSet, depth_and_width, from_configuration
from fedlab.models.peft.bitfit import Biases
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.head import HeadOnly
from fedlab.models.peft.lora import Lora
from fedlab.models.peft.whole_blocks import Everything, TopBlocks
from fedlab.models.sizes import EncoderSizes
from fedlab.workload.shape import ModelShape

SETS = st.one_of(
    st.just(HeadOnly()),
    st.just(Everything()),
    st.builds(TopBlocks, depth=st.integers(0, 3)),
    st.builds(Bottleneck, depth=st.integers(0, 3), width=st.integers(1, 12)),
)
SIZES = st.builds(
    ModelSizes,
    encoder=st.builds(
        EncoderSizes,
        shape=st.builds(
            ModelShape,
            family=st.sampled_from(["bert", "distilbert"]),
            blocks=st.just(3),
            hidden=st.integers(1, 5),
            intermediate=st.integers(1, 7),
        ),
        vocabulary=st.integers(1, 9),
        positions=st.integers(1, 9),
    ),
    labels=st.integers(2, 4),
    pooler=st.booleans(),
)


def point(kind, block):
    return SplitPoint(kind=kind, block=block)


@given(trained=SETS)
def test_a_set_comes_back_from_its_configuration(trained):
    again = from_configuration(trained.configuration)

    assert again == trained
    assert again.configuration == trained.configuration
    assert isinstance(again, TrainableSet)


def test_configurations_are_flat_and_name_a_set_that_is_built_in():
    configurations = [
        HeadOnly().configuration,
        Bottleneck(depth=2, width=8).configuration,
        Lora(depth=2, rank=4, alpha=8, targets="q").configuration,
        Biases(depth=2).configuration,
        TopBlocks(depth=2).configuration,
        Everything().configuration,
    ]

    assert configurations == [
        {"set": "head"},
        {"set": "bottleneck", "depth": 2, "width": 8},
        {"set": "lora", "depth": 2, "rank": 4, "alpha": 8, "targets": "q"},
        {"set": "bias", "depth": 2},
        {"set": "blocks", "depth": 2},
        {"set": "everything"},
    ]
    assert [each["set"] for each in configurations] == list(TRAINABLE_SETS)


@given(trained=SETS, sizes=SIZES)
def test_the_first_arrays_have_the_shapes_that_a_set_says_in_the_same_order(trained, sizes):
    shapes = trained.shapes(sizes)

    arrays = trained.initial(
        sizes, np.random.default_rng(0), lambda names: {name: np.ones(shapes[name], np.float32) for name in names}
    )

    assert [(name, array.shape) for name, array in arrays.items()] == list(shapes.items())
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert list(shapes)[-2:] == ["head.weight", "head.bias"]


@given(sizes=SIZES, depth=st.integers(0, 3))
def test_the_same_generator_draws_the_same_head_for_every_set_without_adapters(sizes, depth):
    def ones(names):
        shapes = Everything().shapes(sizes)
        return {name: np.ones(shapes[name], np.float32) for name in names}

    drawn = [
        each.initial(sizes, np.random.default_rng(7), ones)["head.weight"]
        for each in (HeadOnly(), Bottleneck(depth=0, width=4), TopBlocks(depth=depth), Everything())
    ]

    assert all(np.array_equal(drawn[0], each) for each in drawn[1:])


@pytest.mark.parametrize(
    ("trained", "expected", "axes"),
    [
        (HeadOnly(), point("features", 3), (0, 1)),
        (Bottleneck(depth=0, width=8), point("features", 3), (0, 1)),
        (Bottleneck(depth=1, width=8), point("adapter", 2), (1, 8)),
        (Bottleneck(depth=3, width=8), point("adapter", 0), (3, 8)),
        (TopBlocks(depth=0), point("block_input", 3), (0, 1)),
        (TopBlocks(depth=2), point("block_input", 1), (2, 1)),
        (TopBlocks(depth=3), point("inputs", 0), (3, 1)),
        (Everything(), point("inputs", 0), (3, 1)),
    ],
)
def test_a_set_splits_a_model_of_three_blocks_below_what_it_trains(trained, expected, axes):
    assert trained.split_point(3) == expected
    assert depth_and_width(trained, 3) == axes


def test_split_points_have_names_for_files_that_tell_them_apart():
    points = [point("features", 3), point("adapter", 2), point("block_input", 2), point("inputs", 0)]

    assert [str(each) for each in points] == ["features", "adapter-2", "block_input-2", "inputs"]
    assert len(set(points)) == 4


@pytest.mark.parametrize(
    ("at", "blocks"),
    [
        (point("features", 3), [2, 1, 0]),
        (point("adapter", 2), [1, 0]),
        (point("adapter", 0), []),
        (point("block_input", 2), []),
        (point("inputs", 0), []),
    ],
)
def test_a_pass_up_to_adapters_comes_by_the_states_at_deeper_ones(at, blocks):
    assert at.passed() == [point("adapter", block) for block in blocks]


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ({}, "the order names no trainable set: pass `configuration` to order_content"),
        ({"depth": 2}, "the order names no trainable set: pass `configuration` to order_content"),
        (
            {"set": "adapters"},
            "no such name 'adapters': accepted: bias, blocks, bottleneck, everything, head, lora, or module:Name",
        ),
        ({"set": "bottleneck", "depth": 2}, "the set 'bottleneck' lacks the axis 'width': accepted: depth, width"),
        (
            {"set": "bottleneck", "depth": 2, "wdith": 8},
            "the set 'bottleneck' has no axis 'wdith': did you mean 'width'? accepted: depth, width",
        ),
        ({"set": "blocks", "depth": 2, "width": 8}, "the set 'blocks' has no axis 'width': "),
        ({"set": "everything", "depth": 2}, "the set 'everything' has no axis 'depth'"),
        (
            {"set": "bottleneck", "depth": 2, "width": 0},
            "the set 'bottleneck': width 0, expected a whole number from 1 up",
        ),
        (
            {"set": "bottleneck", "depth": -1, "width": 8},
            "the set 'bottleneck': depth -1, expected a whole number from 0 up",
        ),
        ({"set": "blocks", "depth": "2"}, "the set 'blocks': depth '2', expected a whole number from 0 up"),
        ({"set": "blocks", "depth": True}, "the set 'blocks': depth True, expected a whole number from 0 up"),
        ({"set": "os:system", "depth": 2}, "the set 'os:system' is not built in"),
        ({"set": "mine.py:Set"}, "the set 'mine.py:Set' is not built in, and the experiment does not name it"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_in_one_line(configuration, message):
    with pytest.raises(UserError) as caught:
        from_configuration(configuration)

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("trained", [Bottleneck(depth=4, width=8), TopBlocks(depth=4)])
def test_a_set_deeper_than_the_encoder_is_refused(trained):
    name = trained.configuration["set"]

    with pytest.raises(UserError, match=f"the set '{name}': depth 4, but the encoder has 3 blocks; accepted: 0 to 3"):
        trained.split_point(3)


BIASES = '''
from dataclasses import dataclass
from fedlab.models.peft.base import SplitPoint
from fedlab.workload.passes import TrainedSpec

@dataclass(frozen=True, kw_only=True)
class Biases:
    """Train the biases of the top blocks, and the head (BitFit, Ben Zaken et al. 2022)."""

    depth: int

    @property
    def configuration(self):
        return {"set": "biases.py:Biases", "depth": self.depth}

    @property
    def spec(self):
        return TrainedSpec(kind="bias")

    def shapes(self, sizes):
        names = ("attention.in", "attention.out", "feed_forward.in", "feed_forward.out")
        widths = (3 * sizes.hidden, sizes.hidden, sizes.encoder.shape.intermediate, sizes.hidden)
        blocks = range(sizes.blocks - self.depth, sizes.blocks)
        biases = {f"block.{i}.{name}.bias": (width,) for i in blocks for name, width in zip(names, widths)}
        return biases | {"head.weight": (sizes.labels, sizes.hidden), "head.bias": (sizes.labels,)}

    def initial(self, sizes, generator, weights):
        shapes = self.shapes(sizes)
        head = generator.normal(0, 0.02, shapes["head.weight"]).astype("f4")
        return weights(list(shapes)) | {"head.weight": head, "head.bias": head[:, 0] * 0}

    def split_point(self, blocks):
        return SplitPoint(kind="block_input", block=blocks - self.depth)
'''


@pytest.fixture
def biases(tmp_path):
    """Return a function that makes a set that a user wrote, in a file of its own."""
    (tmp_path / "biases.py").write_text(textwrap.dedent(BIASES))

    def make(configuration, trusted=("biases.py:Biases",)):
        return from_configuration(configuration, base=tmp_path, trusted=trusted)

    return make


def test_a_set_of_a_users_own_is_one_file(biases, tiny):
    import torch  # noqa: PLC0415

    from fedlab.models.base import weights_of  # noqa: PLC0415

    network, (ids, lengths) = tiny.network(), tiny.texts([6, 2, 4])
    trained = biases({"set": "biases.py:Biases", "depth": 2})
    arrays = trained.initial(
        network.sizes(5), np.random.default_rng(0), lambda names: weights_of(network.encoder, names)
    )
    at = trained.split_point(3)

    frozen = tiny.states(network, ids, lengths, at)
    parameters = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    logits = network.logits(frozen, lengths, parameters, at)
    gradients = torch.autograd.grad(logits.square().sum(), list(parameters.values()))

    assert {name: array.shape for name, array in arrays.items()} == trained.shapes(network.sizes(5))
    assert len(arrays) == 2 * 4 + 2
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_a_file_is_imported_only_if_the_experiment_names_it(biases):
    with pytest.raises(UserError, match=r"the set 'biases\.py:Biases' is not built in"):
        biases({"set": "biases.py:Biases", "depth": 2}, trusted=())


def test_a_set_that_says_it_is_another_is_refused(biases, tmp_path):
    (tmp_path / "other.py").write_text((tmp_path / "biases.py").read_text())

    with pytest.raises(UserError, match=r"the set 'other\.py:Biases': its `configuration` is .*biases\.py"):
        biases({"set": "other.py:Biases", "depth": 2}, trusted=("other.py:Biases",))


def test_what_is_no_set_is_refused(biases, tmp_path):
    (tmp_path / "none.py").write_text("class Nothing:\n    pass\n")

    with pytest.raises(UserError, match=r"the set 'none\.py:Nothing' lacks configuration, spec, shapes, initial"):
        biases({"set": "none.py:Nothing"}, trusted=("none.py:Nothing",))
