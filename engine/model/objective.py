"""The losses of one forward pass, and their gradients, without ever holding all logits.

Clean rows: cross-entropy with the next token. Noised rows: cross-entropy with a mixture of the true token and the
distribution that the clean stream of the same forward gives for it, which counts as a constant (DistillSpec, arXiv
2310.08461): `target = (1-s) · token + s · p_clean`. The head's product, the softmax and the gradient are done for some
rows at a time, gradient at once with the loss, as in Liger's fused linear cross-entropy (arXiv 2410.10989).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.model.architecture import Transformer
from engine.model.batches import CLEAN_KINDS, NOISED_KINDS, Batch
from engine.model.learning_rows import LearningRows

SOFT = 0.4  # s, the share of the clean distribution in a noised row's target
GOING_ON = "going on"
KINDS = (*CLEAN_KINDS, GOING_ON, *NOISED_KINDS)


@dataclass(slots=True)
class Losses:
    """`total` carries the gradient; `by_kind` (3, kinds) has nats, rows, and the rows whose best token is the true one.

    Both stay on the device, and a step reads them once: to ask for a number is to wait until all before it is done.

    Kind `going on` is `middle` given that the middle does not end there: tokens and ends are learnt at different
    speeds, and the loss of one hides that of the other.
    """

    total: Tensor
    by_kind: Tensor


class _Head(torch.autograd.Function):
    """(weighted loss, nats a clean row, nats a noised row, hits of both) from hidden states.

    The first output's value is cross-entropy with the true tokens; its gradient is that of the mixture. With `scale` 0
    nothing but the values is computed.
    """

    @staticmethod
    def forward(
        ctx: Any, clean: Tensor, noised: Tensor, head: Tensor, batch: Batch, soft: float, scale: float, chunk: int
    ) -> tuple[Tensor, ...]:
        kind = clean.device.type
        low = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else clean.dtype
        matrix = head.to(low)
        # The head's own gradient is one product at the end: adding up its 28 million entries chunk by chunk is slow.
        by_logits = matrix.new_empty((len(clean) + len(noised) if scale else 0, len(matrix)))
        clean_part = _Part(
            clean, batch.clean_targets, batch.clean_weights * scale, matrix, by_logits[: len(clean)], batch.end
        )
        noised_part = _Part(
            noised, batch.noised_targets, batch.noised_weights * scale, matrix, by_logits[len(clean) :], batch.end
        )
        edges = [int(batch.edges[min(start, len(clean))]) for start in range(0, len(clean) + chunk, chunk)]
        # Rows past the end of the middle have no clean row to learn from.
        for first in range(0, edges[0], chunk):
            noised_part.rows(slice(first, min(first + chunk, edges[0])), None, 0.0)
        for i, start in enumerate(range(0, len(clean), chunk)):
            rows = slice(start, min(start + chunk, len(clean)))
            known = clean_part.rows(rows, None, 0.0)
            for first in range(edges[i], edges[i + 1], chunk):
                which = slice(first, min(first + chunk, edges[i + 1]))
                teacher = known[batch.source[which] - start] if soft and scale else None
                noised_part.rows(which, teacher, soft)
        hidden = torch.cat([clean, noised]).to(low)
        grad_head = (by_logits.T @ hidden).to(head.dtype) if scale else torch.zeros_like(head)
        ctx.save_for_backward(clean_part.grad, noised_part.grad, grad_head)
        total = (clean_part.weights * clean_part.nats).sum() + (noised_part.weights * noised_part.nats).sum()
        outputs = (clean_part.nats, noised_part.nats, clean_part.hits, noised_part.hits, clean_part.ends)
        ctx.mark_non_differentiable(*outputs)
        return total, *outputs

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        clean, noised, head = ctx.saved_tensors
        by = outputs[0]
        return clean * by, noised * by, head * by, None, None, None, None


class _Part:
    """The clean or the noised rows, done a chunk at a time."""

    def __init__(
        self, hidden: Tensor, targets: Tensor, weights: Tensor, matrix: Tensor, by_logits: Tensor, end: int
    ) -> None:
        self.hidden, self.targets, self.weights = hidden, targets, weights
        self.matrix, self.by_logits, self.end = matrix, by_logits, end
        self.nats = torch.zeros(len(hidden), device=hidden.device)
        self.hits = torch.zeros(len(hidden), dtype=torch.bool, device=hidden.device)
        self.grad = torch.zeros_like(hidden)
        self.ends = torch.zeros(len(hidden), device=hidden.device)  # the chance of `<end>` by row

    def rows(self, rows: slice, teacher: Tensor | None, soft: float) -> Tensor:
        """Loss and gradients of some rows; returns their probabilities (rows, vocab)."""
        truth = self.targets[rows][:, None]
        logits = (self.hidden[rows].to(self.matrix.dtype) @ self.matrix.T).float()
        base = logits.logsumexp(dim=1, keepdim=True)
        self.nats[rows] = (base - logits.gather(1, truth))[:, 0]
        self.hits[rows] = logits.argmax(dim=1) == truth[:, 0]
        p = logits.sub_(base).exp_()
        self.ends[rows] = p[:, self.end]
        if not len(self.by_logits):
            return p
        by = self.weights[rows][:, None]
        grad = p * by
        if teacher is not None:
            grad.addcmul_(teacher, by, value=-soft)
            grad.scatter_add_(1, truth, by * (soft - 1.0))
        else:
            grad.scatter_add_(1, truth, -by)
        self.by_logits[rows] = grad
        self.grad[rows] = (self.by_logits[rows] @ self.matrix).to(self.grad.dtype)
        return p


def losses(model: Transformer, batch: Batch, scale: float, soft: float = SOFT, chunk: int = 128) -> Losses:
    """One forward pass over a batch; `scale` multiplies every loss weight (one over a step's total weight)."""
    if batch.learns is None:
        hidden = model(batch.ids, batch.positions, batch.sees(), batch.clean)
    else:
        hidden = model.learn(batch.ids, batch.positions, LearningRows.of(batch))
    width = hidden.shape[-1]
    clean = hidden[:, : batch.clean].reshape(-1, width)[batch.clean_rows]
    noised = hidden[:, batch.clean :].reshape(-1, width)[batch.noised_rows]
    total, *rest = _Head.apply(clean, noised, model.head, batch, soft, scale, chunk)
    clean_nats, noised_nats, clean_hits, noised_hits, ends = rest
    by_kind = torch.zeros(3, len(KINDS), device=hidden.device)
    for first, kinds, nats, hits in (
        (0, batch.clean_kinds, clean_nats, clean_hits),
        (KINDS.index(NOISED_KINDS[0]), batch.noised_kinds, noised_nats, noised_hits),
    ):
        by_kind.index_add_(1, kinds + first, torch.stack([nats, torch.ones_like(nats), hits.float()]))
    middle, going_on = KINDS.index("middle"), KINDS.index(GOING_ON)
    given = clean_nats + torch.log1p(-ends.clamp(max=1 - 1e-6))
    by_kind[0, going_on] = torch.where(batch.clean_kinds == middle, given, 0.0).sum()
    by_kind[1:, going_on] = by_kind[1:, middle]
    return Losses(total, by_kind)
