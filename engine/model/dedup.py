"""Near duplicates by MinHash over token shingles (Broder 1997), found with banded hashing (LSH)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SHINGLE = 6
HASHES = 64
BANDS = 16  # of 4 hashes each: pairs above a Jaccard similarity of about 0.5 meet in some band
SIMILAR = 0.7

_rng = np.random.default_rng(1997)
_FACTORS = _rng.integers(1, 1 << 62, HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_MIX = _rng.integers(1, 1 << 62, SHINGLE, dtype=np.uint64) * np.uint64(2) + np.uint64(1)

Sketch = npt.NDArray[np.uint32]


def sketch(tokens: npt.NDArray[np.uint16]) -> Sketch:
    """The MinHash of one file's tokens, (HASHES,)."""
    wide = tokens.astype(np.uint64)
    if len(wide) < SHINGLE:
        wide = np.pad(wide, (0, SHINGLE - len(wide)))
    n = len(wide) - SHINGLE + 1
    shingles = np.zeros(n, np.uint64)
    for i in range(SHINGLE):
        shingles += wide[i : i + n] * _MIX[i]
    shingles ^= shingles >> np.uint64(29)
    shingles = np.unique(shingles)
    out = np.empty(HASHES, np.uint32)
    for i, factor in enumerate(_FACTORS):
        out[i] = ((shingles * factor) >> np.uint64(32)).min()
    return out


class Seen:
    """Remembers sketches; a file is new unless it resembles one that came before."""

    def __init__(self) -> None:
        self._bands: dict[tuple[int, bytes], list[int]] = {}
        self._sketches: list[Sketch] = []

    def add(self, candidate: Sketch) -> bool:
        """Whether nothing similar came before; if so, remember this one."""
        width = HASHES // BANDS
        keys = [(b, candidate[b * width : (b + 1) * width].tobytes()) for b in range(BANDS)]
        rivals = {i for key in keys for i in self._bands.get(key, ())}
        if any(float(np.mean(self._sketches[i] == candidate)) >= SIMILAR for i in rivals):
            return False
        for key in keys:
            self._bands.setdefault(key, []).append(len(self._sketches))
        self._sketches.append(candidate)
        return True
