"""Losses of many copies of a model that differ in what is trained: the probes of several clients as one pass.

The copies are stacked (`fedlab.models.split.Network`): they go through the shared frozen weights together, from frozen
states that are computed once a text, without anything that a backward pass would need. Whole blocks cannot be stacked,
so that their copies go one by one.

Sizes: C clients, N copies, P trained values.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from fedlab.gradients.directions import Distribution, direction
from fedlab.gradients.estimators import Differences, one_sided, two_sided
from fedlab.gradients.sums import masked
from fedlab.gradients.vectors import VectorLayout, spans_of
from fedlab.models.base import TokenIds
from fedlab.models.peft.base import SplitPoint
from fedlab.models.split_model import SplitModel
from fedlab.training.local import TrainingExamples, take_batch

_STACKS = frozenset({"features", "adapter", "partial_block"})  # the split points above which models can be stacked
_ROWS = 4096  # of states that go through the frozen weights at a time: enough to fill a core, few enough for its cache
_ROWS_ON_GPU = 2**17


@dataclass(frozen=True, kw_only=True)
class Batches:
    """One batch of each client; smaller ones are filled up with texts that count nothing."""

    frozen: Tensor  # [C, B, ...]
    lengths: Tensor  # [C, B]
    labels: Tensor  # [C, B] or [C, B, T]
    by_token: bool  # whether a frozen state has the tokens as a dimension

    @classmethod
    def of(cls, network: SplitModel, examples: Sequence[TrainingExamples], rows: Sequence[np.ndarray]) -> "Batches":
        """Return a batch of each client's examples."""
        frozen, lengths, labels = take_batch(examples, rows)
        clients = len(examples)
        parts = [each.to(network.device).view(clients, -1, *each.shape[1:]) for each in (frozen, lengths, labels)]
        by_token = network.inputs_at(examples[0].at) is TokenIds or frozen.dim() == 3
        return cls(frozen=parts[0], lengths=parts[1], labels=parts[2], by_token=by_token)

    @property
    def rows(self) -> int:
        """Return how many states a copy has at most: one a token, or one a text where no more are read."""
        return self.lengths.shape[1] * (int(self.lengths.max()) if self.by_token else 1)

    def of_copies(self, clients: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the batches of copies, by the client of each: [N x B, ...], cut to the longest text."""
        index = torch.tensor(clients, device=self.lengths.device)
        lengths = self.lengths[index]
        longest = int(lengths.max())
        frozen = (self.frozen[:, :, :longest] if self.by_token else self.frozen)[index]
        labels = (self.labels[:, :, :longest] if self.labels.dim() == 3 else self.labels)[index]
        return frozen.flatten(0, 1), lengths.flatten(), labels.flatten(0, 1)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One direction that one client is to probe: its seed, and the spans of values that move, all if there are none."""

    client: int
    seed: int
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Probing:
    """A model as a vector, and how derivatives of its losses are estimated."""

    network: SplitModel
    at: SplitPoint
    layout: VectorLayout
    differences: Differences
    distribution: Distribution

    def derivatives(
        self, centres: Sequence[np.ndarray], batches: Batches, probes: Sequence[Probe]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the derivatives along the directions and the losses there, [N] each.

        `centres` are the clients' models [P], `batches` their batches. The loss of a direction is the mean of those
        it was estimated from.
        """
        if self.differences.estimator == "exact":
            return self._exact(centres, batches, probes)
        steps: list[float] = []
        points = self.points(centres, probes, steps)
        losses = self.losses(points, batches).reshape(len(probes), -1)
        if self.differences.estimator == "two-sided":
            return two_sided(losses[:, 0], losses[:, 1], steps), losses.mean(1)
        here = self.losses(list(enumerate(centres)), batches)[[each.client for each in probes]]
        return one_sided(losses[:, 0], here, steps), here

    def losses(self, points: Iterable[tuple[int, np.ndarray]], batches: Batches) -> np.ndarray:
        """Return the loss of each copy on the batch of its client: float64 [N]. Points are (client, values [P])."""
        found = [self._losses(chunk, batches) for chunk in _chunks(points, self._copies(batches))]
        return np.concatenate(found).astype(np.float64)

    def points(
        self, centres: Sequence[np.ndarray], probes: Sequence[Probe], steps: list[float]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the points at which losses are taken, made when they are asked for; add the step of each probe."""
        norms = [float(np.linalg.norm(centre)) for centre in centres]
        for each in probes:
            centre, move = centres[each.client], self._direction(each, len(centres[each.client]))
            step = self.differences.step(norms[each.client], float(np.linalg.norm(move)))
            steps.append(step)
            for offset in self.differences.offsets:
                yield each.client, centre + np.float32(offset * step) * move

    def _direction(self, probe: Probe, size: int) -> np.ndarray:
        return masked(direction(probe.seed, size, self.distribution), probe.spans)

    def _copies(self, batches: Batches) -> int:
        """Return how many copies go side by side."""
        if self.at.kind not in _STACKS:
            return 1
        rows = _ROWS if self.network.device.type == "cpu" else _ROWS_ON_GPU
        return max(1, rows // max(1, batches.rows))

    def _losses(self, chunk: Sequence[tuple[int, np.ndarray]], batches: Batches) -> np.ndarray:
        frozen, lengths, labels = batches.of_copies([client for client, _ in chunk])
        parameters = self._parameters([values for _, values in chunk])
        with torch.inference_mode():
            losses = self.network.loss(frozen, lengths, labels, parameters, self.at, len(chunk))
        return losses.cpu().numpy()

    def _parameters(self, vectors: Sequence[np.ndarray]) -> Mapping[str, Tensor]:
        return self._named(torch.from_numpy(np.stack(vectors)).to(self.network.device))

    def _named(self, values: Tensor) -> Mapping[str, Tensor]:
        """Return vectors [N, P] as named parameters: stacked [N, ...], or those of one copy where they cannot be."""
        lead = (len(values),) if self.at.kind in _STACKS else ()
        return {name: values[:, span].view(*lead, *self.layout[name]) for name, span in spans_of(self.layout).items()}

    def _exact(
        self, centres: Sequence[np.ndarray], batches: Batches, probes: Sequence[Probe]
    ) -> tuple[np.ndarray, np.ndarray]:
        points = ((each.client, self._direction(each, len(centres[each.client]))) for each in probes)
        found = [self._dual(chunk, centres, batches) for chunk in _chunks(points, self._copies(batches))]
        derivatives, losses = zip(*found, strict=True)
        return np.concatenate(derivatives), np.concatenate(losses)

    def _dual(
        self, chunk: Sequence[tuple[int, np.ndarray]], centres: Sequence[np.ndarray], batches: Batches
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the derivatives and the losses of some copies, by forward-mode differentiation."""
        frozen, lengths, labels = batches.of_copies([client for client, _ in chunk])
        here = self._parameters([centres[client] for client, _ in chunk])
        change = self._parameters([values for _, values in chunk])
        # Of torch's kinds of attention only this one can be differentiated forward.
        with torch.no_grad(), forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
            duals = {name: forward_ad.make_dual(here[name], change[name]) for name in here}  # type: ignore[no-untyped-call]
            losses = self.network.loss(frozen, lengths, labels, duals, self.at, len(chunk))
            value, tangent = forward_ad.unpack_dual(losses)  # type: ignore[no-untyped-call]
        assert tangent is not None, "the loss depends on what is trained"
        return tangent.double().cpu().numpy(), value.double().cpu().numpy()

    def gradients(self, centres: Sequence[np.ndarray], batches: Batches) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradient of each client's loss, by backpropagation, and the loss: [C, P] and [C]."""
        clients = range(len(batches.lengths))
        packs = [list(clients)] if self.at.kind in _STACKS else [[client] for client in clients]
        gradients, losses = zip(*(self._gradients(centres, batches, pack) for pack in packs), strict=True)
        return np.concatenate(gradients), np.concatenate(losses)

    def _gradients(
        self, centres: Sequence[np.ndarray], batches: Batches, clients: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        # An inference tensor could not be trained from.
        values = torch.tensor(np.stack([centres[client] for client in clients]), device=self.network.device)
        parameters = self._named(values.requires_grad_())
        frozen, lengths, labels = batches.of_copies(clients)
        losses = self.network.loss(frozen, lengths, labels, parameters, self.at, len(clients))
        (gradients,) = torch.autograd.grad(losses.sum(), [values])
        return gradients.cpu().numpy(), losses.detach().double().cpu().numpy()


def _chunks(points: Iterable[tuple[int, np.ndarray]], size: int) -> Iterator[list[tuple[int, np.ndarray]]]:
    iterator = iter(points)
    while chunk := list(islice(iterator, size)):
        yield chunk
