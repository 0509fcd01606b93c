"""Which files the memory holds, and that it lets go of them: rules that hold for the walk hold for every change."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from lsp_server import exclusions, workspace_memory
from lsp_server.exclusions import Exclusions
from lsp_server.features import commands
from tests.lsp.alone import Alone, quiet

OLD, NEW = "x = 'old'\n", "x = 'new'\n"


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setattr(workspace_memory, "SETTLE", 0.05)
    monkeypatch.setattr(workspace_memory, "PAUSE", 0.0)

    async def start(memory: dict[str, Any] | None = None, **files: str) -> Alone:
        alone = Alone(monkeypatch, tmp_path, {"memory": memory or {}})
        for name, text in files.items():
            alone.path(f"{name}.py", text)
        alone.engine.ready()
        await quiet()
        return alone

    return start


async def changed(alone: Alone, path: str, deleted: bool = False) -> None:
    alone.session.memory.file_changed(path, deleted)
    await quiet()


async def test_without_the_workspace_no_file_that_changes_on_disk_is_read(start: Any) -> None:
    alone = await start({"workspace": False})
    await changed(alone, alone.path("a.py", NEW))
    assert alone.engine.remembered == {}


@pytest.mark.parametrize("name", ["dist/a.py", "venv/lib/a.py", ".hidden/a.py", "../elsewhere/a.py"])
async def test_where_the_walk_does_not_go_no_change_is_read_either(start: Any, name: str) -> None:
    alone = await start()
    await changed(alone, alone.path(name, NEW))
    assert alone.engine.remembered == {}
    await changed(alone, alone.path("src/a.py", NEW))
    assert list(alone.engine.remembered) == [alone.path("src/a.py")]


async def test_the_walk_does_not_go_into_folders_that_are_ignored_or_environments(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, judged = Exclusions.reason, []

    def noted(self: Exclusions, path: str | Path) -> str | None:
        judged.append(Path(path).name)
        return judge(self, path)

    monkeypatch.setattr(Exclusions, "reason", noted)
    alone = await start(None, a=OLD)
    alone.path(".gitignore", "data/\n")
    for name in ("data/deep/b.py", "env/lib/c.py", "src/d.py"):
        alone.path(name, OLD)
    alone.session.exclusions.forget_gitignores()
    judged.clear()
    alone.session.memory.refresh()
    await quiet()
    assert alone.engine.remembered.keys() == {alone.path("a.py"), alone.path("src/d.py")}
    assert not {"b.py", "c.py"} & set(judged)


async def test_a_walk_ends_after_so_many_entries(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace_memory, "MOST_SEEN", 50)
    alone = await start()
    for i in range(200):
        alone.path(f"{i // 10}/{i % 10}.py", OLD)
    alone.session.memory.refresh()
    await quiet()
    assert 10 <= len(alone.engine.remembered) < 100


async def test_a_walk_that_is_no_longer_wanted_ends(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = await start()
    for i in range(300):
        alone.path(f"{i}.py", OLD)
    wants, goes_on, asked = alone.session.memory._wants_from_disk, threading.Event(), []

    def slow(path: str) -> bool:
        asked.append(path)
        goes_on.wait(30)
        return wants(path)

    monkeypatch.setattr(alone.session.memory, "_wants_from_disk", slow)
    alone.session.memory.refresh()
    await alone.until(lambda: bool(asked))
    await alone.session.close()
    await asyncio.sleep(0)
    goes_on.set()
    await quiet()
    assert len(asked) < 10


async def test_what_an_editor_has_is_not_for_the_disk(start: Any) -> None:
    alone = await start(None, a=OLD)
    alone.open("b.py", NEW)
    await alone.until(lambda: alone.path("b.py") in alone.engine.remembered)
    assert alone.engine.unsaved == {alone.path("b.py")}
    alone.close(alone.uri("b.py"))
    alone.path("b.py", NEW)
    await changed(alone, alone.path("b.py"))
    assert alone.engine.unsaved == set()


async def test_a_new_file_is_not_read_beyond_the_most_files_and_a_known_one_is_read_again(start: Any) -> None:
    alone = await start({"maxFiles": 1}, a=OLD)
    await changed(alone, alone.path("b.py", NEW))
    await changed(alone, alone.path("a.py", NEW))
    assert alone.engine.remembered == {alone.path("a.py"): NEW}


async def test_a_lower_number_of_files_is_kept_to(start: Any) -> None:
    alone = await start(None, a=OLD, b=OLD, c=OLD)
    assert len(alone.engine.remembered) == 3
    alone.session.apply({"memory": {"maxFiles": 2}})
    await quiet()
    assert len(alone.engine.remembered) == 2


async def test_a_folder_that_was_removed_is_forgotten(start: Any) -> None:
    alone = await start(None, a=OLD)
    assert alone.engine.remembered
    alone.session.set_folders([])
    alone.session.memory.refresh()
    await quiet()
    assert alone.engine.remembered == {}


async def test_a_workspace_that_is_no_longer_wanted_is_forgotten_but_for_what_is_open(start: Any) -> None:
    alone = await start(None, a=OLD, b=OLD)
    alone.open("b.py", NEW)
    alone.session.apply({"memory": {"workspace": False}})
    await quiet()
    assert alone.engine.remembered == {alone.path("b.py"): NEW}


async def test_what_changed_on_disk_while_there_was_no_engine_is_told_to_the_next(start: Any) -> None:
    alone = await start(None, changed=OLD, gone=OLD, same=OLD)
    alone.engine.leave()
    await changed(alone, alone.path("changed.py", NEW))
    Path(alone.path("gone.py")).unlink()
    await changed(alone, alone.path("gone.py"), deleted=True)
    assert alone.engine.starts == 0, "the memory is no reason to start an engine"
    alone.engine.ready()
    await quiet()
    assert alone.engine.remembered == {alone.path("changed.py"): NEW, alone.path("same.py"): OLD}


async def test_what_was_typed_and_not_saved_is_forgotten_when_the_document_closes(start: Any) -> None:
    alone = await start(None, a=OLD)
    uri = alone.open("a.py", OLD)
    alone.type(uri, 0, "y = 1\n")
    await alone.until(lambda: "y = 1" in alone.engine.remembered[alone.path("a.py")])
    alone.type(uri, 0, "z = 1\n")
    alone.close(uri)
    await quiet()
    assert alone.engine.remembered == {alone.path("a.py"): OLD}


async def test_a_document_that_was_never_saved_is_forgotten_when_it_closes(start: Any) -> None:
    alone = await start()
    uri = alone.open("a.py", NEW)
    await alone.until(lambda: alone.path("a.py") in alone.engine.remembered)
    alone.close(uri)
    await quiet()
    assert alone.engine.remembered == {}


async def test_a_document_that_has_settled_is_no_longer_waited_for(start: Any) -> None:
    alone = await start()
    alone.open("a.py", NEW)
    await quiet()
    assert alone.session.memory._settling == {}


async def test_a_file_that_the_engine_refuses_keeps_no_other_from_it(start: Any, tmp_path: Path) -> None:
    alone = await start()
    alone.engine.refused.add(alone.path("b.py", OLD))
    for name in ("a.py", "c.py"):
        alone.path(name, OLD)
    alone.session.memory.refresh()
    await quiet()
    assert alone.engine.remembered == {alone.path("a.py"): OLD, alone.path("c.py"): OLD}
    alone.engine.refused.clear()
    alone.session.memory.refresh()
    await quiet()
    assert alone.path("b.py") in alone.engine.remembered, "it was not taken for told"


async def test_a_file_whose_name_is_no_utf_8_is_not_told(start: Any, tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.py")).write_text(OLD)
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    alone = await start(None, a=OLD, c=OLD)
    assert alone.engine.remembered == {alone.path("a.py"): OLD, alone.path("c.py"): OLD}


async def test_what_changed_or_went_without_anybody_telling_is_seen_at_the_next_walk(start: Any) -> None:
    alone = await start(None, changed=OLD, gone=OLD, same=OLD)
    path = Path(alone.path("changed.py", NEW))
    os.utime(path, (1, 1))
    Path(alone.path("gone.py")).unlink()
    alone.engine.told.clear()
    alone.session.memory.refresh()
    await quiet()
    assert alone.engine.remembered == {str(path): NEW, alone.path("same.py"): OLD}
    assert alone.engine.told == [str(path)], "what is as it was is not told again"


async def test_a_folder_that_is_renamed_is_known_by_its_new_name(start: Any) -> None:
    alone = await start()
    await changed(alone, alone.path("old/a.py", OLD))
    Path(alone.path("old")).rename(alone.path("new"))
    alone.session.memory.refresh()
    await quiet()
    assert alone.engine.remembered == {alone.path("new/a.py"): OLD}


async def test_what_is_excluded_while_there_is_no_engine_is_never_told_to_the_next(start: Any) -> None:
    alone = await start(None, a=OLD, b=OLD)
    alone.engine.leave()
    alone.session.apply({"exclude": ["a.py"]})
    assert alone.engine.remembered == {alone.path("b.py"): OLD}, "at once: the next may be there at any time"
    await changed(alone, alone.path("b.py"), deleted=True)
    assert alone.engine.remembered == {}
    assert alone.engine.starts == 0


async def test_pausing_forgets_nothing(start: Any) -> None:
    alone = await start(None, a=OLD)
    await commands.pause(alone.session)
    await commands.pause(alone.session, "python")
    await quiet()
    assert alone.engine.remembered == {alone.path("a.py"): OLD}


async def test_a_gitignore_that_nobody_told_of_takes_files_out_of_the_memory(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusions, "FRESH", 0.0)
    alone = await start(None, a=OLD, keys=OLD)
    uri = alone.open("a.py", OLD)
    alone.path(".gitignore", "keys.py\n")
    document = alone.session.documents.get(uri)
    assert document is not None
    assert alone.session.excluded(document.snapshot) is None
    await quiet()
    assert alone.engine.remembered == {alone.path("a.py"): OLD}


async def test_many_files_that_change_at_once_do_not_hold_up_the_loop(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To judge a file takes half a millisecond: few may be judged on the loop before it has its next turn."""
    alone = await start()
    judge, judged = Exclusions.reason, []

    def noted(self: Exclusions, path: str | Path) -> str | None:
        if threading.current_thread() is threading.main_thread():
            judged[-1] += 1
        return judge(self, path)

    async def turns() -> None:
        while True:
            judged.append(0)
            await asyncio.sleep(0)

    monkeypatch.setattr(Exclusions, "reason", noted)
    turning = asyncio.ensure_future(turns())
    await asyncio.sleep(0)
    for path in [alone.path(f"m{i}.py", OLD) for i in range(100)]:
        alone.session.memory.file_changed(path, deleted=False)
    await alone.until(lambda: len(alone.engine.remembered) == 100)
    alone.session.memory.refresh()
    await quiet()
    turning.cancel()
    assert max(judged) <= 2
