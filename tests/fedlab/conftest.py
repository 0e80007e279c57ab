"""Tiny encoders with random weights, and the arrays and texts that go with them."""
# ruff: noqa: PLC0415  (imported where needed: most tests need neither torch nor transformers)

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

BLOCKS, HIDDEN, LABELS, VOCABULARY, POSITIONS = 3, 32, 5, 50, 24


@dataclass(frozen=True, kw_only=True)
class TinyWorld:
    """What tests build with: `models` are transformers encoders of 3 blocks, 32 wide, by family."""

    models: Mapping[str, Any]
    network: Callable[..., Any]
    logits: Callable[..., np.ndarray]
    blocks: int = BLOCKS
    hidden: int = HIDDEN
    labels: int = LABELS
    vocabulary: int = VOCABULARY

    def trained(self, depth: int, width: int, seed: int = 0) -> dict[str, np.ndarray]:
        """Return arrays none of which is zero, as after training."""
        from fedlab.adapterconfig import AdapterConfig
        from fedlab.models.arrays import array_shapes

        config = AdapterConfig(depth=depth, width=width)
        shapes = array_shapes(config, blocks=self.blocks, hidden=self.hidden, labels=self.labels)
        draws = np.random.default_rng(seed)
        return {name: draws.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}

    def texts(self, lengths: Sequence[int], seed: int = 0) -> tuple[Any, Any]:
        """Return token ids [B, T], padded with zeros to the longest, and lengths [B]."""
        import torch

        draws = np.random.default_rng(seed)
        ids = np.zeros((len(lengths), max(lengths)), np.int64)
        for row, length in enumerate(lengths):
            ids[row, :length] = draws.integers(1, self.vocabulary, length)
        return torch.from_numpy(ids), torch.tensor(lengths)


@pytest.fixture(scope="session")
def tiny() -> TinyWorld:
    import torch

    from fedlab.models.backbone import encoder_of
    from fedlab.models.network import Network

    torch.set_num_threads(1)
    models = _models()
    encoders = {family: encoder_of(model) for family, model in models.items()}

    def network(family: str = "bert", kind: str = "classification", pooling: str = "cls") -> Network:
        return Network(encoder=encoders[family], kind=kind, pooling=pooling)

    def logits(network: Network, ids: Any, lengths: Any, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        depth = sum(name.endswith("down.weight") for name in arrays)
        parameters = {name: torch.from_numpy(array) for name, array in arrays.items()}
        frozen = network.frozen(ids, lengths, [depth])[depth]
        return network.logits(frozen, lengths, parameters, depth).numpy()

    return TinyWorld(models=models, network=network, logits=logits)


def _models() -> dict[str, Any]:
    import torch
    from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

    bert = BertConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, num_hidden_layers=BLOCKS, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=POSITIONS,
    )  # fmt: skip
    distilbert = DistilBertConfig(
        vocab_size=VOCABULARY, dim=HIDDEN, n_layers=BLOCKS, n_heads=4, hidden_dim=48, max_position_embeddings=POSITIONS
    )
    models = {"bert": BertModel(bert), "distilbert": DistilBertModel(distilbert)}
    draws = torch.Generator().manual_seed(1)
    for model in models.values():
        # As transformers draws them biases are zero and norms one, which would hide a weight put in the wrong place.
        for name, parameter in model.named_parameters():
            centre = float("norm" in name.lower() and name.endswith("weight"))
            with torch.no_grad():
                parameter.copy_(centre + 0.2 * torch.randn(parameter.shape, generator=draws))
        model.eval()
    return models
