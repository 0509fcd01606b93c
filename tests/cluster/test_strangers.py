"""Who may come in, and what a client may not do: real sockets, a real cluster."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time

import msgpack
import pytest
from websockets.exceptions import InvalidStatus

from tests.cluster.editor import HERE
from tests.cluster.team import Team, processor, resident

pytestmark = pytest.mark.cluster

LARGE = {"prefix": "x = 1\n" * 300_000, "suffix": "", "language": "python"}  # 1.8 MB


async def refused(team: Team, token: str) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as why:
        async with team.editor(token):
            pass
    response = why.value.response
    return response.status_code, json.loads(response.body)["error"]


async def test_no_token_and_a_wrong_one_are_refused_at_the_upgrade(team: Team) -> None:
    assert await refused(team, "") == (401, "UnauthorizedError")
    assert await refused(team, "remask_" + "A" * 43) == (401, "UnauthorizedError")
    assert await refused(team, "x" * 4_000) == (401, "UnauthorizedError")


async def test_a_new_token_works_at_once_and_a_revoked_one_ends_its_connections(team: Team) -> None:
    token = team.tokens.add("eve")
    async with team.editor(token) as eve, team.editor() as ann:
        assert (await eve.complete(max_tokens=4))["kind"] == "answer"
        began = time.monotonic()
        team.tokens.revoke("eve")
        assert await eve.closed() == 4401
        assert time.monotonic() - began < 10
        assert (await ann.complete(max_tokens=4))["kind"] == "answer"
    assert await refused(team, token) == (401, "UnauthorizedError")


async def test_an_expired_token_ends_its_connections_and_lets_nobody_in(team: Team) -> None:
    token = team.tokens.add("guest", days=15 / 86_400)
    async with team.editor(token) as guest:
        assert (await guest.ask("ping"))["kind"] == "answer"
        assert await guest.closed(45) == 4401
    assert await refused(team, token) == (401, "UnauthorizedError")


async def test_a_damaged_file_of_tokens_leaves_the_older_ones_valid(team: Team) -> None:
    good = team.tokens.path.read_text()
    try:
        team.tokens.path.write_text('{"tokens": [')
        await asyncio.sleep(2.5)
        async with team.editor() as editor:
            assert (await editor.ask("ping"))["kind"] == "answer"
    finally:
        team.tokens.path.write_text(good)


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\xc1",
        os.urandom(100),
        msgpack.packb([1, 2, 3]),
        msgpack.packb({"id": "one", "kind": "ping"}),
        msgpack.packb({"id": True, "kind": "ping"}),
        msgpack.packb({"id": 1}),
        msgpack.packb({1: 2}),
        msgpack.packb({"id": 1, "kind": "ping", "x": [[] for _ in range(5_000)]}),
        b"\x91" * 2_000,
        '{"id": 1, "kind": "ping"}',
    ],
)
async def test_a_malformed_message_ends_that_connection_only(team: Team, junk: bytes | str) -> None:
    async with team.editor() as bystander:
        async with team.editor() as editor:
            await editor.send(junk)
            assert await editor.closed() == 4400
        assert (await bystander.ask("ping"))["kind"] == "answer"


async def test_a_message_over_the_limit_closes_with_1009_and_one_just_below_is_read(team: Team) -> None:
    async with team.editor() as editor:
        assert editor.welcome["max_bytes"] == 16_777_216
        reply = await editor.ask("complete", 30, prefix="x" * 9_900_000, suffix="", language="python", max_tokens=1)
        assert reply["kind"] == "answer"
        with contextlib.suppress(Exception):  # the connection may end under the send
            await editor.send(b"\x00" * 16_777_217)
        assert await editor.closed() == 1009


async def test_more_requests_than_the_rate_are_refused_and_far_more_end_the_connection(team: Team) -> None:
    token = team.tokens.add("mallory")
    async with team.editor(token) as mallory, team.editor() as ann:
        replies = await asyncio.gather(*(mallory.ask("ping") for _ in range(400)))
        assert replies[0]["kind"] == "answer"
        assert "too many requests" in replies[-1]["message"]
        assert (await ann.complete(max_tokens=4))["kind"] == "answer"
        with contextlib.suppress(Exception):
            for n in range(3_000):
                await mallory.send({"id": 10_000 + n, "kind": "ping"})
        assert await mallory.closed() == 1008


async def test_more_than_64_requests_at_a_time_are_refused(team: Team) -> None:
    token = team.tokens.add("nina")
    async with team.editor(token) as editor:
        tasks = [
            editor.start("complete", 4.0, document=f"{n}", max_tokens=128, alternatives=8, **HERE) for n in range(80)
        ]
        replies = await asyncio.gather(*tasks)
        assert sum("of this connection" in reply.get("message", "") for reply in replies) >= 1
        assert len(replies) == 80


async def test_a_token_has_a_number_of_connections(team: Team) -> None:
    token = team.tokens.add("octopus")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(team.options.max_connections_per_token):
            await stack.enter_async_context(team.editor(token))
        assert await refused(team, token) == (429, "TooManyRequestsError")


async def test_a_client_that_never_reads_is_cut_off_and_costs_little(team: Team) -> None:
    """It asks for large repairs and reads nothing: what piles up is bounded, and the others are served."""
    token = team.tokens.add("sloth")
    process = team.actors("ingress")[0]
    async with team.editor(token) as sloth, team.editor() as ann:
        before = resident(process)
        sloth.socket.transport.pause_reading()
        text = "def f(:\n" + "x = 1\n" * 150_000
        body = {"kind": "repair", "deadline": 30.0, "text": text, "language": "python"}
        sent = 0
        with contextlib.suppress(Exception):
            async with asyncio.timeout(20):
                for n in range(100):
                    await sloth.send(body | {"id": 1_000 + n, "document": str(n % 2)})
                    sent += 1
        assert (await ann.complete(max_tokens=4))["kind"] == "answer"
        assert resident(process) - before < 400e6
        sloth.socket.transport.abort()
    assert sent > 3


async def test_a_greeting_that_never_ends_hinders_nobody(team: Team) -> None:
    sockets = []
    for _ in range(50):
        s = socket.create_connection(("127.0.0.1", team.port))
        s.sendall(b"GET /v1/engine HTTP/1.1\r\nHost: x\r\nUpgrade: web")
        sockets.append(s)
    try:
        async with team.editor() as editor:
            assert (await editor.complete(max_tokens=4))["kind"] == "answer"
    finally:
        for s in sockets:
            s.close()


async def test_a_thousand_idle_connections_cost_little(team: Team) -> None:
    """Forty people with 25 connections each: bounded memory, next to no processor time, the next request served."""
    tokens = [team.tokens.add(f"idle{n}") for n in range(40)]
    processes = [*team.actors("ingress"), *team.actors("ProxyActor")]
    before = sum(map(resident, processes))
    async with contextlib.AsyncExitStack() as stack:
        for start in range(0, 1_000, 25):
            group = [team.editor(tokens[start // 25]) for _ in range(25)]
            await asyncio.gather(*(stack.enter_async_context(editor) for editor in group))
        grown = sum(map(resident, processes)) - before
        await asyncio.sleep(2)
        cpu = sum(map(processor, processes))
        await asyncio.sleep(5)
        idle = sum(map(processor, processes)) - cpu
        async with team.editor() as editor:
            assert (await editor.ask("ping"))["answer"]["clients"] >= 1_001
            assert (await editor.complete(max_tokens=4))["kind"] == "answer"
    assert grown < 300e6
    assert idle < 2.5  # of 5 seconds; a lone ingress and proxy take a tenth of that
