"""The denoiser in plain NumPy, written from the Llama paper's equations: slow, and what the graph is held to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.checkpoint import Checkpoint

F = npt.NDArray[np.float32]


class NumpyDenoiser:
    """Full attention over given rows, no cache, heads repeated."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        c = self.config = checkpoint.config
        self.head = "model.embed_tokens.weight" if c.tied else "lm_head.weight"
        names = ["model.embed_tokens.weight", "model.norm.weight", self.head]
        for i in range(c.layers):
            at = f"model.layers.{i}."
            names += [at + n + ".weight" for n in ("input_layernorm", "post_attention_layernorm")]
            names += [at + f"self_attn.{p}_proj.weight" for p in "qkvo"]
            names += [at + f"mlp.{p}_proj.weight" for p in ("gate", "up", "down")]
        self.w = {name: checkpoint.dense(name) for name in names}
        self.bias = {
            b: checkpoint.dense(b)
            for n in names
            if checkpoint.has(b := n.removesuffix("weight") + "bias") and n.endswith("_proj.weight")
        }

    def __call__(self, ids: list[int], positions: list[int], sees: npt.NDArray[np.bool_]) -> F:
        """Logits (T, vocab) for T rows; sees (T, T)."""
        c = self.config
        x = self.w["model.embed_tokens.weight"][ids]
        for i in range(c.layers):
            at = f"model.layers.{i}."
            x = x + self._attention(self._norm(x, at + "input_layernorm.weight"), at + "self_attn.", positions, sees)
            h = self._norm(x, at + "post_attention_layernorm.weight")
            gate = self._linear(h, at + "mlp.gate_proj.weight")
            h = gate / (1 + np.exp(-gate)) * self._linear(h, at + "mlp.up_proj.weight")
            x = x + self._linear(h, at + "mlp.down_proj.weight")
        return self._norm(x, "model.norm.weight") @ self.w[self.head].T

    def _linear(self, x: F, name: str) -> F:
        y = x @ self.w[name].T
        bias = self.bias.get(name.removesuffix("weight") + "bias")
        return y if bias is None else y + bias

    def _norm(self, x: F, name: str) -> F:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.config.eps) * self.w[name]

    def _rotate(self, x: F, positions: list[int]) -> F:
        half = self.config.head_dim // 2
        inverse = self.config.rope_theta ** -(np.arange(half) / half)
        angle = (np.array(positions)[:, None] * inverse)[:, None, :]
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)

    def _attention(self, x: F, at: str, positions: list[int], sees: npt.NDArray[np.bool_]) -> F:
        c, t = self.config, len(positions)
        q = self._rotate(self._linear(x, at + "q_proj.weight").reshape(t, c.heads, c.head_dim), positions)
        k = self._rotate(self._linear(x, at + "k_proj.weight").reshape(t, c.kv_heads, c.head_dim), positions)
        v = self._linear(x, at + "v_proj.weight").reshape(t, c.kv_heads, c.head_dim)
        k, v = (np.repeat(y, c.heads // c.kv_heads, axis=1) for y in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(c.head_dim)
        scores = np.where(sees[None], scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return self._linear(np.einsum("hqk,khd->qhd", weights, v).reshape(t, -1), at + "o_proj.weight")
