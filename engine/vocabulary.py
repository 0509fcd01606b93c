"""Text to token ids and back: byte-level BPE without special tokens in user text.

Knows bytes and ids; knows nothing of windows or models. Byte-level vocabularies spell every byte, so decoding is exact;
a middle that stops inside a UTF-8 sequence is cut back to whole characters.
"""

from __future__ import annotations

import bisect
import json
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from engine.errors import ModelError


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 bytes (Radford et al. 2019)."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {chr(b): b for b in visible}
    hidden = [b for b in range(256) if b not in set(visible)]
    return table | {chr(256 + i): b for i, b in enumerate(hidden)}


class Vocabulary:
    """Encodes text, decodes ids and finds the tokens that spell a given start."""

    def __init__(self, tokenizer_file: Path) -> None:
        try:
            raw = json.loads(tokenizer_file.read_text(encoding="utf-8"))
            # Text that happens to contain "<file_sep>" is the user's text, never a reserved row.
            raw["added_tokens"] = []
            raw["post_processor"] = None
            self._tokenizer = Tokenizer.from_str(json.dumps(raw))
            spelled: dict[str, int] = raw["model"]["vocab"]
        except (OSError, KeyError, TypeError, ValueError) as damage:
            raise ModelError(f"{tokenizer_file} is not a byte-level BPE tokenizer: {damage}") from None
        alphabet = _byte_alphabet()
        self.size = max(spelled.values()) + 1
        self.bytes: list[bytes] = [b""] * self.size
        for token, index in spelled.items():
            if all(c in alphabet for c in token) and not (token.startswith("<|") and token.endswith("|>")):
                self.bytes[index] = bytes(alphabet[c] for c in token)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, nothing added. Lone surrogates, which no file holds, become '?'."""
        try:
            return self._tokenizer.encode(text, add_special_tokens=False).ids
        except (TypeError, UnicodeEncodeError):
            return self._tokenizer.encode(text.encode("utf-8", "replace").decode("utf-8"), add_special_tokens=False).ids

    def decode_bytes(self, ids: list[int]) -> bytes:
        """The bytes that `ids` spell; reserved rows spell nothing."""
        return b"".join(self.bytes[i] for i in ids)

    def decode(self, ids: list[int]) -> str:
        """The text that `ids` spell, without an incomplete last character."""
        data = self.decode_bytes(ids)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as cut:
            if cut.reason == "unexpected end of data":
                return data[: cut.start].decode("utf-8")
            return data.decode("utf-8", "replace")

    @cached_property
    def _sorted(self) -> tuple[list[bytes], npt.NDArray[np.int64]]:
        pairs = sorted((b, i) for i, b in enumerate(self.bytes) if b)
        return [b for b, _ in pairs], np.array([i for _, i in pairs], dtype=np.int64)

    def spelling(self, start: bytes) -> npt.NDArray[np.int64]:
        """Ids of the tokens that agree with `start`: those that begin with it, and those that it begins with."""
        spelled, ids = self._sorted
        low = bisect.bisect_left(spelled, start)
        high = bisect.bisect_left(spelled, start + b"\xff" * 32)
        found = [ids[low:high]]
        for length in range(1, len(start)):
            at = bisect.bisect_left(spelled, start[:length])
            if at < len(spelled) and spelled[at] == start[:length]:
                found.append(ids[at : at + 1])
        return np.concatenate(found)
