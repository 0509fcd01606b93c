"""The smallest edits between two texts, found in time that grows with the texts alone."""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import differences
from engine.differences import MAX_LINES, MAX_PAIRS, PLACE, _fewest, applied, edits_between

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


def noted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[str]]]:
    """What is compared from here on without the shortcuts of `difflib`."""
    compared: list[tuple[list[str], list[str]]] = []

    class Noted(SequenceMatcher):
        def __init__(self, junk: None, a: list[str], b: list[str], autojunk: bool) -> None:
            compared.append((a, b))
            super().__init__(junk, a, b, autojunk)

    monkeypatch.setattr(differences, "SequenceMatcher", Noted)
    return compared


def test_changes_far_apart_among_lines_that_repeat_are_found_without_comparing_those(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = noted(monkeypatch)
    lines = ["rows = [\n", *["    {\n", '        "name": "x",\n', '        "size": 1,\n', "    },\n"] * 2750, "]\n"]
    broken = lines.copy()
    broken[6] = '        "name": x",\n'
    del broken[-7]
    broken[-3] = '        "size" 1,\n'
    old, new = "".join(broken), "".join(lines)
    edits = edits_between(old, new)
    assert applied(old, edits) == new
    assert [(e.old, e.new.strip()) for e in edits] == [("", '"'), ("", '"size": 1,'), ("", ":")]
    assert all(len(a) <= PLACE for a, _ in compared)


@pytest.mark.parametrize("removed", [0, 3])
def test_more_changes_than_are_looked_for_are_told_too(removed: int) -> None:
    lines = [f"value_{n} = load(items, {n % 7})\n" for n in range(3 * MAX_LINES)]
    old = "".join(lines)
    new = "".join(line.replace("load", "read") if n % 2 else line for n, line in enumerate(lines[removed:]))
    edits = edits_between(old, new)
    assert applied(old, edits) == new
    assert len(edits) >= (len(lines) - removed) // 2


@given(
    old=st.lists(st.sampled_from("abc"), max_size=40),
    new=st.lists(st.sampled_from("abc"), max_size=40),
)
def test_the_fewest_lines_are_changed(old: list[str], new: list[str]) -> None:
    runs = _fewest(old, new)
    assert runs is not None
    assert all(a[1] < b[0] and a[3] < b[2] for a, b in pairwise(runs))
    made, at = [], 0
    for i1, i2, j1, j2 in runs:
        made += [*old[at:i1], *new[j1:j2]]
        at = i2
    assert made + old[at:] == new
    longest = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i, a in enumerate(old):
        for j, b in enumerate(new):
            longest[i + 1][j + 1] = longest[i][j] + 1 if a == b else max(longest[i][j + 1], longest[i + 1][j])
    changed = sum(i2 - i1 + j2 - j1 for i1, i2, j1, j2 in runs)
    assert changed == len(old) + len(new) - 2 * longest[-1][-1]


@pytest.mark.parametrize("lines", [5, 60])
def test_no_more_tokens_are_compared_than_a_bound(monkeypatch: pytest.MonkeyPatch, lines: int) -> None:
    compared = noted(monkeypatch)
    old = "".join(f"value_{n} = load(items, {n})\n" for n in range(lines))
    new = old.replace("load", "read") + "one more\n"
    edits = edits_between(old, new)
    assert applied(old, edits) == new
    tokens = [len(a) * len(b) for a, b in compared if a and not a[0].endswith("\n")]
    assert all(pairs <= MAX_PAIRS for pairs in tokens)
    assert bool(tokens) is (lines == 5)
    assert (len(edits) == 1) is (lines == 60)
