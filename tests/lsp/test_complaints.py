"""The twelve groups of complaints that people file against completion tools, one test or more for each.

Those that need no model (2, 3 and 5 in all their variants) are also in test_fitting.py.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from lsprotocol import types as t

import grammars
from lsp_server.server import build
from lsp_server.suggest import Place
from tests.lsp.editor import Buffer, Editor
from tests.service.processes import least_processor_seconds

pytestmark = pytest.mark.asyncio(loop_scope="module")

CODE = '''\
"""A shopping cart."""

from dataclasses import dataclass, field


@dataclass
class Item:
    name: str
    price: float
    count: int = 1

    def total(self) -> float:
        return self.price * self.count


@dataclass
class Cart:
    items: list[Item] = field(default_factory=list)

    def add(self, name: str, price: float, count: int = 1) -> None:
        self.items.append(<|>

    def total(self) -> float:
        return sum(item.total() for item in self.items)
'''


async def suggestion(buffer: Buffer, tries: int = 3) -> t.InlineCompletionItem:
    """The first suggestion; a busy machine may need more than one automatic request."""
    for _ in range(tries):
        if items := await buffer.ask():
            return items[0]
    raise AssertionError(f"no suggestion\n{buffer.editor.log()}")


async def repairs_settled(editor: Editor) -> int:
    """Wait until the engine computes no more of them, for alternatives are computed ahead; how many there were."""
    repairs, before = (await editor.command("remask.stats"))["engine"]["repairs"], -1
    while repairs != before:
        await asyncio.sleep(1.0)
        before, repairs = repairs, (await editor.command("remask.stats"))["engine"]["repairs"]
    return int(repairs)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processor time of another process is read from /proc")
async def test_complaint_1_an_idle_server_and_engine_use_no_processor(editor: Editor) -> None:
    buffer = editor.open(CODE)
    await suggestion(buffer)
    stats = await editor.command("remask.stats")
    assert editor.client._server is not None
    await asyncio.sleep(2)  # diagnostics and the memory settle
    await repairs_settled(editor)
    for name, pid in (("server", editor.client._server.pid), ("engine", stats["engine"]["service"]["pid"])):
        used = await least_processor_seconds(pid, 3.0)
        assert used <= 0.03, f"seconds of processor time in 3 s: {name} {used:.2f}"


async def test_complaint_1_a_slow_answer_is_given_up_at_its_time_limit(engine_home: Path, tmp_path: Path) -> None:
    editor = await Editor.start(tmp_path, {"completion": {"timeoutMs": 50, "maxTokens": 256, "multiline": "always"}})
    try:
        buffer = editor.open("import os\n\n\nclass Everything:\n    <|>\n")
        started = time.monotonic()
        await buffer.ask()
        assert time.monotonic() - started < 10  # a whole class would take far longer
    finally:
        await editor.stop()


async def test_complaint_1_only_the_newest_of_many_requests_is_computed(editor: Editor) -> None:
    buffer = editor.open(CODE)
    await suggestion(buffer)
    computed = await editor.engine_completions()
    buffer.type("zz")
    asked = [asyncio.ensure_future(buffer.ask()) for _ in range(20)]
    answers = await asyncio.gather(*asked)
    assert all(not items for items in answers[:-1])
    assert await editor.engine_completions() - computed <= 3


async def test_complaint_2_a_closer_added_while_typing_along_is_not_doubled(editor: Editor) -> None:
    whole = CODE.replace("append(<|>", "append(Item(name, price, count))")
    for code in (  # what the model says is its own affair: somewhere it calls something
        CODE,
        whole.replace("return sum(item.total() for item in self.items)", "return <|>"),
        whole + "\n    def names(self) -> list[str]:\n        return <|>\n",
        whole + "\n    def show(self) -> None:\n        for item in self.items:\n            <|>\n",
        whole + "\n    def __len__(self) -> int:\n        return <|>\n",
    ):
        buffer = editor.open(code)
        item = await suggestion(buffer)
        if "(" in str(item.insert_text):
            break
    wanted = buffer.with_item(item)
    text = str(item.insert_text)
    assert "(" in text, f"the model says {text!r}: choose another place for this test"
    typed = text[: text.index("(") + 1]
    buffer.type(typed, closer=")")
    rest = await suggestion(buffer)
    assert rest.range is not None
    assert rest.range.end.character - rest.range.start.character == 1
    assert buffer.with_item(rest) == wanted


@pytest.mark.parametrize(
    "code",
    [
        "const app = require('express')();\n\napp.get('/users', (req, res) => <|>);\n",
        "const app = require('express')();\n\napp.get('/users', (req, res) => {<|>});\n",
        "const app = require('express')();\n\napp.get('/users', (req, res) => {\n  <|>\n});\n",
        "const app = require('express')();\n\napp.get('/users', (req, res) => <|>\n",
    ],
)
async def test_complaint_2_a_body_fits_whether_the_editor_closes_brackets_or_not(editor: Editor, code: str) -> None:
    buffer = editor.open(code, "javascript")
    item = await suggestion(buffer)
    after = buffer.with_item(item)
    assert not grammars.get("javascript").parse(after).broken, after
    assert after.count("{") == after.count("}"), after
    assert ";})" not in after, after


async def test_complaint_1_who_types_faster_than_answers_come_gets_lines_and_who_pauses_blocks(editor: Editor) -> None:
    code = "def total(orders):\n    result = 0\n    for order in <|>\n    return result\n"
    item = await suggestion(editor.open(code))
    assert "\n" in str(item.insert_text)
    buffer = editor.open("# another file\n" + code)
    overtaken, answered = await asyncio.gather(buffer.ask(), buffer.ask())
    assert not overtaken
    assert answered
    assert "\n" not in str(answered[0].insert_text)


async def test_complaint_3_no_suggestion_repeats_the_line_that_follows(editor: Editor) -> None:
    lines = CODE.replace("<|>", "Item(name, price, count))").splitlines()
    for row in (12, 22):
        indent = lines[row][: len(lines[row]) - len(lines[row].lstrip())]
        before, after = "\n".join(lines[:row]), "\n".join(lines[row:])
        buffer = editor.open(f"{before}\n{indent}<|>\n{after}\n")
        for item in await buffer.ask():
            shown = [line.strip() for line in str(item.insert_text).splitlines() if line.strip()]
            assert shown[-1] != lines[row].strip()


async def test_complaint_4_and_6_typing_along_never_flickers_and_never_doubles_a_character(editor: Editor) -> None:
    buffer = editor.open(CODE)
    item = await suggestion(buffer)
    wanted, text = buffer.with_item(item), str(item.insert_text).split("\n")[0]
    computed = await editor.engine_completions()
    for character in text[:-1]:
        buffer.type(character)
        started = time.monotonic()
        rest = await buffer.ask()
        assert time.monotonic() - started < 5  # what was computed is counted below
        assert rest, f"the suggestion was gone after typing up to {character!r}"
        assert buffer.with_item(rest[0]) == wanted
    assert await editor.engine_completions() == computed


@pytest.mark.parametrize("step", ["\t", "    ", "  "])
async def test_complaint_5_lines_are_indented_like_the_document(editor: Editor, step: str) -> None:
    whole = CODE.replace("append(<|>", "append(Item(name, price, count))")
    whole += "\n    def is_empty(self) -> bool:\n        <|>\n"
    buffer = editor.open(whole.replace("    ", step))
    items = await buffer.ask(invoked=True)
    assert items
    before = grammars.get("python").parse(buffer.text)
    for item in items:
        text = str(item.insert_text)
        assert not text.startswith((" ", "\t"))
        for line in text.split("\n")[1:]:
            blanks = line[: len(line) - len(line.lstrip())]
            assert blanks.strip(step[0]) == ""
        after = before.replace(buffer.cursor, buffer.cursor, text)
        assert not grammars.is_worse(before, after, buffer.cursor, buffer.cursor + len(text))


async def test_complaint_7_nothing_in_a_comment_unless_asked_by_a_key(editor: Editor) -> None:
    buffer = editor.open("def add(a, b):\n    # add the <|>\n    return a + b\n")
    computed = await editor.engine_completions()
    assert await buffer.ask() == []
    assert await editor.engine_completions() == computed
    await buffer.ask(invoked=True)
    assert await editor.engine_completions() > computed


async def test_complaint_8_nothing_after_a_deletion_or_an_undo_until_typing_resumes(editor: Editor) -> None:
    buffer = editor.open(CODE)
    item = await suggestion(buffer)
    buffer.type(str(item.insert_text)[:3])
    assert await buffer.ask()
    buffer.backspace()
    assert await buffer.ask() == []
    buffer.type(str(item.insert_text)[2])
    assert await buffer.ask()
    at = buffer.cursor
    buffer.edit(at - 12, at, "")
    whole = CODE.replace("<|>", str(item.insert_text)[:3])
    buffer.edit(at - 12, at - 12, whole[at - 12 : at])  # what an undo sends
    assert buffer.text == whole
    assert await buffer.ask() == []


async def test_complaint_9_files_that_hold_secrets_are_never_read(editor: Editor) -> None:
    (editor.folder / ".gitignore").write_text("private/\n")
    (editor.folder / ".git").mkdir(exist_ok=True)
    created = t.FileEvent((editor.folder / ".gitignore").as_uri(), t.FileChangeType.Created)
    editor.client.workspace_did_change_watched_files(t.DidChangeWatchedFilesParams([created]))
    computed = await editor.engine_completions()
    for name in (".env", "secrets.py", "id_rsa.py", "private/settings.py"):
        buffer = editor.open("TOKEN = <|>\n", name=name)
        assert await buffer.ask() == []
        assert await buffer.ask(invoked=True) == []
    assert await editor.engine_completions() == computed


async def test_complaint_9_a_suggestion_with_a_secret_is_withheld() -> None:
    suggester = build().session.suggester
    source = grammars.get("python").parse("password = \n")
    place = Place(source, 11, (11, 11))
    said = (('"hunter2-Zk31x9Q"', 0.9), ("os.environ['PASSWORD']", 0.8))
    assert [s.text for s in suggester._fitted(place, said, 0)] == ["os.environ['PASSWORD']"]


async def test_complaint_10_a_suggestion_goes_on_from_the_item_selected_in_the_popup(editor: Editor) -> None:
    buffer = editor.open(CODE.replace("append(<|>", "app<|>"))
    start = buffer.cursor - 3
    selected = t.SelectedCompletionInfo(buffer.range(start, buffer.cursor), "append")
    item = (await buffer.ask(invoked=True, selected=selected))[0]
    assert str(item.insert_text).startswith("append")
    assert item.range is not None
    assert buffer.offset(item.range.start) == start
    assert not grammars.get("python").parse(buffer.with_item(item)).broken


async def test_complaint_11_code_actions_are_answered_at_once_and_compute_nothing(editor: Editor) -> None:
    buffer = editor.open(CODE.replace("<|>", "").replace("self) -> float:", "self) -> float", 1))
    started = time.monotonic()
    await buffer.actions(buffer.text.index("-> float"), ["source.fixAll"])
    assert time.monotonic() - started < 5  # what was computed is counted below
    await buffer.fixes(buffer.text.index("-> float"))
    repairs = await repairs_settled(editor)
    for _ in range(20):
        assert await buffer.actions(buffer.text.index("-> float"))
    assert (await editor.command("remask.stats"))["engine"]["repairs"] == repairs


async def test_complaint_12_an_answer_for_an_older_version_is_never_sent(editor: Editor) -> None:
    buffer = editor.open(CODE.replace("append(<|>", "<|>"))
    stale = asyncio.ensure_future(buffer.ask(invoked=True))
    await asyncio.sleep(0)  # it is sent, and the answer cannot be there yet
    buffer.type("zzz = ")
    assert await stale == []
    for item in await buffer.ask(invoked=True):
        assert buffer.with_item(item).startswith(buffer.text[: buffer.cursor])
