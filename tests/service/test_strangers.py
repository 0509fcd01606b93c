"""Who may connect, and what becomes of those who break the rules: real sockets, no model."""

from __future__ import annotations

import asyncio
import os
import stat
import struct
from dataclasses import replace
from random import Random

import pytest

from engine.errors import EngineUnavailableError
from engine.service import connection
from engine.service.dial import AbsentError, OutdatedError, dial
from engine.service.frames import pack
from engine.service.identity import own_identity
from engine.service.place import find_place
from tests.service.raw_client import RawClient, greeted
from tests.service.stand_in import StandIn


async def still_works(options) -> None:
    client = await greeted(options)
    client.complete(1)
    assert (await client.receive())["kind"] == "answer"
    client.close()


async def test_only_the_user_can_reach_the_socket(serve, options, folder):
    folder.chmod(0o777)
    await serve(StandIn())
    place = find_place(options)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(place.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.lock.stat().st_mode) == 0o600


async def test_a_peer_of_another_user_is_refused_whatever_it_says(serve, options):
    await serve(StandIn(), user=os.getuid() + 1)
    client = await RawClient(options).connect()
    reply = await client.greet()
    assert reply["kind"] == "refused"
    assert "nobody else" in reply["message"]
    assert await client.receive() is None
    with pytest.raises(EngineUnavailableError, match="nobody else"):
        await dial(find_place(options), own_identity(options))


async def test_nobody_speaks_before_the_greeting(serve, options):
    engine = StandIn()
    await serve(engine)
    client = await RawClient(options).connect()
    client.complete(1)
    assert "greeting" in (await client.receive())["message"]
    assert await client.receive() is None
    assert engine.log == []
    await still_works(options)


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x00" * 64,
        b"\xff" * 64,
        struct.pack(">I", 12) + b"not msgpack!",
        struct.pack(">I", 2**31) + b"x",
        pack({"kind": "hello"}),
        pack({"kind": "hello", "identity": {"protocol": "one"}}),
        pack({"kind": "hello", "identity": [1, 2]}),
    ],
)
async def test_junk_instead_of_a_greeting_ends_that_connection_only(serve, options, junk):
    await serve(StandIn())
    client = await RawClient(options).connect()
    client.send_bytes(junk)
    reply = await client.receive()
    assert reply is None or reply["kind"] == "error"
    if reply is not None:
        assert await client.receive() is None
    await still_works(options)


@pytest.mark.parametrize("junk", [b"\xff" * 40, struct.pack(">I", 3) + b"\x93\x01\x02", pack({"id": "one"}), pack({})])
async def test_junk_from_a_client_that_was_let_in_ends_its_connection_only(serve, options, junk):
    await serve(StandIn())
    client = await greeted(options)
    client.send_bytes(junk)
    assert "protocol error" in (await client.receive())["message"]
    assert await client.receive() is None
    await still_works(options)


async def test_random_bytes_never_stop_the_engine(serve, options):
    await serve(StandIn())
    random = Random(0)
    for _ in range(60):
        client = await RawClient(options).connect()
        if random.random() < 0.5:
            await client.greet()
        frame = bytearray(pack({"id": 1, "kind": "complete", "deadline": 1.0, "prefix": "x", "language": "python"}))
        for _ in range(random.randrange(1, 6)):
            frame[random.randrange(len(frame))] = random.randrange(256)
        client.send_bytes(bytes(frame[: random.randrange(1, len(frame) + 1)]))
        await asyncio.sleep(0)
        client.close()
    await still_works(options)


async def test_who_does_not_greet_in_time_is_cut_off(serve, options, monkeypatch):
    monkeypatch.setattr(connection, "GREETING_SECONDS", 0.2)
    await serve(StandIn())
    silent, slow = await RawClient(options).connect(), await RawClient(options).connect()
    slow.send_bytes(b"\x00\x00")
    assert await silent.receive() is None
    assert await slow.receive() is None


async def test_a_large_frame_that_dribbles_in_is_cut_off_and_holds_up_nobody(serve, options, monkeypatch):
    monkeypatch.setattr(connection, "LARGE_SECONDS", 0.5)
    await serve(StandIn())
    client = await greeted(options)
    client.send_bytes(struct.pack(">I", 2_000_000) + b"x" * 1000)
    await still_works(options)
    assert await client.receive() is None


async def test_a_client_that_does_not_read_is_cut_off_and_its_replies_do_not_pile_up(serve, options, monkeypatch):
    monkeypatch.setattr(connection, "MAX_UNSENT", 100_000)
    server = await serve(StandIn(nap=0.0))
    client = await greeted(options, receive_buffer=4096)
    client.reader._transport.pause_reading()
    for id in range(1, 400):
        client.complete(id, prefix="x" * 5_000, passes=0)
        await asyncio.sleep(0.002)
        if server.dispatcher.counters["gone"] or not server._connections:
            break
    for _ in range(1_500):
        if not server._connections:
            break
        await asyncio.sleep(0.02)
    assert not server._connections
    await still_works(options)


