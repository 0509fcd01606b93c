"""What of the workspace the engine is told; its own process, with a memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from lsprotocol import types as t

from lsp_server import workspace_memory
from lsp_server.sources import origins
from tests.lsp.editor import Editor

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def editor(tmp_path_factory: pytest.TempPathFactory, engine_home: Path) -> AsyncIterator[Editor]:
    folder = tmp_path_factory.mktemp("workspace")
    (folder / ".git").mkdir()
    (folder / ".gitignore").write_text("generated/\n")
    (folder / "generated").mkdir()
    (folder / "node_modules" / "x").mkdir(parents=True)
    code = "def compute_invoice_total(lines):\n    return sum(line.amount for line in lines)\n"
    for name in ("a.py", "b.ts", ".env", "secrets.py", "generated/c.py", "node_modules/x/d.js", "notes.txt"):
        (folder / name).write_text(code if name.endswith(".py") else "export const a = 1;\n")
    (folder / "binary.py").write_bytes(b"\0\1\2")
    running = await Editor.start(folder, {"completion": {"timeoutMs": 30_000, "invokedTimeoutMs": 30_000}})
    yield running
    await running.stop()


async def files(editor: Editor) -> int:
    return int((await editor.command("remask.stats"))["engine"]["service"]["files_remembered"])


async def holds(editor: Editor, wanted: int) -> None:
    end = asyncio.get_running_loop().time() + 90
    while (count := await files(editor)) != wanted:
        assert asyncio.get_running_loop().time() < end, f"{count} files, not {wanted}\n{editor.log()}"
        await asyncio.sleep(0.1)


async def test_the_workspaces_source_files_are_remembered_and_excluded_ones_never(editor: Editor) -> None:
    before = editor.open("from a import <|>\n", name="main.py")
    await before.ask(invoked=True)
    await editor.until(lambda: "the memory was fed" in editor.log(), 90)
    await holds(editor, 2)


async def test_an_open_document_is_remembered_once_it_parses(editor: Editor) -> None:
    buffer = editor.open("def unfinished(", name="open.py")
    await asyncio.sleep(workspace_memory.SETTLE + 0.5)
    assert await files(editor) == 2
    buffer.edit(0, len(buffer.text), "def finished():\n    return 1\n")
    await holds(editor, 3)


async def test_files_that_change_on_disk_are_remembered_and_forgotten(editor: Editor) -> None:
    assert "workspace/didChangeWatchedFiles" in editor.registered
    new = editor.folder / "new.py"
    new.write_text("x = 1\n")
    send(editor, new, t.FileChangeType.Created)
    await holds(editor, 4)
    new.unlink()
    send(editor, new, t.FileChangeType.Deleted)
    await holds(editor, 3)
    send(editor, editor.folder / ".env", t.FileChangeType.Changed)
    send(editor, editor.folder / "generated" / "c.py", t.FileChangeType.Changed)
    await asyncio.sleep(0.3)
    assert await files(editor) == 3


async def test_a_file_that_gitignore_names_from_now_on_is_forgotten(editor: Editor) -> None:
    (editor.folder / ".gitignore").write_text("generated/\na.py\n")
    send(editor, editor.folder / ".gitignore", t.FileChangeType.Changed)
    await holds(editor, 2)


async def test_a_second_editor_uses_the_same_engine_process(editor: Editor, tmp_path: Path) -> None:
    first = (await editor.command("remask.stats"))["engine"]["service"]
    second = await Editor.start(tmp_path)
    try:
        buffer = second.open("def add(a, b):\n    return <|>\n")
        await buffer.ask(invoked=True)
        service = (await second.command("remask.stats"))["engine"]["service"]
        assert service["pid"] == first["pid"]
        assert service["clients"] == first["clients"] + 1
    finally:
        await second.stop()


def send(editor: Editor, path: Path, kind: t.FileChangeType) -> None:
    event = t.FileEvent(path.as_uri(), kind)
    editor.client.workspace_did_change_watched_files(t.DidChangeWatchedFilesParams([event]))


async def test_a_suggestion_can_be_asked_where_the_workspace_says_the_same(editor: Editor) -> None:
    same = "def invoice(lines):\n    return sum(line.amount_with_tax for line in lines)\n"
    editor.open(same, name="same.py")
    buffer = editor.open("def other(lines):\n    return sum(<|>\n", name="asking.py")
    assert await editor.command("remask.source", buffer.uri) is None, "nothing is shown yet"
    items = await buffer.ask(invoked=True)
    assert items
    answer = await editor.command("remask.source", buffer.uri)
    assert str(items[0].insert_text).startswith(answer["text"])
    for place in answer["places"]:
        path = Path(place["uri"].removeprefix("file://"))
        text = path.read_text() if path.exists() else same
        line = text.split("\n")[place["range"]["start"]["line"]]
        assert answer["text"].split("\n")[0] in line


async def test_the_longest_beginning_that_a_file_has_is_found_in_whole_tokens() -> None:
    files = {"/a.py": "x = compute_total(lines, tax)\ny = compute_total(lines, tax)\n", "/b.py": "compute(1)\n"}
    text, places = origins("compute_total(lines, rate)", files)
    assert text == "compute_total(lines,"
    assert [(p.path, p.start) for p in places] == [("/a.py", 4), ("/a.py", 34)]
    assert origins("nothing_like_this(1)", files) == ("", [])
    assert origins("x = 1", {"/c.py": "x = 1"}) == ("", []), "too short to mean anything"
