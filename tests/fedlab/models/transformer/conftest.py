"""What has to hold of every family: what a family's tests call, each with a small model of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from fedlab.models.base import TokenIds, weights_of
from fedlab.models.export.transformers_model import finetuned_model
from fedlab.models.load import encoder_from_tensors, encoder_of, encoder_sizes, encoder_tensors
from fedlab.models.peft.base import ModelSizes, TrainableSet
from fedlab.models.peft.bottleneck import Bottleneck, adapter_names
from fedlab.models.peft.whole_blocks import Everything, TopBlocks
from fedlab.models.sizes import read_sizes
from fedlab.models.split import Network

LABELS = 5
NAMES = tuple("abcde")
LENGTHS = (7, 2, 5, 9)


def randomised(model: Any, seed: int = 1) -> Any:
    """Draw all weights: as transformers draws them biases are zero, which would hide one put in the wrong place."""
    draws = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        centre = float("norm" in name.lower() and name.endswith("weight"))
        with torch.no_grad():
            parameter.copy_(centre + 0.2 * torch.randn(parameter.shape, generator=draws))
    return model.eval()


class Trained(dict):
    """Named arrays or tensors, and the set that they are of."""

    def __init__(self, trained: TrainableSet, arrays: Mapping[str, Any]) -> None:
        super().__init__(arrays)
        self.set = trained


@dataclass(frozen=True, kw_only=True)
class FamilyModel:
    """A small transformers model without a head, what it reads, and how it is read."""

    model: Any
    kind: str
    pooling: str
    library: Any  # the module of the adapters library's models

    @property
    def network(self) -> Network:
        return Network(encoder=encoder_of(self.model), kind=self.kind, pooling=self.pooling)

    def texts(self, extra: int = 0) -> TokenIds:
        """Return texts padded with the model's own padding id, to `extra` tokens more than is needed."""
        config, draws = self.model.config, np.random.default_rng(0)
        ids = np.full((len(LENGTHS), max(LENGTHS) + extra), config.pad_token_id, np.int64)
        for row, length in enumerate(LENGTHS):
            ids[row, :length] = draws.integers(4, config.vocab_size, length)
        return TokenIds(ids=torch.from_numpy(ids), lengths=torch.tensor(LENGTHS))

    def adapters(self, depth: int, width: int = 4) -> Trained:
        """Return adapters and a head none of whose numbers is zero, as after training."""
        trained, draws = Bottleneck(depth=depth, width=width), np.random.default_rng(depth)
        shapes = trained.shapes(self.network.sizes(LABELS))
        arrays = {name: draws.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
        return Trained(trained, arrays)

    def whole(self, trained: TrainableSet) -> Trained:
        """Return the pretrained weights that a set trains, and the head of `adapters(0)`."""
        network = self.network
        own = weights_of(network.encoder, trained.shapes(network.sizes(LABELS)))
        return Trained(trained, own | self.adapters(0))

    def everything(self) -> Trained:
        """Return all weights and a head, all of them changed, as after training."""
        draws, arrays = np.random.default_rng(3), self.whole(Everything())
        moved = {name: it + draws.normal(0, 0.05, it.shape).astype(np.float32) for name, it in arrays.items()}
        return Trained(Everything(), moved)

    @property
    def blocks(self) -> int:
        return int(self.model.config.num_hidden_layers)

    def logits(self, arrays: Trained, texts: TokenIds | None = None) -> torch.Tensor:
        """Return what we answer, starting from the frozen states that these arrays need."""
        network, texts, at = self.network, texts or self.texts(), arrays.set.split_point(self.blocks)
        parameters = {name: torch.as_tensor(array) for name, array in arrays.items()}
        frozen = network.frozen(texts, [at])[at].clone()
        return network.logits(frozen, texts.lengths, parameters, at)

    def librarys(self, model: Any) -> torch.Tensor:
        """Return what a library's model answers."""
        texts = self.texts()
        mask = (torch.arange(texts.ids.shape[1]) < texts.lengths[:, None]).long()
        return model(texts.ids, attention_mask=mask).logits

    def adapter_model(self, arrays: Trained) -> Any:
        about = {"kind": self.kind, "label_names": NAMES, "pooling": self.pooling}
        return self.library.library_model(self.model, arrays, arrays.set, **about)


class Holds:
    """What has to hold of a family, by name; each raises if it does not."""

    def adapters_answer_as_the_librarys(self, case: FamilyModel, depth: int) -> None:
        arrays = case.adapters(depth)
        with torch.inference_mode():
            _same(case, case.logits(arrays), case.librarys(case.adapter_model(arrays)), 1e-5)

    def adapters_have_the_librarys_gradients(self, case: FamilyModel, depth: int) -> None:
        arrays = case.adapters(depth)
        ours = Trained(arrays.set, {name: torch.tensor(it, requires_grad=True) for name, it in arrays.items()})
        model = case.adapter_model(arrays)
        layers, theirs = dict(model.base_model.iter_layers()), dict[str, torch.Tensor]()
        for block in range(case.blocks - depth, case.blocks):
            holder = layers[block].output if hasattr(layers[block], "output") else layers[block].output_adapters
            down, up = holder.adapters["fedlab"].adapter_down[0], holder.adapters["fedlab"].adapter_up
            theirs |= dict(zip(adapter_names(block), (down.weight, down.bias, up.weight, up.bias), strict=True))
        head = model.heads["fedlab"][-1]
        theirs |= {"head.weight": head.weight, "head.bias": head.bias}

        found = torch.autograd.grad(_loss(case, case.logits(ours)), list(ours.values()))
        expected = torch.autograd.grad(_loss(case, case.librarys(model)), [theirs[name] for name in ours])

        for name, gradient, right in zip(ours, found, expected, strict=True):
            torch.testing.assert_close(gradient, right, atol=1e-5, rtol=1e-4, msg=lambda text, name=name: name + text)
            assert right.abs().max() > 1e-6, name

    def whole_blocks_answer_as_transformers(self, case: FamilyModel, depths: Sequence[int]) -> None:
        """The pretrained blocks, split anywhere, give what transformers' own pass gives."""
        texts, head = case.texts(), case.adapters(0)
        mask = (torch.arange(texts.ids.shape[1]) < texts.lengths[:, None]).long()
        with torch.inference_mode():
            output = case.model(texts.ids, attention_mask=mask)
            read = output.last_hidden_state if case.kind == "tagging" else output.last_hidden_state[:, 0]
            read = output.pooler_output if case.pooling == "pooler" else read
            expected = read @ torch.from_numpy(head["head.weight"]).T + torch.from_numpy(head["head.bias"])
            for depth in depths:
                _same(case, case.logits(case.whole(TopBlocks(depth=depth))), expected, 1e-5)

    def padding_changes_no_answer(self, case: FamilyModel) -> None:
        with torch.inference_mode():
            for arrays in (*(case.adapters(depth) for depth in range(case.blocks + 1)), case.everything()):
                _same(case, case.logits(arrays, case.texts(extra=3)), case.logits(arrays), 1e-5)

    def everything_trained_opens_with_transformers(self, case: FamilyModel, folder: Any) -> None:
        arrays = case.everything()
        about = {"kind": case.kind, "label_names": NAMES, "pooling": case.pooling}
        finetuned_model(case.model, arrays, **about).save_pretrained(folder)
        auto = AutoModelForTokenClassification if case.kind == "tagging" else AutoModelForSequenceClassification
        fresh, loading = auto.from_pretrained(folder, output_loading_info=True)
        assert not loading["missing_keys"]
        with torch.inference_mode():
            # A head that reads the first row goes through the classifier's dense layer, which rounds.
            _same(case, case.logits(arrays), case.librarys(fresh.eval()), 3e-5)

    def sizes_are_those_of_the_weights(self, case: FamilyModel, folder: Any) -> None:
        from fedlab.config.schema import BackboneTable  # noqa: PLC0415

        case.model.config.save_pretrained(folder)
        encoder, pooler = case.network.encoder, case.pooling == "pooler"
        sizes = read_sizes(BackboneTable(name=str(folder)), resolve=lambda text: folder)
        real = case.whole(Everything())
        assert sizes == encoder.sizes
        planned = Everything().shapes(ModelSizes(encoder=sizes, labels=LABELS, pooler=pooler))
        assert list(planned.items()) == [(name, array.shape) for name, array in real.items()]

    def an_encoder_survives_the_way_through_plain_tensors(self, case: FamilyModel) -> None:
        encoder = case.network.encoder
        back = encoder_from_tensors(encoder_tensors(encoder), encoder_sizes(encoder))
        before, after = encoder_tensors(encoder), encoder_tensors(back)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert encoder_sizes(back) == encoder_sizes(encoder)


def _same(case: FamilyModel, ours: torch.Tensor, theirs: torch.Tensor, atol: float) -> None:
    """Compare logits; what a tagger says of padding means nothing."""
    for our, their, length in zip(ours, theirs, LENGTHS, strict=True):
        real = length if case.kind == "tagging" else None
        torch.testing.assert_close(our[:real], their[:real], atol=atol, rtol=0)


def _loss(case: FamilyModel, logits: torch.Tensor) -> torch.Tensor:
    if case.kind == "tagging":
        logits = torch.cat([row[:length] for row, length in zip(logits, LENGTHS, strict=True)])
    return F.cross_entropy(logits, torch.arange(len(logits)) % LABELS)


@pytest.fixture(scope="session")
def holds(tiny) -> Holds:
    return Holds()


@pytest.fixture(scope="session")
def family_model(library):
    """Return a function that makes a case of a transformers model without a head, its weights drawn."""

    def make(model: Any, kind: str = "classification", pooling: str = "cls") -> FamilyModel:
        return FamilyModel(model=randomised(model), kind=kind, pooling=pooling, library=library)

    return make
