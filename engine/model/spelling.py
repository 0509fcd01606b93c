"""A file's token ids back to its bytes, as one gather over arrays: files are what most of a sample's time goes into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class Spelling:
    """Every token's bytes in one array; spells what `Vocabulary.decode_bytes` does."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._bytes = np.frombuffer(b"".join(tokens), dtype=np.uint8)
        self._lengths = np.array([len(t) for t in tokens], dtype=np.int64)
        self._starts = np.cumsum(self._lengths) - self._lengths

    def bytes_of(self, ids: npt.NDArray[np.uint16]) -> bytes:
        """The bytes that `ids` spell."""
        lengths = self._lengths[ids]
        ends = np.cumsum(lengths)
        if not len(ends):
            return b""
        # Byte j of the text is byte j of `_bytes`, moved by how far its token lies from where it is written.
        moved = np.repeat(self._starts[ids] - (ends - lengths), lengths)
        return self._bytes[moved + np.arange(ends[-1])].tobytes()
