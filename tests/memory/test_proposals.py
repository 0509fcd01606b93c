"""Drafts that cost no noise: where they come from, how long they are, and how far they are relied on."""

from __future__ import annotations

import pytest

from engine.memory import Memory, Proposal, as_sure, look_back
from engine.memory.proposal import IN_WINDOW, IN_WORKSPACE, behind_match
from engine.recollection import Recollection
from engine.types import CompleteRequest
from engine.verified import DraftPolicy
from engine.vocabulary import Vocabulary
from engine.window import Window

SEVERAL_LINES = """def restock(warehouse, region):
    warehouse.open()
    rows = warehouse.quarterly_figures(region, limit=42)
    warehouse.check(rows, strict=True)
    warehouse.close()
    return rows
"""


def test_the_window_proposes_what_followed_its_longest_match():
    known = [1, 2, 3, 4, 50, 9, 3, 4, 60, 61, 7, 2, 3, 4]
    found = look_back(known)
    assert found.tokens == [50, 9, 3, 4, 60, 61, 7, 2, 3, 4], "not the later place, which shares less"
    assert found.length == 3
    assert look_back([1, 2, 1, 3, 1]).tokens[0] == 3, "of equals, the later place"
    assert look_back([1, 2, 3]) == Proposal([], [])
    assert look_back([]) == Proposal([], [])
    assert look_back([5, 5]).tokens == [5]


@pytest.mark.parametrize("curve", [IN_WORKSPACE, IN_WINDOW])
def test_a_longer_match_holds_longer_and_every_token_that_held_lengthens_it(curve):
    chances = behind_match([7] * 40, 1, curve).chances
    assert chances == sorted(chances)
    assert chances[3:] == behind_match([7] * 37, 4, curve).chances
    assert chances[0] < chances[-1] < 1


def test_a_proposal_is_drafted_as_far_as_its_rows_pay():
    chances = [0.8] * 40
    dear, fair, free = (DraftPolicy(0, cost).worth(chances) for cost in (0.6, 0.1, 0.0))
    assert 1 <= dear < fair < free == 40
    assert DraftPolicy(0, 0.3).worth([0.2, 0.9]) == 0, "one that hardly holds costs more than it promises"
    assert DraftPolicy(0, 0.1).worth([0.3, 0.95, 0.95, 0.95]) == 4, "but may open the way to those behind it"
    assert DraftPolicy(0, 0.1).worth([]) == 0
    assert as_sure([1, 2], 0.25).chances == [0.5, 0.5]


@pytest.fixture
def memory(vocabulary: Vocabulary):
    m = Memory(vocabulary)
    m.remember("shop/stock.py", SEVERAL_LINES)
    yield m
    m.close()


@pytest.mark.parametrize("block", [True, False])
def test_a_long_match_proposes_whole_lines_of_a_block_and_one_line_where_a_line_is_wanted(
    memory, vocabulary, block, monkeypatch
):
    monkeypatch.setattr("engine.recollection._lines", lambda *_: [])
    at = SEVERAL_LINES.index("open")
    prefix = SEVERAL_LINES[:at]
    left = vocabulary.encode(prefix)
    window = Window([-1, *left, -2], b"", left)
    view = memory.view("python", "shop/new.py", prefix, "", 0)
    recollection = Recollection(vocabulary, view, CompleteRequest(prefix, "", "python"), window, block=block)
    found = vocabulary.decode(recollection.propose(window.ids).tokens)
    assert found == SEVERAL_LINES[at:] if block else found.rstrip(" ") == "open()\n"
