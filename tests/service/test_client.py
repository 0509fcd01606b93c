"""`EngineClient` against servers in this process: what callers see of waiting, deadlines, cancelling and loss."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from engine.errors import BadRequestError, CancelledError, EngineUnavailableError, ModelError
from engine.service import client as client_module
from engine.service import dispatch as dispatch_module
from engine.service import server as server_module
from engine.service.backoff import FIRST_SECONDS, Backoff
from engine.service.link import Link
from engine.service.scheduler import Rank
from engine.types import CompleteRequest, RepairRequest
from tests.service.stand_in import StandIn


async def until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        await asyncio.sleep(0.005)


def request(prefix: str = "x", passes: int = 1, seconds: float | None = None) -> CompleteRequest:
    deadline = None if seconds is None else time.monotonic() + seconds
    return CompleteRequest(prefix, "", "python", max_tokens=passes, deadline=deadline)


@pytest.mark.parametrize("transport", ["unix", "tcp"])
async def test_every_kind_of_request_over_either_transport(serve, clients, options, transport):
    options = replace(options, transport=transport)
    engine = StandIn()
    await serve(engine, transport=transport)
    states = []
    client = clients(options, on_state=states.append)
    steps: list[dict] = []
    answer = await client.complete(request("hello", 3), trace=steps.append)
    assert answer.items[0].text == "HELLO"
    assert [step["pieces"] for step in steps][-1] == ["a", "a", "a", None]
    assert (await client.repair(RepairRequest("a = (", "python"))).repair.errors_before == 1
    await client.remember("x.py", "text")
    assert engine.memory == {"x.py": "text"}
    await client.warm(request("w"))
    await client.forget("x.py")
    assert engine.memory == {}
    assert (await client.stats())["passes"] >= 3
    pong = await client.ping()
    assert (pong["state"], pong["clients"]) == ("ready", 1)
    assert [s.state for s in states][-1] == "ready"
    assert client.state.model == "stand-in@0"
    await client.close()
    assert client.state.state == "stopped"
    with pytest.raises(EngineUnavailableError, match="closed"):
        await client.complete(request())


async def test_cancelling_the_task_cancels_the_work(serve, clients, options):
    engine = StandIn(nap=0.02)
    server = await serve(engine)
    client = clients(options)
    task = asyncio.create_task(client.complete(request(passes=500)))
    await asyncio.to_thread(engine.started.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while not server.dispatcher.idle:
        await asyncio.sleep(0.01)
    assert engine.passes < 100
    assert (await client.complete(request())).items


async def test_a_newer_request_of_a_document_raises_cancelled_in_the_older_one(serve, clients, options):
    engine = StandIn(nap=0.02)
    await serve(engine)
    client = clients(options)
    older = asyncio.create_task(client.complete(request(passes=500), document="a.py", automatic=True))
    await asyncio.to_thread(engine.started.wait, 30)
    assert (await client.complete(request("new"), document="a.py", automatic=True)).items[0].text == "NEW"
    with pytest.raises(CancelledError):
        await older


async def test_bad_requests_raise_in_either_mode(serve, clients, options):
    await serve(StandIn())
    client = clients(options)
    for automatic in (False, True):
        with pytest.raises(BadRequestError, match="surrogate"):
            await client.complete(request("\ud800"), automatic=automatic)
        with pytest.raises(BadRequestError, match="seed"):
            await client.complete(replace(request(), seed="one"), automatic=automatic)
    assert (await client.complete(request())).items


async def test_an_automatic_request_is_answered_at_its_deadline_whatever_the_engine_does(serve, clients, options):
    engine = StandIn()
    engine.goes_on.clear()
    await serve(engine)
    client = clients(options)
    await client.start()
    started = time.monotonic()
    assert (await client.complete(request(seconds=0.2), automatic=True)).items == []
    assert 0.15 < time.monotonic() - started < 30.0
    engine.goes_on.set()


async def test_a_hung_engine_is_given_up_and_its_connection_with_it(serve, clients, options, monkeypatch):
    monkeypatch.setattr(client_module, "HUNG_SECONDS", 0.3)
    engine = StandIn()
    engine.goes_on.clear()
    await serve(engine)
    client = clients(options)
    with pytest.raises(EngineUnavailableError, match="in time"):
        await client.complete(request(seconds=0.2))
    engine.goes_on.set()


async def test_an_engine_with_a_pass_that_hangs_leaves_and_the_next_request_finds_another(
    serve, clients, options, monkeypatch
):
    monkeypatch.setattr(client_module, "HUNG_SECONDS", 0.2)
    monkeypatch.setattr(dispatch_module, "STUCK_SECONDS", 0.4)
    monkeypatch.setattr(server_module, "DRAIN_SECONDS", 1.0)
    hung, fresh = StandIn(), StandIn()
    hung.goes_on.clear()
    server = await serve(hung)
    client = clients(options)
    with pytest.raises(EngineUnavailableError, match="in time"):
        await client.complete(request(seconds=0.1))
    # Its client has given up, so the request counts as cancelled; the pass hangs all the same.
    waiting = asyncio.create_task(client.complete(request("waiting", seconds=60)))
    await until(lambda: not server.door.place.socket.exists())
    await serve(fresh)
    assert (await waiting).items[0].text == "WAITING"
    assert fresh.log == ["complete waiting"]
    assert "hangs" in server._why_leaving
    hung.goes_on.set()


async def test_remembered_files_are_told_to_the_next_engine_but_not_those_forgotten(serve, clients, options):
    first, second = StandIn(), StandIn()
    server = await serve(first)
    client = clients(options)
    for name in ("a.py", "b.py", "c.py", "d.py"):
        await client.remember(name, "text of " + name)
    await client.forget("b.py")
    server.leave("for another")
    while server.door.place.socket.exists():
        await asyncio.sleep(0.01)
    await until(lambda: client.state.state == "stopped")
    client.drop("d.py")  # excluded while there is no engine
    client.drop("unknown.py")
    await serve(second)
    await client.complete(request())
    end = time.monotonic() + 30
    while second.memory != {"a.py": "text of a.py", "c.py": "text of c.py"}:
        assert time.monotonic() < end, second.memory
        await asyncio.sleep(0.01)


async def test_when_the_engine_leaves_what_it_had_not_done_is_asked_of_the_next(serve, clients, options):
    first, second = StandIn(nap=0.05), StandIn()
    server = await serve(first)
    client = clients(options)
    repair = asyncio.create_task(client.repair(RepairRequest("running", "python", seed=100)))
    remembering = asyncio.create_task(client.remember("a.py", "x"))
    await asyncio.to_thread(first.started.wait, 30)
    server.leave("for another")
    while server.door.place.socket.exists():
        await asyncio.sleep(0.01)
    await serve(second)
    assert (await repair).repair.text == "running"
    await remembering
    end = time.monotonic() + 30
    while second.memory != {"a.py": "x"}:
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def test_what_is_kept_to_be_remembered_again_is_bounded(serve, clients, options, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_REMEMBERED", 100)
    await serve(StandIn())
    client = clients(options)
    for n in range(10):
        await client.remember(f"{n}.py", "x" * 20)
    # A workspace is fed with what matters most first; and what is edited next has to fit in.
    assert list(client.remembered) == ["0.py", "1.py", "2.py", "3.py", "9.py"]
    await client.remember("9.py", "y" * 40)
    assert list(client.remembered) == ["0.py", "1.py", "2.py", "9.py"]
    await client.remember("0.py", "y" * 30)
    assert list(client.remembered) == ["0.py", "1.py", "2.py"]
    await client.remember("huge.py", "x" * 101)
    assert list(client.remembered) == ["0.py", "1.py", "2.py"]


async def test_without_memory_nothing_is_remembered(serve, clients, options):
    engine = StandIn()
    await serve(engine, memory=False)
    client = clients(replace(options, memory=False))
    await client.remember("a.py", "x")
    await client.forget("a.py")
    assert (await client.complete(request())).items
    assert engine.log == ["complete x"]


async def test_many_requests_at_once_share_one_connection(serve, clients, options):
    server = await serve(StandIn(nap=0.001))
    client = clients(options)
    answers = await asyncio.gather(*(client.complete(request(f"r{n}")) for n in range(50)))
    assert [a.items[0].text for a in answers] == [f"R{n}" for n in range(50)]
    assert len(server._connections) == 1


async def test_a_link_that_is_lost_fails_what_waits_and_tells_once(serve, options):
    from engine.service.dial import dial
    from engine.service.identity import own_identity
    from engine.service.link import LinkLostError
    from engine.service.place import find_place

    await serve(StandIn(nap=0.5))
    link: Link = await dial(find_place(options), own_identity(options))
    ends = []
    link.on_end = lambda: ends.append(1)
    calls = [asyncio.create_task(link.call({"kind": "stats", "deadline": 5.0})) for _ in range(3)]
    await asyncio.sleep(0)
    link.close()
    link.close()
    for call in calls:
        with pytest.raises(LinkLostError):
            await call
    with pytest.raises(LinkLostError):
        await link.call({"kind": "ping"})
    assert ends == [1]


def test_the_back_off_doubles_is_bounded_and_is_forgiven_after_a_good_while(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    backoff = Backoff()
    waits = []
    for _ in range(12):
        backoff.failure()
        waits.append(backoff.left)
        now += backoff.left
        assert backoff.left == 0
    assert waits[:3] == pytest.approx([FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS])
    assert max(waits) == waits[-1] == 30.0
    backoff.success()
    now += 61
    backoff.failure()
    assert backoff.left == pytest.approx(FIRST_SECONDS)


def test_the_back_off_holds_after_thousands_of_failures_in_a_row():
    backoff = Backoff()
    for _ in range(3_000):
        backoff.failure()
    assert 29.0 < backoff.left <= 30.0


async def test_a_file_that_cannot_be_sent_is_given_up_and_the_others_are_told_to_the_next_engine(
    serve, clients, options
):
    engine = StandIn()
    await serve(engine)
    client = clients(options)
    for path in ("a.py", "\udcff.py", "b.py"):
        client.keep(path, "text")
    await client.start()
    await until(lambda: engine.memory == {"a.py": "text", "b.py": "text"})
    assert list(client.remembered) == ["a.py", "b.py"]


async def test_what_is_told_again_takes_turns_with_what_is_told_now(serve, clients, options, monkeypatch):
    engine = StandIn(lanes=4)
    server = await serve(engine)
    scheduler, submit, beside = server.dispatcher.scheduler, server.dispatcher.submit, []

    def watch(job):
        beside.extend(j for j in [*scheduler, *scheduler.running] if j.rank is Rank.MEMORY)
        submit(job)

    monkeypatch.setattr(server.dispatcher, "submit", watch)
    client = clients(options)
    for n in range(30):
        client.keep(f"{n}.py", "old")
    await client.start()
    await asyncio.gather(*(client.forget(f"{n}.py") for n in range(15)), client.remember("29.py", "new"))
    await until(lambda: len(engine.memory) == 15)
    assert engine.memory == {f"{n}.py": "new" if n == 29 else "old" for n in range(15, 30)}
    assert beside == []


async def test_what_is_wrong_with_the_model_stays_told_when_the_engine_without_one_has_left(
    serve, clients, options, monkeypatch
):
    monkeypatch.setattr(server_module, "FAILED_IDLE_SECONDS", 0.3)

    def damaged(device: str) -> StandIn:
        raise ModelError("the model is damaged")

    server = await serve(damaged)
    client = clients(options)
    await client.start()
    await until(lambda: not server.door.place.socket.exists())
    await until(lambda: client._link is None)
    assert (client.state.state, client.state.message) == ("failed", "the model is damaged")
    await serve(StandIn())
    assert (await client.complete(request())).items
    assert client.state.state == "ready"


async def test_the_next_engine_is_told_what_is_not_saved(serve, clients, options):
    class Noting(StandIn):
        def remember(self, path: str, text: str, group: int = 0, store: bool = True) -> None:
            self.memory[path] = "saved" if store else "not saved"

    first, second = Noting(), Noting()
    server = await serve(first)
    client = clients(options)
    await client.remember("saved.py", "x")
    await client.remember("typed.py", "x", unsaved=True)
    await client.remember("both.py", "x", unsaved=True)
    await client.remember("both.py", "x")
    expected = {"saved.py": "saved", "typed.py": "not saved", "both.py": "saved"}
    assert first.memory == expected
    server.leave("for another")
    await until(lambda: client.state.state == "stopped")
    await serve(second)
    await client.complete(request())
    await until(lambda: len(second.memory) == 3)
    assert second.memory == expected
