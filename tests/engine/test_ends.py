"""Ends of drafts, from made-up probabilities: which one is likeliest, and why."""

from __future__ import annotations

import math
from functools import partial

import pytest

from engine.checkpoint import Checkpoint
from engine.ends import cut_at_dedent, cut_at_line, ends, following_tokens, repeats, with_line_breaks_of
from engine.sampler import Draft
from engine.vocabulary import Vocabulary
from grammars.registry import PYTHON

VOCABULARY = Vocabulary(Checkpoint().tokenizer_file)


def drafted(pieces: list[str], stops: list[float], follows: list[float] | None = None, each: float = 0.9) -> Draft:
    """A draft of these tokens, each with probability `each`; chances of `<end>` and of the suffix at every place."""
    follows = follows or [1e-9] * len(stops)
    return Draft(
        tokens=list(range(len(pieces))),
        logprobs=[math.log(each)] * len(pieces),
        steps=1,
        ended=len(stops) > len(pieces),
        end_logprobs=[math.log(p) for p in stops],
        follow_logprobs=[math.log(p) for p in follows],
    )


def best(pieces: list[str], draft: Draft, suffix: str, line: bool = True, base: int = 0) -> str:
    texts = ["".join(pieces[:n]) for n in range(len(pieces) + 1)]
    cut = cut_at_line if line else partial(cut_at_dedent, base=base)
    return ends(draft, texts, 0, suffix, cut)[0].text


def test_a_middle_ends_where_the_model_says_so():
    pieces = ["a", ".", "b"]
    assert best(pieces, drafted(pieces, [1e-4, 1e-4, 1e-4, 0.9]), "\n") == "a.b"


def test_writing_the_suffix_is_as_good_as_saying_end():
    pieces = ["width", ", ", "height", ")"]
    draft = drafted(pieces, [1e-4] * 4, [1e-4, 0.9, 1e-4, 0.01])
    assert best(pieces, draft, ", height)\n") == "width"


def test_what_begins_like_the_suffix_and_turns_away_is_no_end():
    pieces, suffix = ["(", "user", ")", " =>", " {"], ")\n"
    chances = drafted(pieces, [1e-4] * 5 + [0.9], [1e-4, 1e-4, 0.99, 1e-4, 1e-4, 1e-4], each=0.97)
    assert best(pieces, chances, suffix) == "(user) => {"
    # Unless the draft was not sure of it, or went on with words of the suffix first.
    chances = drafted(pieces, [1e-4] * 5 + [0.4], [1e-4, 1e-4, 0.99, 1e-4, 1e-4, 1e-4], each=0.3)
    assert best(pieces, chances, suffix) == "(user"
    pieces, suffix = ["{ a }", " from", " '../x'"], " from './y'\n"
    chances = drafted(pieces, [1e-4] * 3 + [0.9], [1e-4, 0.6, 1e-4, 1e-4], each=0.97)
    assert best(pieces, chances, suffix) == "{ a }"


def test_a_token_that_reaches_into_the_suffix_is_cut():
    pieces = ["call", "(", "x", "))"]
    assert best(pieces, drafted(pieces, [1e-5] * 4), ")\n") == "call(x)"


def test_a_line_ends_at_its_break_and_a_crlf_goes_with_it():
    pieces = ["x", " = 1\r\n", "y"]
    found = best(pieces, drafted(pieces, [1e-6] * 3), "\r\nz")
    assert found == "x = 1"


def test_a_block_ends_where_a_line_begins_left_of_it():
    pieces = ["return", " x", "\n", "print"]
    found = best(pieces, drafted(pieces, [1e-6] * 4), "\n\ny = 2\n", line=False, base=4)
    assert found == "return x"


def test_no_end_before_healing_has_spelled_the_name():
    pieces = ["he", "ight"]
    draft = drafted(pieces, [0.9, 0.01, 0.9])
    assert ends(draft, ["", "", "ght"], 2, "\n", cut_at_line)[0].text == "ght"


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        ("a\n    b\nc", 4, "a\n    b"),
        ("a\n\n    b", 4, "a\n\n    b"),
        ("a\n  b", 4, "a"),
        ("a\n\tb\n", 1, "a\n\tb\n"),
    ],
)
def test_cutting_at_a_dedent(text: str, base: int, expected: str):
    assert cut_at_dedent(text, base) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x:\n        a\n    b", "x:\n        a"),
        ("x:\n        a\n    else:\n        b\n    c", "x:\n        a\n    else:\n        b"),
        ("x:\n        a\n    el", None),
        ("x:\n        a\n    elsewhere = 1", "x:\n        a"),
        ("x:\n        a\nel", "x:\n        a"),
        ("x:\n        a\nelse:\n    b", "x:\n        a"),
        ("try:\n        a\n\n    except OSError:\n        b", None),
    ],
)
def test_cutting_behind_a_statement_that_the_text_begins(text: str, expected: str | None):
    assert cut_at_dedent(text, 5, PYTHON.clauses) == (text if expected is None else expected)


def test_cutting_at_a_line():
    assert cut_at_line("a\r\nb") == "a"
    assert cut_at_line("a") == "a"


def test_a_draft_that_writes_the_suffix_again_is_noticed_and_a_common_word_is_not():
    suffix = "self.height = height\n"
    assert repeats("self.width = width\n        self.height = h", suffix)
    assert not repeats("return self.", suffix)
    assert not repeats("", suffix)


def test_tokens_that_begin_the_suffix_and_line_breaks_that_end_a_line():
    spelled = {VOCABULARY.bytes[t] for t in following_tokens(VOCABULARY, ", height)\n", True)}
    assert b"," in spelled
    assert all(b", height)\n".startswith(piece) for piece in spelled)
    breaks = {VOCABULARY.bytes[t] for t in following_tokens(VOCABULARY, "\n    x", True)}
    assert all(piece.startswith((b"\n", b"\r\n")) for piece in breaks)
    assert b"\n\n" in breaks
    assert not following_tokens(VOCABULARY, "", False).size


def test_line_breaks_are_those_of_the_file():
    assert with_line_breaks_of("a\nb", "x\r\n", "") == "a\r\nb"
    assert with_line_breaks_of("a\r\nb", "x\r\n", "") == "a\r\nb"
    assert with_line_breaks_of("a\nb", "", "\r\ny") == "a\r\nb"
    assert with_line_breaks_of("a\nb", "x\n", "\ny") == "a\nb"
    assert with_line_breaks_of("a\nb", "", "") == "a\nb"
