"""Real Neovim with a team's engine: ghost text from there, and a status line that says who answers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.neovim.driver import Driver
from tests.neovim.install import stable
from tests.neovim.test_neovim import documented_setup
from tests.remote.ingress import Ingress
from tests.remote.test_suggestions import OPTIONS

pytestmark = pytest.mark.editor


def test_the_status_line_names_the_host_and_says_when_it_is_out_of_reach(engine_home: Path, tmp_path: Path):
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(180)

    async def model_is_loaded() -> None:
        from engine.service.client import EngineClient

        client = EngineClient(OPTIONS)
        await client.stats()
        await client.close()

    run(model_is_loaded())
    ingress = Ingress(OPTIONS)
    run(ingress.open())
    settings = f"""
vim.lsp.config('remask', {{ settings = {{ remask = {{
  engine = {{ url = '{ingress.url}' }}, completion = {{ timeoutMs = 60000 }}, memory = {{ enable = false }},
}} }} }})
"""
    assert os.environ["REMASK_TOKEN"]
    nvim = Driver(stable(), tmp_path, documented_setup() + settings)
    try:
        nvim.edit(tmp_path / "cart.py", "class Cart:\n    def is_empty(self):\n        return len\n")
        nvim.keys("GA(")
        nvim.until_ghost()
        assert "complete" in ingress.kinds()
        host = f"(127.0.0.1:{ingress.port})"
        nvim.until(f"return require('remask').statusline():find('{host}', 1, true)")
        run(ingress.shut())
        nvim.until("return require('remask').statusline():find('local: the team', 1, true)")
        assert nvim.lua("return require('remask').status.engine") == "fallback"
        run(ingress.open())
        nvim.until(f"return require('remask').statusline():find('{host}', 1, true)", 45)
    finally:
        nvim.stop()
        run(ingress.shut())
        loop.call_soon_threadsafe(loop.stop)
