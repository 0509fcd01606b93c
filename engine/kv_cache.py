"""Keys and values of the tokens so far, and the rows of a pass over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnxruntime as ort

from engine.checkpoint import Array, ModelConfig
from engine.graph import cache_names


class Cache:
    """Keys and values of a batch of sequences, an input and output of the graph at once.

    `tokens` are the committed ids of each sequence: slot i holds the exact causal keys and values of token i. What lies
    beyond is scratch. `capacity` slots are allocated, and more when `reserve` is told to.
    """

    def __init__(self, session: ort.InferenceSession, config: ModelConfig, batch: int, dtype: type, device: str):
        self.session = session
        self.binding = session.io_binding()
        self.tokens: list[list[int]] = [[] for _ in range(batch)]
        self.capacity = 0
        self._layers = config.layers
        self._shape = (batch, config.kv_heads, 0, config.head_dim)
        self._dtype = dtype
        self._device = device
        self._values: list[ort.OrtValue] = []

    def reserve(self, slots: int) -> None:
        """Make room for `slots`, keeping what is there."""
        if slots <= self.capacity:
            return
        batch, heads, _, dim = self._shape
        grown = []
        for i in range(2 * self._layers):
            array: Array = np.zeros((batch, heads, slots, dim), self._dtype)
            if self._values:
                array[:, :, : self.capacity] = self._values[i].numpy()
            grown.append(ort.OrtValue.ortvalue_from_numpy(array, self._device, 0))
        self._values, self.capacity = grown, slots
        self.bind(self.binding)

    def bind(self, binding: ort.IOBinding, lane: int = 0) -> None:
        """Make a lane of a graph read and write this cache."""
        for name, value in zip(cache_names(self._layers, lane), self._values, strict=True):
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(name + ".out", value)

    @property
    def bytes(self) -> int:
        """Memory the keys and values take."""
        return len(self._values) * int(np.prod(self._shape[:2])) * self.capacity * self._shape[3] * self._itemsize

    @property
    def _itemsize(self) -> int:
        return int(np.dtype(self._dtype).itemsize)


class Rows(NamedTuple):
    """One sequence's share of a pass: ids, positions, slots (1, T); sees bool (1, T, any S <= capacity); rows (R,)."""

    cache: Cache
    ids: Array
    positions: Array
    slots: Array
    sees: Array
    rows: Array


def causal_rows(cache: Cache, ids: Sequence[int], start: int, rows: Sequence[int]) -> Rows:
    """Tokens `ids` at positions `start`…, each seeing itself and what is before it."""
    at = np.arange(start, start + len(ids))
    sees = np.arange(start + len(ids))[None, :] <= at[:, None]
    one = np.asarray(ids, dtype=np.int64)[None]
    return Rows(cache, one, at[None], at[None], sees[None], np.asarray(rows, dtype=np.int64))
