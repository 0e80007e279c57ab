"""What a frozen matrix in fewer bits is to the blocks that multiply with it.

Only the matrices of blocks are quantised: embeddings, norms, biases, a pooler and the head over the vocabulary stay
floats, and so does what is trained. A matrix never gets a gradient; what was multiplied with it does.

Sizes: O outputs, I inputs.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from fedlab.workload.passes import Precision


class QuantisedMatrix(ABC):
    """A frozen matrix [O, I], by `precision`; it is kept as `parts`, tensors whose first dimension is O."""

    precision: ClassVar[Precision]

    @classmethod
    @abstractmethod
    def of(cls, weight: Tensor) -> "QuantisedMatrix":
        """Quantise a matrix [O, I] of floats."""

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Tensor]:
        """Return the tensors that it is made of, by the names that the constructor gives them."""

    @abstractmethod
    def product(self, states: Tensor) -> Tensor:
        """Multiply states [..., I]: return [..., O], in the type of the states."""

    @abstractmethod
    def dequantised(self) -> Tensor:
        """Return it as float32, [O, I]; behind the real ones there may be columns of zeros."""

    def __len__(self) -> int:
        """Return O."""
        return len(next(iter(self.parts.values())))

    def __getitem__(self, rows: slice) -> "QuantisedMatrix":
        """Return some of the outputs, which share their memory with it."""
        return type(self)(**{name: part[rows] for name, part in self.parts.items()})


Weight = Tensor | QuantisedMatrix
