"""The rows of a batch that learn, where its context is only read: the middle, and what is noised of it.

Nine rows of ten are context. Without a gradient they cost a third, and the rest, packed without its padding, is small:
half the work for the same middles. Context still changes as the weights do; no loss and no gradient reaches it, as in
training a prompt's reader (a stop-gradient on its keys and values).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.model.batches import Batch


@dataclass(slots=True)
class LearningRows:
    """P rows of a batch of B samples, `width` of a sample at most, behind `context` rows that are read.

    `rows` (P,) are their numbers among all B×(T+N), `places` (P,) those among B×`width`; `sees` bool
    (B, width, context+width).
    """

    context: int
    width: int
    rows: Tensor
    places: Tensor
    sees: Tensor

    @classmethod
    def of(cls, batch: Batch) -> LearningRows:
        """Those that `batch.learns` names."""
        assert batch.learns is not None
        starts, stops, counts = batch.learns.unbind(1)
        device, (b, total) = starts.device, batch.ids.shape
        context, clean, noised = int(starts.max()), int((stops - starts).max()), int(counts.max())
        own = starts[:, None] + torch.arange(clean, device=device)  # rows of the clean stream
        others = torch.arange(noised, device=device).expand(b, noised)
        valid = torch.cat([own < stops[:, None], others < counts[:, None]], dim=1)
        places = valid.flatten().nonzero()[:, 0]
        first = total * torch.arange(b, device=device)[:, None]
        rows = (torch.cat([own, batch.clean + others], dim=1) + first).flatten()[places]
        limits = torch.cat([own + 1, batch.limits[:, :noised]], dim=1)[:, :, None]
        blocks = torch.cat([torch.full_like(own, -2), batch.blocks[:, :noised]], dim=1)[:, :, None]
        sees = [
            torch.arange(context, device=device) < limits.minimum(starts[:, None, None]),
            own[:, None] < limits,
            blocks == batch.blocks[:, None, :noised],
        ]
        return cls(context, clean + noised, rows, places, torch.cat(sees, dim=2))

    def spread(self, packed: Tensor) -> Tensor:
        """(P, …) → (B, width, …), zeros where a sample has no row."""
        b = len(self.sees)
        out = packed.new_zeros(b * self.width, *packed.shape[1:]).index_copy(0, self.places, packed)
        return out.view(b, self.width, *packed.shape[1:])

    def pack(self, spread: Tensor) -> Tensor:
        """(B, width, …) → (P, …)."""
        return spread.flatten(0, 1)[self.places]
