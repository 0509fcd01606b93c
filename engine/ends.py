"""Where a middle ends: every place in a draft where it could, scored from the passes that wrote it.

Length decides infilling quality. PILL (see its repository, Hsu1023/PILL) decodes several lengths and keeps the one with
the likeliest middle and the likeliest first tokens of the suffix behind it. With a causal pass over the draft both are
there already, at every token: a middle that is complete is followed by `<end>`, or by the very text of the suffix. So
the chance that a middle ends behind n tokens is the chance of those tokens times the sum of both, and costs no pass.

The suffix is part of the context, so the model copies it well beyond the first tokens: these say little more, unless
the draft itself follows the suffix and then turns away before the line's end. That is evidence against an end there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.sampler import Draft
from engine.vocabulary import Vocabulary

FOLLOWED = 4  # tokens for which a draft is compared with the suffix
REPEATED = 12  # characters of the suffix, repeated by a draft, after which no more is written


@dataclass(frozen=True, slots=True)
class End:
    """A middle that a draft could be: its text, how many of the draft's tokens it takes, and log p(text, then end).

    `whole` is false where the last token is cut: what is behind the cut belongs to the suffix.
    """

    text: str
    tokens: int
    score: float
    whole: bool = True


def ends(draft: Draft, texts: Sequence[str], first: int, suffix: str, line: bool, base: int) -> list[End]:
    """All ends of a draft behind its `first` tokens or later, likeliest first. `texts[n]` is the text of n tokens.

    `line`: the middle has no line break. Otherwise none of its lines but the first is indented by less than `base`.
    """
    found: list[End] = []
    total = 0.0
    for n, text in enumerate(texts):
        if n:
            total += draft.logprobs[n - 1]
            found += _inside_token(texts[n - 1], text, n, total, suffix)
        shaped = cut_at_line(text) if line else cut_at_dedent(text, base)
        if shaped != text:
            # The line or block is over. A break that begins the last token was counted as an end before it.
            found.append(End(shaped, n, total, whole=False))
            break
        if first <= n < len(draft.end_logprobs):
            follows = draft.follow_logprobs[n] + _turning_away(draft, texts, n, suffix)
            found.append(End(text, n, total + float(np.logaddexp(draft.end_logprobs[n], follows))))
    best: dict[str, End] = {}
    for end in found:
        if end.text not in best or end.score > best[end.text].score:
            best[end.text] = end
    return sorted(best.values(), key=lambda end: -end.score)


def _inside_token(before: str, text: str, n: int, total: float, suffix: str) -> list[End]:
    """Ends inside the nth token: the rest of it begins the suffix, as `))` does where the suffix has one of them."""
    piece = text[len(before) :] if text.startswith(before) else ""
    cuts = (i for i in range(1, len(piece)) if piece[i:].strip() and suffix.startswith(piece[i:]))
    return [End(before + piece[:i], n, total, whole=False) for i in cuts]


def _turning_away(draft: Draft, texts: Sequence[str], n: int, suffix: str) -> float:
    """Log-probability that the suffix goes on once the draft has followed it from token n on; 0 when it never did."""
    line_end = suffix.find("\n")
    line_end = line_end + 1 if line_end >= 0 else len(suffix)
    at, total = 0, 0.0
    for m in range(n, min(n + FOLLOWED, len(draft.tokens))):
        piece = texts[m + 1][len(texts[m]) :]
        if at >= line_end or not piece:
            return total
        if not suffix.startswith(piece, at):
            return total if m == n else total + _log_not(draft.logprobs[m])
        at += len(piece)
        total += draft.logprobs[m] if m > n else 0.0
    return total


def _log_not(logprob: float) -> float:
    """log(1 - p)."""
    return math.log(max(1.0 - math.exp(logprob), 1e-9))


def following_tokens(vocabulary: Vocabulary, suffix: str, line: bool) -> npt.NDArray[np.int64]:
    """Tokens that begin what follows the middle: those that the suffix begins with, and line breaks that end a line."""
    start = suffix[:24].encode("utf-8", "replace")
    ids = {int(t) for t in vocabulary.spelling(start) if start.startswith(vocabulary.bytes[t])} if start else set()
    if line and suffix[:1] in ("", "\n", "\r"):
        ids |= {int(t) for c in (b"\n", b"\r\n") for t in vocabulary.spelling(c) if vocabulary.bytes[t].startswith(c)}
    return np.array(sorted(ids), dtype=np.int64)


def repeats(text: str, suffix: str) -> bool:
    """Whether a draft has begun to write the suffix again, far enough that it will not be chance."""
    if len(text) < REPEATED or text[-1].isspace():
        return False
    start = max(0, len(text) - 4 * REPEATED)
    tails = (text[i:] for i in range(start, len(text) - REPEATED + 1))
    return any(suffix.startswith(tail) and len(tail.strip()) >= REPEATED for tail in tails)


def cut_at_line(text: str) -> str:
    """`text` before its first line break."""
    at = text.find("\n")
    return text if at < 0 else text[:at].removesuffix("\r")


def cut_at_dedent(text: str, base: int) -> str:
    """`text` before its first line (not the one the cursor is on) that is indented by less than `base`."""
    offset = text.find("\n")
    while offset >= 0:
        stop = text.find("\n", offset + 1)
        line = text[offset + 1 : stop if stop >= 0 else len(text)]
        if line.strip() and len(line) - len(line.lstrip()) < base:
            return text[:offset].rstrip()
        offset = stop
    return text


def body_indent(prefix: str) -> int:
    """Columns that a line must be indented by to belong to the block at the cursor."""
    line = prefix[prefix.rfind("\n") + 1 :]
    width = len(line) - len(line.lstrip())
    return width if not line.strip() else width + 1
