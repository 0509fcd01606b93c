"""Which files the memory holds, and that it lets go of them: rules that hold for the walk hold for every change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lsp_server import workspace_memory
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
