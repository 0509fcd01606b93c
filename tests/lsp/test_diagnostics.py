"""Broken code: marked when it rests, never in a valid file, each problem with a verified fix known in advance."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from lsprotocol import types as t

import grammars
from lsp_server.diagnosis import Diagnosis
from tests.lsp.editor import Editor

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parent.parent.parent
BROKEN = {
    "python": ("def add(a, b)<|>\n    return a + b\n", "def add(a, b):\n    return a + b\n"),
    "javascript": ("const add = (a, b) => {\n  return (a + b<|>;\n};\n", None),
    "typescript": ("interface Point {\n  x: number;\n  y: number;<|>\n", None),
    "typescriptreact": ("const a = <div>{items.map((i) => <b key={i}>{i}</b>}</div>;<|>\n", None),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient(tmp_path_factory: pytest.TempPathFactory, engine_home: Path) -> AsyncIterator[Editor]:
    """A session in which nothing ever rests: what is marked or withdrawn there is so for another reason."""
    settings = {"diagnostics": {"restMs": 60_000}, "memory": {"enable": False}}
    running = await Editor.start(tmp_path_factory.mktemp("patient"), settings)
    yield running
    await running.stop()


async def rest(editor: Editor, seconds: float = 1.6) -> None:
    await asyncio.sleep(seconds)


@pytest.mark.parametrize("language", BROKEN)
async def test_broken_code_is_marked_and_has_a_preferred_fix_that_mends_it(editor: Editor, language: str) -> None:
    marked, wanted = BROKEN[language]
    buffer = editor.open(marked, language)
    await editor.until(lambda: buffer.diagnostics)
    problem = buffer.diagnostics[0]
    assert problem.source == "remask"
    assert problem.severity == t.DiagnosticSeverity.Error
    at = buffer.offset(problem.range.start)
    fixes = await buffer.fixes(at)
    assert [f.is_preferred for f in fixes].count(True) == 1
    assert fixes[0].is_preferred
    assert fixes[0].kind == t.CodeActionKind.QuickFix
    assert fixes[0].diagnostics
    assert fixes[0].edit is not None
    buffer.apply(fixes[0].edit)
    found = grammars.language_id(language)
    assert found is not None
    assert not found.parse(buffer.text).broken
    assert wanted is None or buffer.text == wanted
    await editor.until(lambda: not buffer.diagnostics)


async def test_each_of_several_problems_has_its_own_fix_and_one_action_fixes_all(editor: Editor) -> None:
    good = (ROOT / "engine" / "differences.py").read_text(encoding="utf-8")
    first, last = good.index("):\n") if "):\n" in good else good.index(":\n"), good.rindex("return ")
    bad = good.replace(" -> list[Edit]:", " -> list[Edit]", 1)
    assert bad != good
    bad += "\n\ndef other(a, b:\n    return [a, b\n"
    del first, last
    buffer = editor.open(bad)
    await editor.until(lambda: len(buffer.diagnostics) >= 2)
    assert await buffer.fixes(bad.index(" -> list[Edit]"))
    assert await buffer.fixes(bad.index("def other"))
    (everything,) = await buffer.actions(0, ["source.fixAll"])
    assert everything.kind == "source.fixAll.remask"
    assert everything.edit is not None
    buffer.apply(everything.edit)
    assert not grammars.get("python").parse(buffer.text).broken
    await editor.until(lambda: not buffer.diagnostics)


@pytest.mark.parametrize("path", ["engine/sampler.py", "grammars/lexer.py", "lsp_server/settings.py"])
async def test_a_valid_file_never_gets_a_diagnostic(editor: Editor, path: str) -> None:
    buffer = editor.open((ROOT / path).read_text(encoding="utf-8"))
    buffer.edit(0, 0, "# a change\n")
    await rest(editor)
    assert buffer.diagnostics == []
    assert await buffer.actions(0) == []


async def test_the_statement_being_typed_is_marked_only_when_it_rests(editor: Editor) -> None:
    buffer = editor.open("def f(a):\n    return a\n\n\n<|>\n")
    typed, rested = time.monotonic(), 0.0  # a machine that is busy may let it rest between two characters
    for character in "print((1":
        rested = max(rested, time.monotonic() - typed)
        typed = time.monotonic()
        buffer.type(character)
        await asyncio.sleep(0.05)
        assert buffer.diagnostics == [] or max(rested, time.monotonic() - typed) >= 1.0
    await editor.until(lambda: buffer.diagnostics)
    assert max(rested, time.monotonic() - typed) >= 1.0, "it had not rested yet"
    assert buffer.diagnostics[0].range.start.line == 4


async def test_leaving_the_statement_marks_it_at_once(patient: Editor) -> None:
    buffer = patient.open("a = 1\nb = 2\nc = 3\nd = 4\n\n\n<|>\n")
    buffer.type("print((1")
    await asyncio.sleep(0.4)
    assert buffer.diagnostics == []
    await buffer.actions(0)  # the cursor is in the first line now
    await patient.until(lambda: buffer.diagnostics, 20)


async def test_a_problem_that_was_shown_stays_while_something_else_is_typed(patient: Editor) -> None:
    buffer = patient.open("def f(a)\n    return a\n\n\n<|>\n")
    await patient.until(lambda: buffer.diagnostics)
    for character in "x = 1":
        buffer.type(character)
        await asyncio.sleep(0.1)
        assert [d.range.start.line for d in buffer.diagnostics] == [0]


async def test_a_problem_mended_by_hand_is_withdrawn_at_once(patient: Editor) -> None:
    buffer = patient.open("def f(a)<|>\n    return a\n")
    await patient.until(lambda: buffer.diagnostics)
    buffer.type(":")
    await patient.until(lambda: not buffer.diagnostics, 20)


async def test_fixes_for_an_older_text_are_not_offered(editor: Editor) -> None:
    buffer = editor.open("def f(a)<|>\n    return a\n")
    await buffer.fixes(0)
    buffer.edit(0, 0, "import os\n")
    assert await buffer.actions(buffer.text.index("def")) == []
    fix = (await buffer.fixes(buffer.text.index("def")))[0]
    assert fix.edit is not None
    buffer.apply(fix.edit)
    assert "def f(a):" in buffer.text


async def test_closing_a_document_withdraws_its_diagnostics(editor: Editor) -> None:
    buffer = editor.open("def f(a)\n")
    await editor.until(lambda: buffer.diagnostics)
    editor.client.text_document_did_close(t.DidCloseTextDocumentParams(t.TextDocumentIdentifier(buffer.uri)))
    await editor.until(lambda: not buffer.diagnostics)


async def test_keys_are_read_while_problems_are_looked_for() -> None:
    pressed = threading.Event()

    class Slow:
        @property
        def problems(self) -> tuple[str, ...]:
            return ("found",) if pressed.wait(10) else ()

    snapshot: Any = SimpleNamespace(source=Slow())
    looking = asyncio.ensure_future(Diagnosis(snapshot)._problems(snapshot))
    await asyncio.sleep(0.05)
    pressed.set()  # by the loop that a key comes in by
    assert await looking == ["found"]
