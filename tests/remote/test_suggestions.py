"""The real model behind a WebSocket: the same suggestions as one's own; an editor that sees whose they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.core import Engine
from engine.remote.team import TeamClient, TeamOptions
from engine.service.client import EngineClient
from engine.service.options import EngineOptions
from engine.types import CompleteAnswer, CompleteRequest, RepairRequest
from lsp_server.provenance import suspect
from tests.lsp.editor import Editor
from tests.remote.ingress import Ingress

OPTIONS = EngineOptions(device="auto", memory=False)  # as the language server's tests: one process for all
CASES = [
    ("def average(numbers):\n    return sum(numb", ")\n", {}),
    ("class Cart:\n    def __init__(self):\n        self.", "\n", {"alternatives": 3, "seed": 7}),
    ("for index, item in enumerate(", ":\n    pass\n", {"multiline": False, "seed": 3, "max_tokens": 12}),
]
BROKEN = "def area(radius)\n    return 3.14 * radius ** 2\n"


def said(answer: CompleteAnswer) -> list[tuple[str, float, int]]:
    """All but the passes that it took: a warm cache saves one."""
    return [(item.text, item.confidence, item.tokens) for item in answer.items]


async def test_the_same_model_and_seed_give_the_same_from_here_and_from_the_team(engine_home: Path, engine: Engine):
    own = EngineClient(OPTIONS)
    async with Ingress(OPTIONS) as ingress:
        team = TeamClient(TeamOptions(ingress.url, fallback=False))
        try:
            for prefix, suffix, more in CASES:
                request = CompleteRequest(prefix, suffix, "python", **more)
                here, there = await own.complete(request), await team.complete(request)
                in_process = engine.run_complete(request)
                assert there.items
                assert said(there) == said(here) == said(in_process)
            repair = RepairRequest(BROKEN, "python")
            mended = (await team.repair(repair)).repair
            assert mended == (await own.repair(repair)).repair == engine.run_repair(repair).repair
            assert mended.errors_after == 0
            assert team.state.model == own.state.model == engine.model
        finally:
            await team.close()
            await own.close()


@pytest.mark.asyncio(loop_scope="function")
async def test_an_editor_sees_the_teams_engine_its_loss_and_its_return(engine_home: Path, tmp_path: Path):
    async with Ingress(OPTIONS) as ingress:
        settings = {
            "engine": {"url": ingress.url},
            "completion": {"timeoutMs": 30_000, "invokedTimeoutMs": 30_000},
            "memory": {"enable": False},
        }
        editor = await Editor.start(tmp_path, settings, env={"REMASK_TOKEN": "a-token-of-ann"})
        try:
            buffer = editor.open("def average(numbers):\n    return sum(numb<|>)\n")
            theirs = await buffer.ask(invoked=True)
            await editor.until(lambda: editor.statuses[-1].state == "ready")
            assert (editor.statuses[-1].engine, editor.statuses[-1].message) == ("team", "")
            assert editor.statuses[-1].host == f"127.0.0.1:{ingress.port}"
            assert "complete" in ingress.kinds()
            asked = len(ingress.heard)

            await ingress.shut()
            await editor.until(lambda: (s := editor.statuses[-1]).engine == "fallback" and s.state == "ready")
            assert "this machine's engine answers instead" in editor.statuses[-1].message
            buffer.type("e")
            buffer.backspace()
            ours = await buffer.ask(invoked=True)
            assert [i.insert_text for i in ours] == [i.insert_text for i in theirs] != []
            assert len(ingress.heard) == asked

            await ingress.open()
            await editor.until(lambda: (s := editor.statuses[-1]).engine == "team" and s.state == "ready", 40)
            assert "Traceback" not in editor.log()
            assert "average" not in editor.log(), "a log holds no code"
        finally:
            assert await editor.stop() == 0


@pytest.mark.asyncio(loop_scope="function")
async def test_an_address_in_a_workspaces_file_is_not_called(engine_home: Path, tmp_path: Path):
    async with Ingress(OPTIONS) as ingress:
        (tmp_path / ".zed").mkdir()
        (tmp_path / ".zed" / "settings.json").write_text(f'{{"url": "{ingress.url}"}}')
        editor = await Editor.start(
            tmp_path,
            {"completion": {"invokedTimeoutMs": 30_000}, "memory": {"enable": False}},
            configuration={"remask": {"engine": {"url": ingress.url}}},
            env={"REMASK_TOKEN": "a-token-of-ann"},
        )
        try:
            await editor.until(lambda: editor.client.messages)
            assert "remask.engine.url is ignored" in editor.client.messages[0].message
            buffer = editor.open("def average(numbers):\n    return sum(numb<|>)\n")
            assert await buffer.ask(invoked=True)
            assert editor.statuses[-1].engine == "local"
            assert ingress.calls == []
        finally:
            await editor.stop()


def test_an_address_of_ones_own_is_no_suspect(tmp_path: Path):
    (tmp_path / ".vscode").mkdir()
    (tmp_path / ".vscode" / "settings.json").write_text('{"remask.engine.url": "wss://Evil.example.com"}')
    here = [str(tmp_path)]
    assert suspect("", here, "Neovim") is None
    assert suspect("wss://engine.example.com", here, "Neovim") is None
    assert "settings.json" in (suspect("wss://evil.example.com:443/v1/engine", here, "Neovim") or "")
    assert suspect("wss://localhost:1", here, "Neovim") is None
    assert suspect("wss://evil.example.com", here, "Visual Studio Code") is None, "its scope keeps it out"
    assert suspect("wss://[::1", here, "Neovim") is None, "told by whoever calls it"