async def test_steps_are_left_out_of_the_view_of_a_client_that_reads_slowly(serve, options, monkeypatch):
    monkeypatch.setattr(connection, "MAX_UNSENT_TRACE", 20_000)
    engine = StandIn(nap=0.0)
    await serve(engine)
    client = await greeted(options, receive_buffer=4096)
    client.reader._transport.pause_reading()
    client.complete(1, passes=600, trace=True)
    async with asyncio.timeout(30):
        while engine.passes < 600:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # the last steps are told, or left out
    client.reader._transport.resume_reading()
    steps = 0
    while (message := await client.receive())["kind"] == "trace":
        steps += 1
    assert message["kind"] == "answer"
    assert 0 < steps < 600


async def test_an_engine_of_an_older_version_leaves_and_makes_room(serve, options):
    server = await serve(StandIn())
    client = await RawClient(options).connect()
    reply = await client.greet(version="99.0.0")
    assert reply["kind"] == "outdated"
    assert "replaced" in reply["message"]
    assert await client.receive() is None
    for _ in range(1_500):
        if not server.door.place.socket.exists():
            break
        await asyncio.sleep(0.02)
    with pytest.raises(AbsentError):
        await dial(find_place(options), own_identity(options))


async def test_an_engine_whose_sources_are_older_than_the_clients_leaves(serve, options):
    await serve(StandIn())
    newer = replace(own_identity(options), build=own_identity(options).build + 1)
    with pytest.raises(OutdatedError, match="replaced"):
        await dial(find_place(options), newer)


async def test_a_client_older_than_the_engine_is_served(serve, options):
    await serve(StandIn())
    client = await RawClient(options).connect()
    assert (await client.greet(version="0.0.1"))["kind"] == "welcome"


async def test_an_engine_whose_models_files_changed_leaves(serve, options):
    await serve(StandIn())
    client = await RawClient(options).connect()
    reply = await client.greet(digest="0123456789ab")
    assert (reply["kind"], "files changed" in reply["message"]) == ("outdated", True)


@pytest.mark.parametrize(
    ("changes", "reason"), [({"protocol": 2}, "protocol"), ({"settings": {"device": "cuda"}}, "this client wants")]
)
async def test_another_protocol_and_other_settings_are_refused_with_the_reason(serve, options, changes, reason):
    await serve(StandIn())
    client = await RawClient(options).connect()
    reply = await client.greet(**changes)
    assert (reply["kind"], reason in reply["message"]) == ("refused", True)
    assert await client.receive() is None
    await still_works(options)


async def test_over_tcp_the_token_lets_in_and_nothing_else_does(serve, options):
    options = replace(options, transport="tcp")
    engine = StandIn()
    server = await serve(engine, transport="tcp")
    place = find_place(options)
    assert stat.S_IMODE(place.note.stat().st_mode) == 0o600
    await still_works(options)
    _, token = place.read_note()
    before = len(engine.log)
    for wrong in ("", "0" * 64, token, None, 7):
        client = await RawClient(options).connect()
        client.send(kind="hello", nonce="abc", identity=own_identity(options).to_wire())
        assert (await client.receive())["kind"] == "challenge"
        client.send(kind="proof", proof=wrong)
        reply = await client.receive()
        assert (reply["kind"], "token" in reply["message"]) == ("refused", True)
        assert await client.receive() is None
    assert len(engine.log) == before
    server.leave("over")
    for _ in range(1_500):
        if not place.note.exists():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the note outlived its engine")


async def test_the_client_sends_nothing_to_whoever_took_over_an_engines_port(options):
    options = replace(options, transport="tcp")
    heard = bytearray()

    async def impostor(reader, writer):
        heard.extend(await reader.read(65_536))
        writer.write(pack({"kind": "challenge", "proof": "0" * 64, "nonce": "n"}))
        heard.extend(await reader.read(65_536))
        writer.close()

    listener = await asyncio.start_server(impostor, "127.0.0.1", 0)
    place = find_place(options)
    place.write_note(listener.sockets[0].getsockname()[1], "the token")
    with pytest.raises(AbsentError, match="does not hold its token"):
        await dial(place, own_identity(options))
    listener.close()
    await asyncio.sleep(0.05)
    assert b"the token" not in heard
    assert b"proof" not in heard


async def test_only_looking_and_stopping_is_open_to_a_control_connection(serve, options):
    await serve(StandIn())
    client = await RawClient(options).connect()
    client.send(kind="hello", nonce="n", purpose="control")
    assert (await client.receive())["kind"] == "welcome"
    client.complete(1)
    assert "control" in (await client.receive())["message"]
    client.send(id=2, kind="stats", deadline=1.0)
    assert (await client.receive())["kind"] == "answer"
