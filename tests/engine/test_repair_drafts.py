"""What a draft makes of its lines: line breaks are those of the file, whatever the denoiser wrote."""

from __future__ import annotations

import pytest

import grammars
from engine.cancellation import CancelToken
from engine.core import Engine
from engine.repair_drafts import Drafter, Span
from grammars import Fault
from grammars.lexer import Lines

LINES = ("def f(a):", "    x = (a", "    y = 2", "    return x", "")
WRITTEN = {0: "def f(b):", 1: "    x = (a)", 2: "    y = 3"}


@pytest.fixture
def drafter(engine: Engine) -> Drafter:
    r = engine.repairer
    return Drafter(r.vocabulary, r.windows, r.caches, r.denoiser, None, CancelToken(), None)


@pytest.mark.parametrize("row", WRITTEN)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("told", ["\n", "\r\n"])
def test_a_draft_has_the_line_breaks_of_its_unit_and_no_more(
    drafter: Drafter, row: int, newline: str, told: str
) -> None:
    unit = newline.join(LINES)
    lines = Lines(unit)
    widest, span = Span(0, lines.span(2)[1]), Span(*lines.span(row))
    draft = drafter._draft(unit, widest, span, 0.0, 0)
    lead = told if row else ""  # behind lines that are kept, the break before it is written as well
    draft.branch.tokens += drafter.vocabulary.encode(lead + WRITTEN[row] + told)
    assert not drafter.vocabulary.decode(draft.branch.begin).endswith("\r")
    after, end = drafter._after(unit, draft)
    assert after == newline.join(WRITTEN[n] if n == row else line for n, line in enumerate(LINES))
    assert after[:end].endswith(WRITTEN[row])


@pytest.mark.parametrize("row", [1, 2])
@pytest.mark.parametrize("lead", ["", "\n"])
@pytest.mark.parametrize("told", ["\n", "\r\n"])
def test_the_same_tokens_go_back_to_noise_whatever_the_line_breaks_are(
    drafter: Drafter, row: int, lead: str, told: str
) -> None:
    written = ["def f(a):", "    x = a + b + c", "    y = 2 + 3 + 4"]
    written[row] = written[row].replace(" + ", ") + ", 1)
    masked = []
    for newline in ("\n", "\r\n"):
        unit = newline.join(LINES)
        widest = Span(0, Lines(unit).span(2)[1])
        draft = drafter._draft(unit, widest, widest, 0.0, 0)
        draft.branch.tokens += drafter.vocabulary.encode(lead + told.join(written))
        fault = Fault(0, len(unit), grammars.site_of(grammars.get("python"), unit))
        masked.append(drafter._masked(fault, draft, 0)[1])
    assert masked[0] == masked[1]
    assert None not in (masked[0][0], masked[0][-1])


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_draft_of_several_lines_has_the_line_breaks_of_its_unit(drafter: Drafter, newline: str) -> None:
    unit = newline.join(LINES)
    widest = Span(0, Lines(unit).span(2)[1])
    draft = drafter._draft(unit, widest, widest, 0.0, 0)
    draft.branch.tokens += drafter.vocabulary.encode("def f(a):\n    x = (a)\r\n    y = 2\n")
    assert drafter._after(unit, draft)[0] == unit.replace("(a" + newline, "(a)" + newline)
