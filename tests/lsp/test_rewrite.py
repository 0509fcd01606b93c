"""Rewriting a selection: offered without computing, computed when chosen, verified, shown before it is applied."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types as t

import grammars
from engine import BadRequestError
from engine.core import Engine
from engine.types import RewriteRequest
from tests.lsp.editor import Buffer, Editor

CODE = """\
class Cart:
    def __init__(self):
        self.items = []

    def add(self, name, price, count=1):
        self.items.append((name, price, count))

    def total(self):
        return sum(price * count for name, price, count in self.items)
"""
LINE = "return sum(price * count for name, price, count in self.items)"


async def offers(buffer: Buffer, selected: str, only: list[str] | None = None) -> list[t.CodeAction]:
    start = buffer.text.index(selected)
    params = t.CodeActionParams(
        t.TextDocumentIdentifier(buffer.uri),
        buffer.range(start, start + len(selected)),
        t.CodeActionContext([], only=only),
    )
    found = await buffer.editor.client.text_document_code_action_async(params)
    return [a for a in found or [] if isinstance(a, t.CodeAction)]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_selection_is_offered_three_degrees_and_a_chosen_one_is_a_verified_edit(editor: Editor) -> None:
    buffer = editor.open(CODE)
    found = await offers(buffer, LINE)
    assert [a.kind for a in found] == [f"refactor.rewrite.remask.{d}" for d in ("light", "half", "full")]
    assert all(a.edit is None for a in found), "offers cost nothing"
    resolved = found[2]
    for action in reversed(found):  # the model may have nothing else to say at one degree
        resolved = await editor.client.code_action_resolve_async(action)
        if resolved.edit is not None:
            break
    assert resolved.edit is not None
    before, after = CODE.split(LINE)
    buffer.apply(resolved.edit)
    assert buffer.text.startswith(before)
    assert buffer.text.endswith(after)
    assert buffer.text != CODE
    assert not grammars.get("python").parse(buffer.text).broken


@pytest.mark.asyncio(loop_scope="module")
async def test_an_offer_for_an_older_text_comes_to_nothing(editor: Editor) -> None:
    buffer = editor.open(CODE)
    found = await offers(buffer, LINE, ["refactor"])
    buffer.edit(0, 0, "import os\n")
    resolved = await editor.client.code_action_resolve_async(found[0])
    assert resolved.edit is None


@pytest.mark.asyncio(loop_scope="module")
async def test_no_rewrite_is_offered_without_a_selection_or_for_other_kinds(editor: Editor) -> None:
    buffer = editor.open(CODE)
    assert await buffer.actions(buffer.text.index(LINE)) == []
    assert await offers(buffer, LINE, ["quickfix"]) == []
    assert await offers(buffer, "\n\n    def add") != []
    assert await offers(buffer, "\n\n") == []


@pytest.mark.parametrize("degree", ["light", "half", "full"])
def test_a_rewrite_changes_only_the_selection_and_never_breaks_the_file(engine: Engine, degree: str) -> None:
    start = CODE.index(LINE)
    answer = engine.run_rewrite(RewriteRequest(CODE, start, start + len(LINE), "python", degree))
    if answer.edit is not None:
        edit = answer.edit
        assert start <= edit.start <= edit.end <= start + len(LINE)
        assert CODE[edit.start : edit.end] == edit.old != edit.new
        assert not grammars.get("python").parse(CODE[: edit.start] + edit.new + CODE[edit.end :]).broken
    assert answer.steps > 0
    if degree != "light":
        return
    again = engine.run_rewrite(RewriteRequest(CODE, start, start + len(LINE), "python", degree))
    assert again.edit == answer.edit


@pytest.mark.parametrize(
    ("start", "end", "degree", "said"),
    [
        (0, 3, "wild", "choose one of light, half, full"),
        (5, 3, "half", "not inside"),
        (0, 9999, "half", "not inside"),
        (11, 12, "half", "nothing to rewrite"),
    ],
)
def test_an_impossible_selection_is_named(engine: Engine, start: int, end: int, degree: str, said: str) -> None:
    with pytest.raises(BadRequestError, match=said):
        engine.run_rewrite(RewriteRequest(CODE, start, end, "python", degree))


def test_a_selection_that_is_too_long_is_named(engine: Engine) -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    with pytest.raises(BadRequestError, match="at most"):
        engine.run_rewrite(RewriteRequest(text, 0, len(text), "python", "half"))
