"""A session with a real server: what it offers, that it follows every edit, that it answers, cancels and leaves."""

from __future__ import annotations

import asyncio
import json
import random
import time
from concurrent.futures import Future
from pathlib import Path

import pytest
from lsprotocol import types as t
from pygls.exceptions import JsonRpcInvalidParams, JsonRpcMethodNotFound, JsonRpcRequestCancelled

import grammars
from tests.lsp.editor import Editor

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parent.parent.parent


async def test_what_the_server_offers(editor: Editor) -> None:
    assert editor.result is not None
    offered = editor.result.capabilities
    assert offered.inline_completion_provider
    assert offered.completion_provider is None, "a client with ghost text has no use for the list"
    sync = offered.text_document_sync
    assert isinstance(sync, t.TextDocumentSyncOptions)
    assert sync.change == t.TextDocumentSyncKind.Incremental
    assert offered.code_action_provider
    assert offered.execute_command_provider
    assert {"remask.pause", "remask.resume", "remask.stats"} <= set(offered.execute_command_provider.commands)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_edits_and_suggestions_are_right_with_emoji_tabs_and_crlf(
    engine_home: Path, tmp_path: Path, encoding: str
) -> None:
    settings = {
        "completion": {"timeoutMs": 30_000, "invokedTimeoutMs": 30_000},
        "fixes": {"timeoutMs": 60_000},
        "memory": {"enable": False},
    }
    editor = await Editor.start(tmp_path, settings, encoding)
    try:
        assert editor.result is not None
        assert editor.result.capabilities.position_encoding == encoding
        buffer = editor.open('\t# 😀 𝒳 é\r\nname = "😀"\r\n\r\n\r\ndef greet(name):\r\n\tprint("😀", <|>)\r\n')
        buffer.edit(0, 0, "# ünder 😀\f\u2028 one line\r\n")
        buffer.cursor = buffer.text.index(")\r\n", buffer.text.index("print"))
        at = buffer.text.index('"😀"')
        buffer.edit(at, at + 3, '"𝒳😀"')
        buffer.cursor = buffer.text.index(")\r\n", buffer.text.index("print"))
        assert await buffer.server_has()
        items = await buffer.ask(invoked=True)
        assert items, editor.log()
        text = buffer.with_item(items[0])
        before, after = buffer.text[: buffer.cursor], buffer.text[buffer.cursor :]
        assert text.startswith(before)
        assert text.endswith(after)
        assert len(text) > len(buffer.text)
        buffer.edit(buffer.text.index("greet("), buffer.text.index("greet(") + 6, "greet")
        fix = (await buffer.fixes(buffer.text.index("greet")))[0]
        assert fix.edit is not None
        buffer.apply(fix.edit)
        assert await buffer.server_has()
        assert "greet(name)" in buffer.text
        assert "\n" not in buffer.text.replace("\r\n", "")
    finally:
        await editor.stop()


async def test_random_edits_with_requests_in_flight_leave_the_server_with_the_clients_text(editor: Editor) -> None:
    await soak(editor, edits=400, seed=1)


@pytest.mark.slow
async def test_ten_thousand_random_edits_with_requests_in_flight(editor: Editor) -> None:
    await soak(editor, edits=10_000, seed=2)


async def soak(editor: Editor, edits: int, seed: int) -> None:
    draw = random.Random(seed)
    text = (ROOT / "engine" / "types.py").read_text(encoding="utf-8")
    buffer = editor.open(text + "# 😀\r\n\tx = 'é'\r\n")
    flying: list[asyncio.Future[object]] = []
    pieces = ["a", "(", ")", "\n", "\r\n", "    ", "\t", "😀", "'", "# ", "def f(x):\n", "\u2028", "{", "é", ""]
    for number in range(edits):
        start = draw.randrange(len(buffer.text) + 1)
        end = min(start + draw.choice([0, 0, 0, 1, 3, 40]), len(buffer.text))
        while buffer.text[start - 1 : start + 1] == "\r\n" or buffer.text[end - 1 : end + 1] == "\r\n":
            start, end = max(start - 1, 0), min(end + 1, len(buffer.text))
        buffer.edit(start, end, draw.choice(pieces) * draw.choice([1, 1, 2]))
        if number % 10 == 0:
            flying.append(asyncio.ensure_future(buffer.ask()))
            flying.append(asyncio.ensure_future(buffer.actions(start)))
            await asyncio.sleep(0)
        if number % 500 == 499:
            assert await buffer.server_has()
    await asyncio.wait_for(asyncio.gather(*flying), 180)
    assert await buffer.server_has()


async def test_cancelling_is_answered_at_once_and_out_of_order_cancels_do_no_harm(editor: Editor) -> None:
    buffer = editor.open("import os\n\n\ndef everything_about(path):\n    <|>\n")
    await buffer.ask(invoked=True)
    buffer.type("zqx = 7 * (")
    protocol = editor.client.protocol
    protocol.notify(t.CANCEL_REQUEST, t.CancelParams(id="never-sent"))
    protocol.notify(t.CANCEL_REQUEST, t.CancelParams(id=12345))
    ask = protocol.send_request_async(t.TEXT_DOCUMENT_INLINE_COMPLETION, buffer.params(True), msg_id="cancel-me")
    request = asyncio.ensure_future(ask)
    await asyncio.sleep(0)  # it is sent, and the answer cannot be there yet
    started = time.monotonic()
    protocol.notify(t.CANCEL_REQUEST, t.CancelParams(id="cancel-me"))
    with pytest.raises(JsonRpcRequestCancelled):
        await request
    took = time.monotonic() - started
    assert took < 5, f"a cancellation took {took * 1e3:.0f} ms"
    protocol.notify(t.CANCEL_REQUEST, t.CancelParams(id="cancel-me"))
    assert await buffer.server_has()


