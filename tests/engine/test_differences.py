"""The smallest edits between two texts, found in time that grows with the texts alone."""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import differences
from engine.differences import MAX_PAIRS, applied, edits_between

CHARACTERS = st.text(alphabet="ab _(\n\r", max_size=30)


@given(old=CHARACTERS, new=CHARACTERS)
def test_edits_turn_one_text_into_the_other_and_do_not_touch(old: str, new: str) -> None:
    edits = edits_between(old, new)
    assert applied(old, edits) == new
    assert all(old[e.start : e.end] == e.old for e in edits)
    assert all(a.end < b.start for a, b in pairwise(edits))


def test_lines_that_became_as_many_others_are_compared_one_by_one() -> None:
    old = "".join(f"value_{n} = load(items, {n})\n" for n in range(400))
    edits = edits_between(old, old.replace("load", "read").replace(")", "]"))
    assert [(e.old, e.new) for e in edits] == [("load", "read"), (")", "]")] * 400


@pytest.mark.parametrize("lines", [5, 60])
def test_no_more_tokens_are_compared_than_a_bound(monkeypatch: pytest.MonkeyPatch, lines: int) -> None:
    compared: list[int] = []

    class Noted(SequenceMatcher):
        def __init__(self, junk: None, a: list[str], b: list[str], autojunk: bool) -> None:
            if a and not a[0].endswith("\n"):
                compared.append(len(a) * len(b))
            super().__init__(junk, a, b, autojunk)

    monkeypatch.setattr(differences, "SequenceMatcher", Noted)
    old = "".join(f"value_{n} = load(items, {n})\n" for n in range(lines))
    new = old.replace("load", "read") + "one more\n"
    edits = edits_between(old, new)
    assert applied(old, edits) == new
    assert all(pairs <= MAX_PAIRS for pairs in compared)
    assert bool(compared) is (lines == 5)
    assert (len(edits) == 1) is (lines == 60)
