"""An engine that fails or dies costs a suggestion, never the editor's peace."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from tests.lsp.editor import Editor

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_model_that_is_not_there_is_a_status_and_not_a_traceback(engine_home: Path, tmp_path: Path) -> None:
    settings = {"engine": {"model": str(tmp_path / "no-model")}, "memory": {"enable": False}}
    editor = await Editor.start(tmp_path, settings)
    try:
        buffer = editor.open("def add(a, b):\n    return <|>\n")
        await editor.until(lambda: editor.statuses and editor.statuses[-1].state == "error")
        assert "no-model" in editor.statuses[-1].message
        started = time.monotonic()
        assert await buffer.ask() == []
        buffer.type("x")
        assert await buffer.ask(invoked=True) == []
        assert time.monotonic() - started < 60
        broken = editor.open("def add(a, b)\n    return a\n")
        await editor.until(lambda: broken.diagnostics)
        assert await broken.actions(0) == []
        assert "Traceback" not in editor.log()
    finally:
        assert await editor.stop() == 0


async def test_an_engine_that_is_killed_is_started_again(editor: Editor) -> None:
    buffer = editor.open("def add(left, right):\n    return <|>\n")
    assert await buffer.ask(invoked=True)
    pid = (await editor.command("remask.stats"))["engine"]["service"]["pid"]
    os.kill(pid, signal.SIGKILL)
    await asyncio.sleep(0.3)
    buffer.type("left +")
    assert await buffer.ask(invoked=True)
    assert (await editor.command("remask.stats"))["engine"]["service"]["pid"] != pid
    assert "Traceback" not in editor.log()
