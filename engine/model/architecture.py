"""The denoiser in torch, for training: a Llama- or Qwen2-shaped transformer over a clean stream and its noised rows.

One forward pass holds both (Block Diffusion, arXiv 2503.09573; Set Block Decoding, arXiv 2509.04185): T clean rows,
causal, and N noised rows that see the clean rows before their block and, in both directions, their block. Returns
hidden states: the head is applied in `objective.py`, where there is a loss.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.checkpoint import Checkpoint, ModelConfig
from engine.model.attention import Visibility, attend, attend_to, bias_of
from engine.model.learning_rows import LearningRows


class Layer(nn.Module):
    """One transformer layer; query, key and value share one matrix, and so do gate and up (fewer, larger products)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c = self.config = config
        rows = (c.heads + 2 * c.kv_heads) * c.head_dim
        self.attention_norm = nn.Parameter(torch.ones(c.hidden))
        self.qkv = nn.Linear(c.hidden, rows, bias=c.attention_bias)
        self.out = nn.Linear(c.heads * c.head_dim, c.hidden, bias=False)
        self.mlp_norm = nn.Parameter(torch.ones(c.hidden))
        self.gate_up = nn.Linear(c.hidden, 2 * c.intermediate, bias=False)
        self.down = nn.Linear(c.intermediate, c.hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, what: Visibility) -> Tensor:
        """x (B, T+N, hidden), cos and sin (B, 1, T+N, head_dim)."""
        q, k, v = self._heads(x, cos, sin)
        return self._rest(x, _joined(attend(q, k, v, what)))

    def read(
        self, x: Tensor, cos: Tensor, sin: Tensor, sees: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of a context, x (B, S, hidden): (x behind the layer, keys, values (B, kv heads, S, head_dim))."""
        q, k, v = self._heads(x, cos, sin)
        return self._rest(x, _joined(attend_to(q, k, v, sees, bias))), k, v

    def learn(
        self, x: Tensor, cos: Tensor, sin: Tensor, known: tuple[Tensor, Tensor], rows: LearningRows, bias: Tensor | None
    ) -> Tensor:
        """Of packed rows, x (P, hidden), cos and sin (P, 1, head_dim), behind a context's keys and values."""
        c = self.config
        own = self.qkv(_norm(x, self.attention_norm, c.eps)).view(len(x), -1, c.head_dim)
        qk, v = own.split([c.heads + c.kv_heads, c.kv_heads], dim=1)
        own = rows.spread(torch.cat([_rotate(qk, cos, sin).to(v.dtype), v], dim=1)).transpose(1, 2)
        q, k, v = own.split([c.heads, c.kv_heads, c.kv_heads], dim=1)
        k, v = (torch.cat([old, new], dim=2) for old, new in zip(known, (k, v), strict=True))
        return self._rest(x, rows.pack(_joined(attend_to(q, k, v, rows.sees, bias))))

    def _heads(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c = self.config
        b, t, _ = x.shape
        qkv = self.qkv(_norm(x, self.attention_norm, c.eps)).view(b, t, -1, c.head_dim).transpose(1, 2)
        qk, v = qkv.split([c.heads + c.kv_heads, c.kv_heads], dim=1)
        q, k = _rotate(qk, cos, sin).to(v.dtype).split([c.heads, c.kv_heads], dim=1)
        return q, k, v

    def _rest(self, x: Tensor, seen: Tensor) -> Tensor:
        x = x + self.out(seen)
        gate, up = self.gate_up(_norm(x, self.mlp_norm, self.config.eps)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


def _joined(heads: Tensor) -> Tensor:
    """(B, heads, T, d) → (B, T, heads×d)."""
    return heads.transpose(1, 2).flatten(2)


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, eps)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-b, a], dim=-1) * sin


