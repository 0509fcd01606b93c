"""Attention of a training pass: T clean rows, causal, and N noised rows that see what a mask says, as two calls.

Query heads that share a key head are stacked as rows of one product, so keys and values are never repeated. On CUDA
torch's fused kernels are best; on a processor plain products are 2 to 2.7 times as fast as its fused kernel (forward
and backward, bf16, windows of 208 to 512), and these are what runs there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

HIDDEN = -1e4  # representable in bf16, and e^-1e4 is 0


@dataclass(slots=True)
class Visibility:
    """What rows see: `clean` is T; `sees` bool (B, N, T+N) for the noised rows; the additive forms for a processor."""

    clean: int
    sees: Tensor
    causal_bias: Tensor | None = None
    noised_bias: Tensor | None = None

    @classmethod
    def of(cls, sees: Tensor, clean: int, dtype: torch.dtype) -> Visibility:
        """The same for all layers of a pass; `dtype` is that of queries and keys."""
        if sees.device.type == "cuda":
            return cls(clean, sees)
        causal = torch.ones(clean, clean, dtype=torch.bool).tril()
        return cls(clean, sees, bias_of(causal, dtype), bias_of(sees[:, None, None], dtype))


def bias_of(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to scores, so that only what is `visible` counts."""
    return torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, HIDDEN)


def attend(q: Tensor, k: Tensor, v: Tensor, what: Visibility) -> Tensor:
    """q (B, heads, T+N, d), k and v (B, kv heads, T+N, d) → (B, heads, T+N, d)."""
    t = what.clean
    if what.causal_bias is None or what.noised_bias is None:
        k, v = (y.repeat_interleave(q.shape[1] // y.shape[1], dim=1) for y in (k, v))
        clean = F.scaled_dot_product_attention(q[:, :, :t], k[:, :, :t], v[:, :, :t], is_causal=True)
        noised = F.scaled_dot_product_attention(q[:, :, t:], k, v, attn_mask=what.sees[:, None])
    else:
        clean = _products(q[:, :, :t], k[:, :, :t], v[:, :, :t], what.causal_bias)
        noised = _products(q[:, :, t:], k, v, what.noised_bias)
    return torch.cat([clean, noised], dim=2)


def attend_to(q: Tensor, k: Tensor, v: Tensor, sees: Tensor, bias: Tensor | None) -> Tensor:
    """q (B, heads, R, d), k and v (B, kv heads, S, d), sees bool that broadcasts to (B, R, S) → (B, heads, R, d).

    `bias` is `sees` for a processor: `bias_of` what broadcasts to (B, kv heads, heads a kv head, R, S).
    """
    if bias is not None:
        return _products(q, k, v, bias)
    k, v = (y.repeat_interleave(q.shape[1] // y.shape[1], dim=1) for y in (k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=sees[..., None, :, :])


def _products(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Softmax attention as two matrix products; `bias` broadcasts to (B, kv heads, heads a kv head, rows, keys)."""
    b, heads, rows, d = q.shape
    groups, keys = k.shape[1], k.shape[2]
    scores = torch.matmul(q.reshape(b, groups, -1, d), k.transpose(2, 3)).view(b, groups, -1, rows, keys)
    shares = torch.softmax(scores / math.sqrt(d) + bias, dim=-1)
    return torch.matmul(shares.view(b, groups, -1, keys).to(v.dtype), v).view(b, heads, rows, d)
