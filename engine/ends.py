"""Where a middle ends: every place in a draft where it could, scored from the passes that wrote it.

Length decides infilling quality. PILL (see its repository, Hsu1023/PILL) decodes several lengths and keeps the one with
the likeliest middle and the likeliest first tokens of the suffix behind it. A causal pass over one long draft has most
of that already, at every token: a middle that is complete is followed by `<end>`, or by what the suffix begins with.
So the chance to end here, given that it did not end before, is the sum of these two, and costs no pass. How sure the
draft is of its tokens does not count: that would favour the shortest ends. Only where two ends are about equally
likely, one more pass reads the suffix's first tokens behind each of them (`engine.scoring`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.sampler import Draft
from engine.vocabulary import Vocabulary

Cut = Callable[[str], str]
WORD = re.compile(r"\w")
UNSURE = 0.02  # what no draft is surer of than the rest, not to go on as the suffix does
REPEATED = 8  # characters of the suffix, repeated by a draft, after which no more is written


@dataclass(frozen=True, slots=True)
class End:
    """A middle that a draft could be: its text, and how many of the draft's tokens it takes.

    `ending` is the log-probability to end there, and `score` that it ends there and nowhere before, both given the
    draft's tokens. `whole` is false where the last token is cut: what is behind the cut belongs to the suffix.
    """

    text: str
    tokens: int
    score: float
    ending: float = 0.0
    whole: bool = True


def ends(draft: Draft, texts: Sequence[str], first: int, suffix: str, cut: Cut) -> list[End]:
    """All ends of a draft behind its `first` tokens or later, likeliest first. `texts[n]` is the text of n tokens.

    `cut` gives what of a text still belongs to the line or block that is to be written.
    """
    found: list[End] = []
    before = going_on = 0.0  # log-probability not to have ended before the last token, and before this place
    for n, text in enumerate(texts):
        here = before + draft.logprobs[n - 1] if n else 0.0
        if n:
            found += _inside_token(texts[n - 1], text, n, here, suffix)
        shaped = cut(text)
        if shaped != text:
            # The line or block is over. A break that begins the last token was counted as an end before it.
            found.append(End(shaped, n, here, whole=False))
            break
        before = going_on
        if first <= n < len(draft.end_logprobs):
            follow = draft.follow_logprobs[n] + _turn(draft, texts, n, suffix)
            ending = float(np.logaddexp(draft.end_logprobs[n], follow))
            found.append(End(text, n, going_on + ending, ending))
            going_on += math.log(max(1.0 - math.exp(min(ending, 0.0)), 1e-6))
    best: dict[str, End] = {}
    for end in found:
        if end.text not in best or end.score > best[end.text].score:
            best[end.text] = end
    return sorted(best.values(), key=lambda end: -end.score)


def _turn(draft: Draft, texts: Sequence[str], n: int, suffix: str) -> float:
    """The log-probability that what a draft writes behind n tokens, the suffix's beginning, goes on as the suffix does.

    The `)` of `(user) => {` begins a suffix `)` as well. How sure the draft is of its first token that is not the
    suffix's tells one from the other; where it has repeated words of the suffix by then, it was the suffix.
    """
    for at in range(n, len(draft.tokens)):
        written = texts[at + 1][len(texts[n]) :]
        if not suffix.startswith(written) and not written.startswith(suffix):
            return math.log(max(1.0 - math.exp(min(draft.logprobs[at], 0.0)), UNSURE)) if at > n else 0.0
        if WORD.search(written):
            break
    return 0.0


def _inside_token(before: str, text: str, n: int, score: float, suffix: str) -> list[End]:
    """Ends inside the nth token: the rest of it begins the suffix, as `))` does where the suffix has one of them."""
    piece = text[len(before) :] if text.startswith(before) else ""
    cuts = (i for i in range(1, len(piece)) if piece[i:].strip() and suffix.startswith(piece[i:]))
    return [End(before + piece[:i], n, score, whole=False) for i in cuts]


def following_tokens(vocabulary: Vocabulary, suffix: str, line: bool) -> npt.NDArray[np.int64]:
    """Tokens that begin what follows the middle: those that the suffix begins with, and line breaks that end a line."""
    start = suffix[:24].encode("utf-8", "replace")
    ids = set(vocabulary.beginnings(start))
    if line and suffix[:1] in ("", "\n", "\r"):
        ids |= vocabulary.line_breaks
    return np.array(sorted(ids), dtype=np.int64)


def repeats(text: str, suffix: str) -> bool:
    """Whether a draft has begun to write the suffix again, far enough that it will not be chance."""
    # Whatever it has repeated, its last characters are among the suffix's first.
    if len(text) < REPEATED or text[-1].isspace() or text[-REPEATED:] not in suffix[: 4 * REPEATED]:
        return False
    start = max(0, len(text) - 4 * REPEATED)
    tails = (text[i:] for i in range(start, len(text) - REPEATED + 1))
    return any(suffix.startswith(tail) and len(tail.strip()) >= REPEATED for tail in tails)


def cut_at_line(text: str) -> str:
    """`text` before its first line break."""
    at = text.find("\n")
    return text if at < 0 else text[:at].removesuffix("\r")


def cut_at_dedent(text: str, base: int, clauses: tuple[str, ...] = ()) -> str:
    """`text` before its first line (not the one the cursor is on) that is indented by less than `base`.

    Where that first line is a header, one column to the left of `base` at least, lines in its column that begin with
    one of `clauses` go on with the same statement.
    """
    offset = text.find("\n")
    while offset >= 0:
        stop = text.find("\n", offset + 1)
        line = text[offset + 1 : stop if stop >= 0 else len(text)]
        code, width = line.strip(), len(line) - len(line.lstrip())
        # The last line may be half of what it will be.
        clause = code.startswith(clauses) or (stop < 0 and any(c.startswith(code) for c in clauses))
        if code and width < base and not (clause and width == base - 1):
            return text[:offset].rstrip()
        offset = stop
    return text


def body_indent(prefix: str) -> int:
    """Columns that a line must be indented by to belong to the block at the cursor."""
    line = prefix[prefix.rfind("\n") + 1 :]
    width = len(line) - len(line.lstrip())
    return width if not line.strip() else width + 1


def with_line_breaks_of(text: str, prefix: str, suffix: str) -> str:
    """`text` with CRLF line breaks where the file around it has them."""
    at = prefix.rfind("\n")
    near = prefix[at - 1 : at + 1] if at > 0 else suffix[max(suffix.find("\n") - 1, 0) :][:2]
    return text.replace("\r\n", "\n").replace("\n", "\r\n") if near == "\r\n" else text