class Transformer(nn.Module):
    """The whole denoiser. `forward` gives hidden states after the last norm; `head` is the matrix that reads them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Parameter(torch.empty(config.vocab, config.hidden))
        self.untied = None if config.tied else nn.Parameter(torch.empty(config.vocab, config.hidden))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.Parameter(torch.ones(config.hidden))
        half = config.head_dim // 2
        inverse = config.rope_theta ** -(torch.arange(half, dtype=torch.float64) / half)
        self.register_buffer("inverse", inverse.float(), persistent=False)

    @property
    def head(self) -> Tensor:
        """(vocab, hidden)."""
        return self.embed if self.untied is None else self.untied

    def forward(self, ids: Tensor, positions: Tensor, sees: Tensor, clean: int) -> Tensor:
        """ids and positions int64 (B, T+N), sees bool (B, N, T+N), clean = T. Returns (B, T+N, hidden)."""
        cos, sin = self._turns(positions[:, None])
        what = Visibility.of(sees, clean, cos.dtype)
        x = self._embedded(ids)
        for layer in self.layers:
            x = layer(x, cos, sin, what)
        return _norm(x, self.norm, self.config.eps)

    def learn(self, ids: Tensor, positions: Tensor, rows: LearningRows) -> Tensor:
        """The same for `rows` alone, zeros elsewhere: what they see of the context is read without a gradient."""
        ids_read = ids[:, : rows.context]
        cos_read, sin_read = self._turns(positions[:, None, : rows.context])
        cos, sin = self._turns(positions.flatten()[rows.rows, None])
        causal = torch.ones(rows.context, rows.context, dtype=torch.bool, device=ids.device).tril()
        plain = ids.device.type != "cuda"
        bias_read = bias_of(causal, cos.dtype) if plain else None
        bias = bias_of(rows.sees[:, None, None], cos.dtype) if plain else None
        x = self._embedded(ids.flatten()[rows.rows])
        with torch.no_grad():
            context = self._embedded(ids_read)
        for layer in cast("list[Layer]", self.layers):
            with torch.no_grad():
                context, k, v = layer.read(context, cos_read, sin_read, causal, bias_read)
            x = layer.learn(x, cos, sin, (k, v), rows, bias)
        x = _norm(x, self.norm, self.config.eps)
        whole = x.new_zeros(ids.numel(), x.shape[1]).index_copy(0, rows.rows, x)
        return whole.view(*ids.shape, -1)

    def _embedded(self, ids: Tensor) -> Tensor:
        # Tied, its gradient joins the dense one of the head: a dense one of its own would be mostly zeros.
        return F.embedding(ids, self.embed, sparse=self.untied is None)

    def _turns(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines (…, head_dim) of positions (…), as queries and keys are computed."""
        inverse = self.inverse
        assert isinstance(inverse, Tensor)
        angle = positions[..., None].float() * inverse
        angle = torch.cat([angle, angle], dim=-1)
        kind = positions.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else angle.dtype
        return angle.cos().to(dtype), angle.sin().to(dtype)


def _names(config: ModelConfig) -> dict[str, list[str]]:
    """Our fused parameter → the Hugging Face tensors whose rows it stacks."""
    table = {"embed": ["model.embed_tokens.weight"], "norm": ["model.norm.weight"]}
    if not config.tied:
        table["untied"] = ["lm_head.weight"]
    for i in range(config.layers):
        at, of = f"layers.{i}.", f"model.layers.{i}."
        table[at + "attention_norm"] = [of + "input_layernorm.weight"]
        table[at + "mlp_norm"] = [of + "post_attention_layernorm.weight"]
        table[at + "qkv.weight"] = [of + f"self_attn.{p}_proj.weight" for p in "qkv"]
        if config.attention_bias:
            table[at + "qkv.bias"] = [of + f"self_attn.{p}_proj.bias" for p in "qkv"]
        table[at + "out.weight"] = [of + "self_attn.o_proj.weight"]
        table[at + "gate_up.weight"] = [of + f"mlp.{p}_proj.weight" for p in ("gate", "up")]
        table[at + "down.weight"] = [of + "mlp.down_proj.weight"]
    return table


def from_checkpoint(checkpoint: Checkpoint) -> Transformer:
    """A transformer with the fp32 (dequantised) weights of a model folder."""
    model = Transformer(checkpoint.config)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for ours, theirs in _names(checkpoint.config).items():
            parameters[ours].copy_(torch.from_numpy(np.concatenate([checkpoint.dense(n) for n in theirs])))
    checkpoint.release()
    return model


def to_tensors(config: ModelConfig, state: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """The weights of `state` (a transformer's state dict) as fp32 arrays under their Hugging Face names."""
    c = config
    rows = {"q": c.heads * c.head_dim, "k": c.kv_heads * c.head_dim, "v": c.kv_heads * c.head_dim}
    out: dict[str, np.ndarray] = {}
    for ours, theirs in _names(config).items():
        whole = state[ours].detach().float().cpu()
        if len(theirs) == 1:
            out[theirs[0]] = whole.numpy()
        else:
            sizes = list(rows.values()) if len(theirs) == 3 else [c.intermediate] * 2
            for name, part in zip(theirs, whole.split(sizes), strict=True):
                out[name] = part.numpy()
    return out


def linear_parameters(config: ModelConfig) -> int:
    """Weights in the matrices of all layers, without embedding and head."""
    c = config
    attention = c.hidden * c.head_dim * (2 * c.heads + 2 * c.kv_heads)
    return c.layers * (attention + 3 * c.hidden * c.intermediate)


def load(folder: Path | None) -> tuple[Checkpoint, Transformer]:
    """A model folder (the packaged one for None) and its transformer."""
    checkpoint = Checkpoint(folder)
    return checkpoint, from_checkpoint(checkpoint)