@pytest.mark.parametrize("path", ["engine/device.py", "vscode-client/src/partial.ts"])
async def test_no_suggestion_makes_a_real_file_worse(editor: Editor, path: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    language = grammars.for_path(path)
    assert language is not None
    assert not language.parse(source).broken
    buffer = editor.open(source, language.name)
    answered = 0
    for tried, cursor in enumerate(random.Random(3).sample(range(len(source)), 40), 1):
        buffer.cursor = cursor
        for item in await buffer.ask():
            answered += 1
            assert item.range is not None
            assert item.range.start.line == item.range.end.line
            assert not language.parse(buffer.with_item(item)).broken, item.insert_text
        if tried >= 4 and answered:
            break
    assert answered, "no cursor got a suggestion"


async def test_a_paused_language_gets_nothing_until_it_is_resumed(editor: Editor) -> None:
    buffer = editor.open("def f(a, b):\n    return <|>\n")
    status = await editor.command("remask.pause", "python")
    assert status["state"] == "paused"
    assert await buffer.ask(invoked=True) == []
    status = await editor.command("remask.resume", "python")
    assert status["state"] == "ready"
    assert await buffer.ask(invoked=True)


async def test_the_denoising_of_a_completion_can_be_watched(editor: Editor) -> None:
    buffer = editor.open("def add(left, right):\n    return <|>\n")
    answer = await editor.client.protocol.send_request_async(
        "remask/denoise", {"textDocument": {"uri": buffer.uri}, "position": {"line": 1, "character": 11}}
    )
    assert answer.text
    assert answer.steps
    last = answer.steps[-1]
    assert last.kind in ("draft", "verify", "unmask", "renoise")
    assert all(isinstance(token, str) or token is None for token in last.tokens)


async def test_status_and_progress_are_told_while_the_model_loads(editor: Editor) -> None:
    buffer = editor.open("x = <|>\n")
    await buffer.ask(invoked=True)
    states = [s.state for s in editor.statuses]
    assert "loading" in states
    assert "thinking" in states
    assert editor.statuses[-1].model
    reports = [r for token in editor.client.progress_reports.values() for r in token]
    kinds = [getattr(r, "kind", None) or r["kind"] for r in reports]
    assert kinds[:1] == ["begin"]
    assert "end" in kinds


async def test_malformed_messages_are_answered_with_errors_and_harm_nothing(editor: Editor) -> None:
    buffer = editor.open("x = 1\n")
    client = editor.client
    assert client._server is not None
    stdin = client._server.stdin
    assert stdin is not None
    for body in (
        b"{}",
        b"[1, 2]",
        b"not json",
        b'{"jsonrpc": "2.0"}',
        b'{"jsonrpc": "1.0", "method": "x"}',
        b"\xff\xfe",
    ):
        stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    for params in ({}, {"textDocument": 3}, None, {"textDocument": {"uri": buffer.uri}, "position": {"line": "x"}}):
        with pytest.raises(JsonRpcInvalidParams):
            await asyncio.wait_for(client.protocol.send_request_async("remask/denoise", params), 5)
        with pytest.raises(JsonRpcMethodNotFound):
            await asyncio.wait_for(client.protocol.send_request_async("textDocument/unknown", params), 5)
    broken = {"jsonrpc": "2.0", "id": "broken", "method": "textDocument/codeAction", "params": {"range": 1}}
    answered = client.protocol._request_futures["broken"] = Future()
    body = json.dumps(broken).encode()
    stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    with pytest.raises(JsonRpcInvalidParams):
        await asyncio.wait_for(asyncio.wrap_future(answered), 5)
    assert await buffer.server_has()
    assert editor.log().count("Traceback") == 0


async def test_a_document_that_is_not_open_gets_empty_answers(editor: Editor) -> None:
    buffer = editor.open("x = <|>\n")
    editor.client.text_document_did_close(t.DidCloseTextDocumentParams(t.TextDocumentIdentifier(buffer.uri)))
    assert await buffer.ask(invoked=True) == []
    assert await buffer.actions(0) == []
    buffer.type("1")
    assert await buffer.ask() == []
    assert "not open" in editor.log()


async def test_a_huge_document_is_followed_and_left_alone(editor: Editor) -> None:
    buffer = editor.open("x = 1  # padding\n" * 120_000)
    started = time.monotonic()
    buffer.edit(0, 0, "def (")
    assert await buffer.ask(invoked=True) == []
    assert await buffer.server_has()
    assert time.monotonic() - started < 10
    assert buffer.diagnostics == []


@pytest.mark.parametrize("moment", ["at once", "while asked", "without a goodbye"])
async def test_the_server_leaves_at_any_moment(engine_home: Path, tmp_path: Path, moment: str) -> None:
    editor = await Editor.start(tmp_path, {"memory": {"enable": False}})
    assert editor.client._server is not None
    buffer = editor.open("def f(:\n    <|>\n")
    if moment == "while asked":
        asked = asyncio.ensure_future(buffer.ask(invoked=True))
        await asyncio.sleep(0.05)
        assert await asyncio.wait_for(editor.stop(), 30) == 0
        asked.cancel()
    elif moment == "at once":
        assert await asyncio.wait_for(editor.stop(), 30) == 0
    else:
        assert editor.client._server.stdin is not None
        editor.client._server.stdin.close()
        assert await asyncio.wait_for(editor.client._server.wait(), 30) == 1
