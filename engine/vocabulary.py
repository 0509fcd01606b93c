"""Text to token ids and back: byte-level BPE without special tokens in user text.

Knows bytes and ids; knows nothing of windows or models. Byte-level vocabularies spell every byte, so decoding is exact;
a middle that stops inside a UTF-8 sequence is cut back to whole characters.
"""

from __future__ import annotations

import bisect
import json
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from engine.errors import ModelError

LONGEST_PIECE = 128  # characters
NEXT = ("", *"abcdefghijklmnopqrstuvwxyzAQZéяλ中_19().,:;=<>+-*/%&|^~!?@#$[]{}\\`'\" \n")  # what may follow a start
CONTRACTED = ("l", "r", "v")  # what 'll, 're and 've begin with, each a piece of its own
STARTS = 2_000  # whose tokens are kept
TEXTS = 64  # beside them, whole texts whose ids are kept
PARTS = 4_096  # and parts of files: some hundred a file


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
        self._remember()
        self.size = max(spelled.values()) + 1
        self.bytes: list[bytes] = [b""] * self.size
        for token, index in spelled.items():
            if all(c in alphabet for c in token) and not (token.startswith("<|") and token.endswith("|>")):
                self.bytes[index] = bytes(alphabet[c] for c in token)

    def __getstate__(self) -> dict[str, Any]:
        """All but the kept answers: the processes that make batches get a vocabulary by pickle."""
        kept = ("_spellings", "_settlings", "_followed", "_texts", "_parts")
        return {name: value for name, value in self.__dict__.items() if name not in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._remember()

    def _remember(self) -> None:
        """The same starts are asked about again with every key."""
        self._spellings, self._settlings = lru_cache(STARTS)(self._spell), lru_cache(STARTS)(self._settle)
        self._followed = lru_cache(1)(self._follow)  # most starts are asked about by both, one after the other
        self._texts = lru_cache(TEXTS)(lambda text: tuple(self.encode(text)))
        self._parts = lru_cache(PARTS)(lambda text: np.array(self.encode(text), dtype=np.uint32))

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, nothing added. Lone surrogates, which no file holds, become '?'."""
        try:
            return self._ids(text)
        except (TypeError, UnicodeEncodeError):
            return self._ids(text.encode("utf-8", "replace").decode("utf-8"))

    def encode_typed(self, text: str) -> list[int]:
        """`encode`, for a text that is mostly the one of the last key: only its last lines are read anew.

        It is divided at a line that ends with a letter or a digit: patterns of byte-level BPE take blanks together, or
        marks and the line breaks behind them, but end a word or a number there.
        """
        cut = text.rfind("\n")
        while cut > 0 and not text[cut - 1].isalnum():
            cut = text.rfind("\n", 0, cut)
        return [*self._texts(text[:cut]), *self.encode(text[cut:])] if cut > 0 else self.encode(text)

    def encode_file(self, text: str) -> npt.NDArray[np.uint32]:
        """`encode`, for a file of which most parts were asked for before, wherever they stood: those are not read anew.

        It is divided at blank lines behind a letter or a digit, where `encode_typed` divides, too.
        """
        parts, start, at = [], 0, text.find("\n\n", 1)
        while at > 0:
            if text[at - 1].isalnum():
                parts.append(text[start:at])
                start = at
            at = text.find("\n\n", at + 2)
        return np.concatenate([self._parts(part) for part in (*parts, text[start:])])

    def encode_again(self, text: str) -> list[int]:
        """`encode`, for a text that is likely to be asked for again as it is."""
        return [*self._texts(text)]

    def _ids(self, text: str) -> list[int]:
        # The call for batches is the one that keeps no account of offsets, which takes a third of the time.
        return self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids

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

    @cached_property
    def line_breaks(self) -> frozenset[int]:
        """Ids of all tokens that begin with a line break."""
        return frozenset(i for i, spelled in enumerate(self.bytes) if spelled.startswith((b"\n", b"\r\n")))

    def last_piece(self, text: str) -> str:
        """The end of `text` that what is typed next may join in one token: tokens never cross the border before it.

        Empty where there is no such border in the last `LONGEST_PIECE` characters.
        """
        # As `encode` reads it; no longer and no shorter than it was.
        tail = text[-LONGEST_PIECE:].encode("utf-8", "replace").decode("utf-8")
        splitter = self._tokenizer.pre_tokenizer
        pieces = [span for _, span in splitter.pre_tokenize_str(tail)] if splitter is not None and tail else []
        start = pieces[-1][0] if pieces else 0
        before = pieces[-2][0] if len(pieces) > 1 else 0
        # The last of several white spaces is a token of its own only because of what stands behind it.
        if before and tail[before - 1 : start].isspace() and not tail[start].isspace():
            start = before
        if tail[start:] in CONTRACTED and tail[before:start] == "'":  # b'r is three pieces, b're two
            start = before
        return tail[start:] if start or len(tail) == len(text) else ""

    def beginnings(self, text: bytes) -> list[int]:
        """Ids of all tokens that `text` begins with, `text` itself among them."""
        spelled, ids = self._sorted
        found = []
        for length in range(1, len(text) + 1):
            at = bisect.bisect_left(spelled, text[:length])
            if at < len(spelled) and spelled[at] == text[:length]:
                found.append(int(ids[at]))
        return found

    def spelling(self, start: bytes) -> npt.NDArray[np.int64]:
        """Ids of the tokens that a text beginning with `start` may begin with.

        They begin with `start` themselves, or are what the tokenizer begins with when `start` and one more character
        are spelled together; other tokens that `start` begins with would take chance from those that can come.
        """
        return self._spellings(start)

    def settled(self, piece: str) -> int:
        """How many characters of a `last_piece` have tokens that stay, in nearly all cases, whatever is typed next."""
        return self._settlings(piece)

    def _settle(self, piece: str) -> int:
        data, done = piece.encode("utf-8"), 0
        for tokens in zip(*self._followed(piece), strict=False):
            if len(set(tokens)) > 1 or self._has_longer(data[done:]):
                break
            done += len(self.bytes[tokens[0]])
        return len(data[:done].decode("utf-8", "ignore"))

    def _follow(self, start: str) -> list[list[int]]:
        """What a text is spelled like with each character that may come next."""
        spellings = self._tokenizer.encode_batch_fast([start + c for c in NEXT], add_special_tokens=False)
        return [encoding.ids for encoding in spellings]

    def _has_longer(self, start: bytes) -> bool:
        """Whether a token begins with `start` and goes on."""
        spelled, _ = self._sorted
        at = bisect.bisect_right(spelled, start)
        return at < len(spelled) and spelled[at].startswith(start)

    def _spell(self, start: bytes) -> npt.NDArray[np.int64]:
        spelled, ids = self._sorted
        low = bisect.bisect_left(spelled, start)
        high = bisect.bisect_left(spelled, start + b"\xff" * 32)
        text = start.decode("utf-8", "replace")
        first = {tokens[0] for tokens in self._followed(text)}
        shorter = [t for t in first if start.startswith(self.bytes[t]) and self.bytes[t] != start]
        if low == high and not shorter:  # the rest of a character that tokens have cut
            shorter = self.beginnings(start)
        return np.concatenate([ids[low:high], np.array(sorted(shorter), dtype=np.int64)])
