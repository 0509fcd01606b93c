"""Suggestions counted locally, alternatives, and the commands that tell of both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.main import main
from lsp_server.counters import Counters
from tests.lsp.editor import Editor

pytestmark = pytest.mark.asyncio(loop_scope="module")

CODE = (
    "class Cart:\n    def __init__(self):\n        self.items = []\n\n    def is_empty(self):\n        return len(<|>\n"
)


async def session_counts(editor: Editor) -> dict[str, int]:
    return dict((await editor.command("remask.stats"))["session"])


async def test_an_accepted_suggestion_is_counted_once_and_a_rejected_one_as_such(editor: Editor) -> None:
    before = await session_counts(editor)
    buffer = editor.open(CODE)
    item = (await buffer.ask(invoked=True))[0]
    text = str(item.insert_text)
    buffer.edit(buffer.cursor, buffer.cursor, text)
    assert item.command is not None
    await editor.command(item.command.command, *(item.command.arguments or []))
    counts = await session_counts(editor)
    assert counts["shown"] - before["shown"] == 1
    assert counts["accepted"] - before["accepted"] == 1
    assert counts["characters accepted"] - before["characters accepted"] == len(text)
    buffer = editor.open(CODE)
    assert await buffer.ask(invoked=True)
    buffer.type("zzz")
    counts = await session_counts(editor)
    assert counts["rejected"] - before["rejected"] == 1


async def test_alternatives_differ_and_each_fits(editor: Editor) -> None:
    buffer = editor.open(CODE)
    items = await buffer.ask(invoked=True)
    texts = [str(i.insert_text) for i in items]
    assert len(set(texts)) == len(texts) <= 2
    assert all(buffer.with_item(i).endswith("\n") for i in items)


@pytest.mark.parametrize(
    "arguments", [[], [None], [5, {"a": 1}], ["no such language"], [["x"]], [{"uri": 1}], ["file:///not/open.py"]]
)
@pytest.mark.parametrize("command", ["remask.accepted", "remask.partlyAccepted", "remask.source", "remask.rewrite"])
async def test_commands_take_whatever_they_are_given(editor: Editor, command: str, arguments: list[object]) -> None:
    await editor.command(command, *arguments)
    assert "Traceback" not in editor.log()


async def test_doctor_answers_in_the_editor(editor: Editor) -> None:
    answer = await editor.command("remask.doctor")
    assert answer["problems"] == []
    assert "device" in answer["facts"]


async def test_the_command_line_shows_the_counts_and_resets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "counters.jsonl"
    monkeypatch.setenv("REMASK_COUNTERS", str(path))
    assert main(["stats"]) == 0
    assert "Nothing was counted yet" in capsys.readouterr().out
    counters = Counters(path)
    counters.count("shown", "python", 4)
    counters.count("accepted", "python", 3)
    counters.count("rejected", "python")
    counters.flush()
    assert main(["stats", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["languages"]["python"]["shown"] == 4
    assert main(["stats"]) == 0
    shown = capsys.readouterr().out
    assert "75%" in shown
    assert main(["stats", "--reset"]) == 0
    assert not path.exists()
