"""The rows of padded texts that are computed: those of real tokens, and no more padding than keeps models even."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class UnpaddedRows:
    """Which of the B x T tokens of padded texts are computed, R of them, in [R, H]; only attention sees [B, T, H].

    Models side by side have as many rows each, so one with less to read computes some of its padding, too.
    """

    texts: int
    width: int
    mask: Tensor | None  # bool [B, 1, 1, T]: which keys may be attended to; None: all
    places: Tensor | None  # [R] of B x T, each at most once; None: all, in order
    lasts: Tensor  # [B] of T: the last real token of each text

    @classmethod
    def of(cls, lengths: Tensor, width: int, *, models: int = 1) -> "UnpaddedRows":
        """Return the rows of texts, by lengths in tokens [B] and padded width; each model has an equal part."""
        lasts = lengths.clamp(min=1, max=width) - 1
        if int(lengths.min()) >= width:
            return cls(texts=len(lengths), width=width, mask=None, places=None, lasts=lasts)
        real = torch.arange(width, device=lengths.device) < lengths[:, None]
        by_model = real.view(models, -1)
        most, every = int(by_model.sum(1).max()), by_model.shape[1]
        places = None
        if most < every:
            firsts = torch.arange(0, models * every, every, device=lengths.device)
            order = by_model.logical_not().to(torch.uint8).argsort(dim=1, stable=True)
            places = (order[:, :most] + firsts[:, None]).flatten()
        return cls(texts=len(lengths), width=width, mask=real[:, None, None, :], places=places, lasts=lasts)

    def taken(self, padded: Tensor) -> Tensor:
        """Return the rows [R, H] of padded texts [B, T, H]."""
        every = padded.flatten(0, 1)
        return every if self.places is None else every.index_select(0, self.places)

    def padded(self, rows: Tensor) -> Tensor:
        """Return padded texts [B, T, H] with these rows [R, H], and zeros elsewhere."""
        if self.places is not None:
            rows = rows.new_zeros(self.texts * self.width, rows.shape[-1]).index_copy_(0, self.places, rows)
        return rows.view(self.texts, self.width, -1)

    def at(self, rows: Tensor, places: Tensor) -> Tensor:
        """Return S rows of each text, [B S, H], of rows [R, H]: those at `places`, [B, S] of T."""
        firsts = torch.arange(0, self.texts * self.width, self.width, device=places.device)
        return self.padded(rows).flatten(0, 1).index_select(0, (places + firsts[:, None]).flatten())
