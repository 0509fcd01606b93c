"""What counts as the same token when contexts are compared: white space is not what makes code alike.

Line breaks match whatever indentation follows them, and a word matches with a blank in front of it or without. What
is *said* after a place is never folded.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.vocabulary import Vocabulary

Tokens = npt.NDArray[np.uint32] | npt.NDArray[np.uint16]


class Folding:
    """Token ids to the ids that they are compared by."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.width = 2 if vocabulary.size < 65_535 else 4  # bytes a token
        self.dtype = np.dtype(f"u{self.width}")
        self.wall = (1 << 8 * self.width) - 1  # stands between files, and is no token
        ids = {spelled: i for i, spelled in enumerate(vocabulary.bytes) if spelled}
        table: Tokens = np.arange(vocabulary.size, dtype=self.dtype)
        for spelled, i in ids.items():
            if not spelled.strip():
                table[i] = ids.get(b"\n", i) if b"\n" in spelled else i
            else:
                table[i] = ids.get(spelled.lstrip(b" "), i)
        self._table = table

    def of(self, tokens: Tokens) -> Tokens:
        """The folded ids of `tokens` (n,); a `wall` stays one."""
        folded = self._table[np.minimum(tokens, len(self._table) - 1)]
        folded[tokens == self.wall] = self.wall
        return folded
