"""`TeamClient` and a real engine server behind a WebSocket: what callers see of tokens, deadlines, loss and return."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from http import HTTPStatus
from importlib.util import find_spec
from typing import Any

import pytest

from engine.errors import BadRequestError, CancelledError, EngineUnavailableError
from engine.remote import caller
from engine.remote import team as team_module
from engine.remote import wire as remote_wire
from engine.service.client import EngineState
from engine.types import CompleteRequest, RepairRequest
from tests.remote.ingress import TOKEN, Ingress
from tests.service.stand_in import StandIn


def request(prefix: str = "x", passes: int = 1, seconds: float | None = None) -> CompleteRequest:
    deadline = None if seconds is None else time.monotonic() + seconds
    return CompleteRequest(prefix, "", "python", max_tokens=passes, deadline=deadline)


async def until(what: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)


async def test_every_kind_of_request_and_the_token_in_the_upgrade(serve, options, team):
    await serve(StandIn())
    async with Ingress(options) as ingress:
        states: list[EngineState] = []
        client = team(ingress.url, states)
        steps: list[dict] = []
        answer = await client.complete(request("hello", 3), document="a.py", trace=steps.append)
        assert answer.items[0].text == "HELLO"
        assert [step["pieces"] for step in steps][-1] == ["a", "a", "a", None]
        assert (await client.repair(RepairRequest("a = (", "python"))).repair.errors_before == 1
        await client.warm(request("w"))
        assert (await client.stats())["passes"] >= 3
        assert (await client.ping())["state"] == "ready"
        assert ingress.calls == [f"Bearer {TOKEN}"]
        assert client.state == EngineState("ready", "", "cpu", "stand-in@0", "team", f"127.0.0.1:{ingress.port}")
        assert states[0].state == "starting"
        await client.close()
        with pytest.raises(EngineUnavailableError, match="closed"):
            await client.complete(request())


async def test_a_newer_request_supersedes_and_cancelling_reaches_the_engine(serve, options, team):
    engine = StandIn(nap=0.02)
    server = await serve(engine)
    async with Ingress(options) as ingress:
        client = team(ingress.url)
        older = asyncio.create_task(client.complete(request(passes=500), document="a.py"))
        await asyncio.to_thread(engine.started.wait, 5)
        assert (await client.complete(request("new"), document="a.py")).items
        with pytest.raises(CancelledError):
            await older
        engine.started.clear()
        task = asyncio.create_task(client.complete(request(passes=500)))
        await asyncio.to_thread(engine.started.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.dispatcher.idle)
        assert ingress.kinds()[-1] == "cancel"
        assert engine.passes < 100


async def test_a_deadline_holds_when_the_engine_keeps_silent(serve, options, team, monkeypatch):
    monkeypatch.setattr(caller, "GRACE_SECONDS", 0.2)
    await serve(StandIn())
    async with Ingress(options) as ingress:
        client = team(ingress.url, fallback=False)
        await client.ping()
        for socket in ingress.sockets:
            socket.transport.pause_reading()
        started = time.monotonic()
        with pytest.raises(EngineUnavailableError, match="did not answer in time"):
            await client.complete(request(seconds=0.3))
        assert (await client.complete(request(seconds=0.3), automatic=True)).items == []
        assert time.monotonic() - started < 20


async def test_a_lost_connection_costs_an_automatic_request_its_answer_and_an_invoked_one_some_time(
    serve, options, team
):
    engine = StandIn(nap=0.02)
    await serve(engine)
    async with Ingress(options) as ingress:
        states: list[EngineState] = []
        client = team(ingress.url, states, fallback=False)
        engine.goes_on.clear()
        invoked = asyncio.create_task(client.complete(request("again", 40, seconds=60)))
        automatic = asyncio.create_task(client.complete(request(passes=500, seconds=60), automatic=True))
        await until(lambda: len(ingress.heard) == 2)
        await ingress.shut()
        assert (await automatic).items == []
        engine.goes_on.set()
        await ingress.open()
        assert (await invoked).items[0].text == "AGAIN"
        first, second = (m["deadline"] for m in ingress.heard if m["prefix"] == "again")
        assert second < first, "what is left of the deadline, not all of it again"
        assert any(s.state == "starting" and "was lost" in s.message for s in states)
        assert client.state.state == "ready"


async def test_this_machines_engine_answers_until_the_teams_is_back(serve, options, team):
    local, theirs = StandIn(), StandIn()
    await serve(theirs)
    own = replace(options, memory=False)  # an engine of its own in the same folder
    await serve(local, memory=False)
    async with Ingress(options) as ingress:
        states: list[EngineState] = []
        client = team(ingress.url, states, own)
        assert (await client.complete(request("one"))).items
        assert (theirs.log, local.log) == (["complete one"], [])
        await ingress.shut()
        await until(lambda: client.state.engine == "fallback" and client.state.state == "ready")
        assert "cannot be reached" in client.state.message
        assert "this machine's engine answers instead" in client.state.message
        assert (await client.complete(request("two", seconds=5), automatic=True)).items
        assert local.log == ["complete two"]
        await ingress.open()
        await until(lambda: client.state.engine == "team" and client.state.state == "ready")
        assert client.state.message == ""
        assert (await client.complete(request("three"))).items
        assert theirs.log == ["complete one", "complete three"]
        assert "failed" not in [s.state for s in states]


async def test_an_ingress_without_an_engine_behind_it_is_waited_for_and_then_replaced_until_it_has_one(
    serve, options, team, monkeypatch
):
    monkeypatch.setattr(team_module, "LOADING_SECONDS", 1.0)
    theirs, local = StandIn(), StandIn()
    await serve(theirs)
    await serve(local, memory=False)
    async with Ingress(options, state="loading") as ingress:
        client = team(ingress.url, engine=replace(options, memory=False))
        await client.start()
        assert (client.state.state, client.state.engine) == ("starting", "team")
        await until(lambda: client.state.engine == "fallback" and client.state.state == "ready")
        assert "has no engine that is ready" in client.state.message
        await client.complete(request())
        assert (theirs.log, local.log) == ([], ["complete x"])
        await ingress.tell_all(state="ready", device="cuda", model="m@1")
        await until(lambda: client.state.engine == "team")
        assert (client.state.state, client.state.device, client.state.model) == ("ready", "cuda", "m@1")
        await client.complete(request("y"))
        assert theirs.log == ["complete y"]


async def test_without_fallback_an_engine_that_is_not_there_is_an_error_until_it_is(serve, options, team):
    await serve(StandIn())
    async with Ingress(options) as ingress:
        await ingress.shut()
        states: list[EngineState] = []
        client = team(ingress.url, states, fallback=False)
        with pytest.raises(EngineUnavailableError, match="cannot be reached"):
            await client.complete(request(seconds=5))
        assert (states[-1].state, states[-1].engine) == ("failed", "team")
        await ingress.open()
        await until(lambda: client.state.state == "ready")
        assert (await client.complete(request())).items


async def test_files_are_not_sent_to_an_engine_without_a_memory_and_are_known_to_ones_own(serve, options, team):
    theirs, local = StandIn(), StandIn()
    await serve(theirs)
    await serve(local, idle_minutes=5.0, device="auto")
    async with Ingress(options) as ingress:
        client = team(ingress.url, engine=replace(options, device="auto"))
        await client.start()
        await client.remember("a.py", "secret = 1")
        await client.remember("b.py", "b = 1")
        await client.forget("b.py")
        assert dict(client.remembered) == {"a.py": "secret = 1"}
        await client.ping()
        assert ingress.kinds() == ["ping"]
        await ingress.shut()
        await until(lambda: local.memory == {"a.py": "secret = 1"})
        assert theirs.memory == {}


async def test_files_are_not_sent_to_an_engine_that_says_that_it_has_a_memory_either(serve, options, team):
    theirs = StandIn()
    await serve(theirs)
    async with Ingress(options, memory=True) as ingress:
        client = team(ingress.url, fallback=False)
        await client.start()
        await client.remember("a.py", "text")
        await client.forget("b.py")
        await ingress.close_all(1001)
        await until(lambda: client.state.state == "ready" and len(ingress.calls) == 2)
        await client.ping()
        assert ingress.kinds() == ["ping"]
        assert theirs.memory == {}


async def test_neither_path_nor_uri_of_a_document_is_sent_and_its_requests_are_known_as_one_documents(
    serve, options, team
):
    await serve(StandIn())
    async with Ingress(options) as ingress:
        client = team(ingress.url)
        uri, asked = "file:///home/ann/secret/a.py", replace(request(), path="/home/ann/secret/a.py")
        await client.complete(asked, document=uri)
        await client.complete(asked, document=uri, automatic=True)
        await client.complete(asked, document=f"{uri}#popup")
        await client.repair(RepairRequest("a = (", "python", asked.path), document=uri)
        await client.warm(asked, document=uri)
        await client.complete(asked, document="file:///home/ann/secret/b.py")
        await client.complete(asked)
        assert "secret" not in repr(ingress.heard)
        assert [message["path"] for message in ingress.heard] == [None] * 7
        names = [message["document"] for message in ingress.heard]
        assert len({names[0], names[1], names[3], names[4]}) == 1
        assert names[2].startswith(f"{names[0]}#")
        assert names[2] != names[0] != names[5]
        assert names[6] is None
        another = team(ingress.url)
        await another.complete(asked, document=uri)
        assert ingress.heard[-1]["document"] not in names, "the salt is each client's own"


async def test_a_token_that_is_refused_is_an_error_that_says_whose_and_is_not_tried_again(
    serve, options, team, monkeypatch
):
    monkeypatch.setattr(caller, "MOST_SECONDS", 0.01)
    await serve(StandIn())
    async with Ingress(options) as ingress:
        ingress.tokens = {"another"}
        client = team(ingress.url, fallback=False)
        with pytest.raises(EngineUnavailableError, match="does not accept the token from the environment variable"):
            await client.complete(request(seconds=5))
        assert TOKEN not in client.state.message
        assert "unknown token" in client.state.message
        await asyncio.sleep(0.5)
        assert len(ingress.calls) == 1
        monkeypatch.setenv("REMASK_TOKEN", "another")
        await until(lambda: client.state.state == "ready")
        assert ingress.calls[1:] == ["Bearer another"]


async def test_a_token_that_is_revoked_ends_the_connection_and_this_machine_takes_over(
    serve, options, team, monkeypatch
):
    monkeypatch.setattr(caller, "MOST_SECONDS", 0.01)
    await serve(StandIn())
    async with Ingress(options) as ingress:
        client = team(ingress.url)
        await client.ping()
        await ingress.close_all(4401, "revoked by the administrator")
        await until(lambda: client.state.engine == "fallback")
        assert "no longer accepts your token (revoked by the administrator)" in client.state.message
        await client.complete(request(seconds=5))
        await asyncio.sleep(0.5)
        assert len(ingress.calls) == 1
        await client.restart()  # a person may insist
        assert client.state.engine == "team"


async def test_an_engine_without_room_is_left_alone_as_long_as_it_says(serve, options, team):
    await serve(StandIn())
    async with Ingress(options) as ingress:
        ingress.refusal = (HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": "1"}, "too many connections")
        client = team(ingress.url, fallback=False)
        started = time.monotonic()
        with pytest.raises(EngineUnavailableError, match=r"no room at the moment \(too many connections\)"):
            await client.complete(request(seconds=0.5))
        ingress.refusal = None
        await until(lambda: client.state.state == "ready")
        assert time.monotonic() - started >= 1.0
        assert len(ingress.calls) == 2


async def test_a_redirect_is_not_followed_with_a_token(serve, options, team):
    await serve(StandIn())
    async with Ingress(options) as elsewhere, Ingress(options) as ingress:
        ingress.refusal = (HTTPStatus.FOUND, {"Location": elsewhere.url + "/v1/engine"}, "")
        client = team(ingress.url, fallback=False)
        with pytest.raises(EngineUnavailableError, match="HTTP status 302"):
            await client.complete(request(seconds=2))
        assert elsewhere.calls == []


async def test_a_request_over_the_limit_is_refused_here_and_not_asked_of_anybody(serve, options, team):
    await serve(StandIn())
    async with Ingress(options, max_bytes=1_000) as ingress:
        client = team(ingress.url)
        with pytest.raises(BadRequestError, match="takes at most 1,000"):
            await client.complete(request("x" * 2_000))
        assert ingress.heard == []
        assert (await client.complete(request())).items


async def test_a_message_that_the_engine_will_not_read_is_not_sent_twice(serve, options, team):
    engine = StandIn(nap=0.05)
    await serve(engine)
    async with Ingress(options) as ingress:
        client = team(ingress.url)
        asking = asyncio.create_task(client.complete(request(passes=200, seconds=10)))
        await until(lambda: ingress.heard)
        await ingress.close_all(1009, "message too big")
        with pytest.raises(BadRequestError, match="would not take a message"):
            await asking
        assert len(ingress.heard) == 1


async def test_another_protocol_is_told_in_words(serve, options, team):
    await serve(StandIn())
    async with Ingress(options, protocol=2) as ingress:
        client = team(ingress.url, fallback=False)
        with pytest.raises(EngineUnavailableError, match="speaks protocol 2, this client 1"):
            await client.complete(request(seconds=2))


async def test_what_only_the_user_can_mend_is_an_error_even_with_fallback(serve, options, team, monkeypatch):
    await serve(StandIn())
    client = team("http://example.com")
    with pytest.raises(EngineUnavailableError, match="must begin with wss://"):
        await client.complete(request(seconds=2))
    assert client.state.state == "failed"
    monkeypatch.setitem(sys.modules, "websockets.asyncio.client", None)
    client = team("ws://localhost:1")
    with pytest.raises(EngineUnavailableError, match=r"pip install '\.\[team\]'"):
        await client.complete(request(seconds=2))
    monkeypatch.delenv("REMASK_TOKEN")
    monkeypatch.setattr("engine.remote.token._keyring", lambda: None)
    client = team("wss://engine.invalid")
    with pytest.raises(EngineUnavailableError, match="remask token set wss://engine"):
        await client.complete(request(seconds=2))
    assert "remask token set" in client.state.message


async def test_a_host_that_cannot_be_one_is_the_users_to_mend(team):
    client = team("wss://engine..example.com")
    with pytest.raises(EngineUnavailableError, match=r"engine\.\.example\.com is no name of a host"):
        await client.complete(request(seconds=2))
    assert (client.state.state, client.state.engine) == ("failed", "team")


@pytest.mark.skipif(find_spec("python_socks") is not None, reason="the package is there")
async def test_a_proxy_that_needs_a_missing_package_is_the_users_to_mend(team, monkeypatch):
    monkeypatch.setenv("wss_proxy", "socks5h://localhost:1")
    monkeypatch.setenv("no_proxy", "")
    client = team("wss://engine.invalid")
    with pytest.raises(EngineUnavailableError, match="pip install python-socks"):
        await client.complete(request(seconds=2))
    assert (client.state.state, client.state.engine) == ("failed", "team")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", r"does not speak TLS \(\w+\): is the port right"),
        (b"", r"cannot be reached \(.+\)"),
    ],
)
async def test_a_port_without_tls_is_told_in_words(team, answer, said):
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    client = team(f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}", fallback=False)
    with pytest.raises(EngineUnavailableError, match=said):
        await client.complete(request(seconds=2))
    server.close()


async def test_a_proxy_that_refuses_is_told_in_words(team, monkeypatch):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    proxy = await asyncio.start_server(refuse, "127.0.0.1", 0)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
    monkeypatch.setenv("no_proxy", "")
    for name in ("wss_proxy", "socks_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    client = team("wss://engine.invalid", fallback=False)
    with pytest.raises(EngineUnavailableError, match=r"the proxy refused .*engine\.invalid \(407\): see .*NO_PROXY"):
        await client.complete(request(seconds=2))
    proxy.close()


async def test_whatever_fails_while_connecting_is_told_and_the_client_keeps_calling(serve, options, team, monkeypatch):
    await serve(StandIn())
    async with Ingress(options) as ingress:
        unpack = remote_wire.unpack

        def fail(body):
            raise ValueError("never thought of")

        monkeypatch.setattr(remote_wire, "unpack", fail)
        client = team(ingress.url, fallback=False)
        with pytest.raises(EngineUnavailableError, match=r"cannot be reached \(ValueError: never thought of\)"):
            await client.complete(request(seconds=1))
        monkeypatch.setattr(remote_wire, "unpack", unpack)
        await until(lambda: client.state.state == "ready")
