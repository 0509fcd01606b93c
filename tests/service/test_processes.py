"""Real engine processes, with a tiny model so that they start fast: on demand, shared, killed, hung, replaced."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from engine.errors import EngineUnavailableError, ModelError
from engine.service import backoff
from engine.service import client as client_module
from engine.service import dial as dial_module
from engine.service.place import find_place
from engine.types import CompleteRequest
from tests.engine.answers import without_steps
from tests.service.processes import alive, end, gone, holder, least_processor_seconds, listening, start_by_hand
from tests.service.raw_client import RawClient, greeted


def request(seconds: float | None = None, passes: int = 8) -> CompleteRequest:
    deadline = None if seconds is None else time.monotonic() + seconds
    return CompleteRequest("def add(a, b):\n    return ", "\n", "python", max_tokens=passes, deadline=deadline)


@pytest.mark.parametrize("transport", ["unix", "tcp"])
async def test_the_engine_starts_on_demand_is_shared_by_all_who_come_and_leaves_when_told(tiny, clients, transport):
    options = replace(tiny, transport=transport)
    many = [clients(options) for _ in range(4)]
    answers = await asyncio.gather(*(client.complete(request()) for client in many))
    assert len({repr(without_steps(answer)) for answer in answers}) == 1
    pids = {(await client.ping())["pid"] for client in many}
    assert pids == {holder(options)}
    os.kill(pids.pop(), signal.SIGTERM)
    async with asyncio.timeout(30):
        while many[0].state.state != "stopped":
            await asyncio.sleep(0.01)
    assert many[0].state.message == "SIGTERM received"
    assert holder(options) is None


async def test_an_automatic_request_never_waits_for_an_engine_to_start(tiny, clients):
    client = clients(tiny)
    assert (await client.complete(request(0.1), automatic=True)).items == []
    assert client.state.state != "ready"
    await client.complete(request())
    assert client.state.state == "ready"


async def test_killed_while_idle_the_engine_is_back_before_anyone_asks(tiny, clients):
    states = []
    client = clients(tiny, on_state=states.append)
    await client.remember("a.py", "x = 1\n")
    first = (await client.ping())["pid"]
    os.kill(first, signal.SIGKILL)
    end_by = time.monotonic() + 60
    while [s.state for s in states].count("ready") < 2:
        assert time.monotonic() < end_by, states
        await asyncio.sleep(0.05)
    stats = await client.stats()
    assert stats["service"]["pid"] != first
    assert stats["service"]["files_remembered"] == 1
    # Whether a client sees it load depends on how soon it asks.
    assert [s.state for s in states if s.state != "loading"] == ["starting", "ready", "stopped", "starting", "ready"]


async def test_killed_at_work_an_invoked_request_is_answered_by_the_next_engine_an_automatic_one_by_nothing(
    tiny, clients
):
    client = clients(tiny)
    pid = (await client.ping())["pid"]
    await client.complete(request())
    os.kill(pid, signal.SIGSTOP)  # both requests are sent, neither is answered
    invoked = asyncio.create_task(client.complete(request()))
    automatic = asyncio.create_task(client.complete(request(60.0), automatic=True))
    await asyncio.sleep(0.2)
    started = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    assert (await automatic).items == []
    assert time.monotonic() - started < 10
    assert (await invoked).steps > 0
    assert (await client.ping())["pid"] != pid


async def test_a_client_killed_at_work_leaves_no_work_behind(tiny, clients, tmp_path):
    client = clients(tiny)
    await client.complete(request())
    script = tmp_path / "editor.py"
    script.write_text(
        "import asyncio, sys\n"
        "from engine.service.client import EngineClient, EngineOptions\n"
        "from engine.types import CompleteRequest\n"
        "async def main():\n"
        f"    client = EngineClient(EngineOptions(**{asdict(tiny)!r}))\n"
        "    await client.remember('theirs.py', 'x = 1')\n"
        "    jobs = [client.complete(CompleteRequest('x = ', '', 'python', max_tokens=64)) for _ in range(40)]\n"
        "    print('working', flush=True)\n"
        "    await asyncio.gather(*jobs)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as editor:
        assert editor.stdout is not None
        assert await asyncio.to_thread(editor.stdout.readline) == "working\n"
        editor.kill()
    end_by = time.monotonic() + 30
    while (stats := await client.stats())["service"]["files_remembered"] or stats["service"]["clients"] > 1:
        assert time.monotonic() < end_by
        await asyncio.sleep(0.02)
    assert (await client.ping())["waiting"] == 0


async def test_two_engines_started_at_once_leave_one(tiny, folder):
    rivals = [start_by_hand(tiny) for _ in range(3)]
    try:
        winner = await listening(tiny)
        losers = [r for r in rivals if r.pid != winner]
        assert len(losers) == 2
        for loser in losers:
            assert await asyncio.to_thread(loser.wait, 60) == 75
            assert b"already running" in loser.stderr.read()
        client = await greeted(tiny)
        client.send(id=1, kind="ping")
        assert (await client.receive("answer"))["answer"]["pid"] == winner
        client.close()
    finally:
        for rival in rivals:
            end(rival)


async def test_a_stale_socket_is_no_obstacle(tiny, clients):
    place = find_place(tiny)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place.socket))
    place.lock.write_text("999999")
    assert (await clients(tiny).complete(request())).steps > 0


async def test_a_socket_that_another_program_answers_on_is_taken_over(tiny, clients):
    place = find_place(tiny)

    async def shout(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    busy = await asyncio.start_unix_server(shout, str(place.socket))
    assert (await clients(tiny).complete(request())).steps > 0
    busy.close()


async def test_an_engine_that_hangs_is_killed_and_replaced(tiny, clients, monkeypatch):
    client = clients(tiny)
    hung = (await client.ping())["pid"]
    await client.complete(request())
    monkeypatch.setattr(dial_module, "GREETING_SECONDS", 2.0)
    monkeypatch.setattr(client_module, "HUNG_SECONDS", 0.5)
    os.kill(hung, signal.SIGSTOP)
    with pytest.raises(EngineUnavailableError, match="in time"):
        await client.complete(request(0.2))
    assert (await client.complete(request())).steps > 0
    assert (await client.ping())["pid"] != hung
    await gone(hung)


async def test_an_engine_of_older_sources_is_replaced_and_its_clients_follow(tiny, clients):
    older = start_by_hand(tiny, before="import engine.service.identity as i; i._build = lambda: 1")
    try:
        await listening(tiny)
        raw = await RawClient(tiny).connect()
        assert (await raw.greet(build=1))["kind"] == "welcome"
        client = clients(tiny)
        assert (await client.complete(request())).steps > 0
        assert (await client.ping())["pid"] != older.pid
        assert "replaced" in (await raw.receive("bye"))["message"]
        assert await asyncio.to_thread(older.wait, 60) == 0
    finally:
        end(older)


async def test_an_engine_whose_model_was_written_anew_is_replaced(tiny, clients, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny.model, model)
    options = replace(tiny, model=str(model))
    first = clients(options)
    await first.complete(request())
    old = await first.ping()
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"note": "trained a little more"}))
    second = clients(options)
    await second.complete(request())
    assert (await second.ping())["pid"] != old["pid"]
    await gone(old["pid"])
    assert (await first.ping())["pid"] == (await second.ping())["pid"]


@pytest.mark.parametrize("damage", ["missing", "cut short"])
async def test_a_missing_or_damaged_model_is_told_once_mended_it_is_found(tiny, clients, tmp_path, damage):
    model = tmp_path / "model"
    if damage == "cut short":
        shutil.copytree(tiny.model, model)
        weights = model / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1_000_000])
    client = clients(replace(tiny, model=str(model)))
    with pytest.raises(ModelError, match="no model folder" if damage == "missing" else "damaged"):
        await client.complete(request())
    assert client.state.state == "failed"
    assert str(model) in client.state.message
    assert (await client.complete(request(1.0), automatic=True)).items == []
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(tiny.model, model)
    await client.restart()
    assert (await client.complete(request())).steps > 0


async def test_an_engine_that_cannot_start_is_reported_with_its_last_words_and_tried_ever_more_rarely(
    tiny, clients, monkeypatch
):
    starts = []

    def broken(options):
        starts.append(time.monotonic())
        return [sys.executable, "-c", "import sys; sys.exit('remask: the sky is falling')"]

    monkeypatch.setattr("engine.service.spawn.command", broken)
    client = clients(tiny)
    for _ in range(3):
        with pytest.raises(EngineUnavailableError, match="the sky is falling"):
            await client.complete(request())
    assert client.state.state == "failed"
    assert starts[1] - starts[0] > 0.19
    assert starts[2] - starts[1] > 0.39
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 10.0)
    assert (await client.complete(request(2.0), automatic=True)).items == []
    with pytest.raises(EngineUnavailableError, match="next attempt in"):
        await client.complete(request())
    monkeypatch.undo()
    await client.restart()
    assert (await client.complete(request())).steps > 0


@pytest.mark.parametrize("log", ["/dev/full", "/proc/nowhere/engine.log"])
async def test_a_full_disk_and_a_folder_that_cannot_be_written_cost_the_log_only(tiny, clients, log):
    client = clients(replace(tiny, log_file=log))
    assert (await client.complete(request())).steps > 0
    if log != "/dev/full":
        assert "no log is kept" in (await client.ping())["message"]
        assert client.state.state == "ready"


async def test_a_cache_folder_that_cannot_be_written_costs_time_only_and_the_log_says_so(tiny, clients, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    client = clients(tiny)
    assert (await client.complete(request())).steps > 0
    await client.remember("a.py", "x = 1\n" * 20)
    assert (await client.stats())["memory_files"] == 1
    assert "/proc/nowhere" in Path(tiny.log_file).read_text()


async def test_where_not_a_byte_can_be_written_to_any_file_the_engine_works(tiny, clients):
    engine = start_by_hand(tiny, shell="ulimit -f 0")
    try:
        assert await listening(tiny) == 0  # even its process id could not be noted
        client = clients(tiny)
        assert (await client.complete(request())).steps > 0
        assert (await client.ping())["pid"] == engine.pid
    finally:
        end(engine)


async def test_a_runtime_folder_that_cannot_be_made_is_named(tiny, clients):
    client = clients(replace(tiny, runtime_folder="/proc/nowhere"))
    with pytest.raises(EngineUnavailableError, match="REMASK_RUNTIME_DIR"):
        await client.complete(request())
    assert client.state.state == "failed"
    assert (await client.complete(request(0.2), automatic=True)).items == []


async def test_an_idle_engine_with_a_thousand_idle_clients_uses_no_processor_and_serves_the_next(tiny, clients):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, hard), hard))
    client = clients(tiny)
    await client.complete(request())
    before = await client.stats()
    crowd = []
    try:
        for _ in range(20):
            crowd += await asyncio.gather(*(greeted(tiny) for _ in range(50)))
        pid = before["service"]["pid"]
        assert await least_processor_seconds(pid, 2.0) <= 0.02
        stats = await client.stats()
        assert stats["service"]["clients"] == 1_001
        assert stats["service"]["resident_bytes"] - before["service"]["resident_bytes"] < 50e6
        assert (await client.complete(request())).steps > 0
    finally:
        for one in crowd:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    end_by = time.monotonic() + 30
    while (await client.ping())["clients"] > 1:
        assert time.monotonic() < end_by
        await asyncio.sleep(0.05)


async def test_an_unused_engine_ends_its_process_and_the_next_request_starts_another(tiny, clients):
    client = clients(replace(tiny, idle_minutes=0.02))
    await client.complete(request())
    pid = (await client.ping())["pid"]
    await gone(pid)
    assert client.state.state == "stopped"
    assert "unused" in client.state.message
    assert (await client.complete(request())).steps > 0


async def test_the_engine_outlives_the_editor_that_started_it(tiny, clients, tmp_path):
    script = (
        "import asyncio\n"
        "from engine.service.client import EngineClient, EngineOptions\n"
        "async def main():\n"
        f"    client = EngineClient(EngineOptions(**{asdict(tiny)!r}))\n"
        "    print((await client.ping())['pid'])\n"
        "asyncio.run(main())\n"
    )
    where = tmp_path / "workspace"
    (where / "engine").mkdir(parents=True)
    (where / "engine" / "__init__.py").write_text("raise SystemExit('the workspace was imported')")
    run = [sys.executable, "-P", "-c", script]
    said = await asyncio.to_thread(subprocess.run, run, capture_output=True, text=True, cwd=where, timeout=60)
    assert said.returncode == 0, said.stderr
    pid = int(said.stdout)
    assert alive(pid)
    assert Path(f"/proc/{pid}/cwd").resolve() != where
    assert (await clients(tiny).ping())["pid"] == pid


async def test_nothing_of_the_users_code_is_in_the_log(tiny, clients):
    client = clients(replace(tiny, log_level="debug"))
    secret = "password = 'hunter2'"
    await client.complete(replace(request(), prefix=secret + "\nx = "))
    await client.remember("a.py", secret)
    await client.restart()
    log = Path(tiny.log_file).read_text()
    assert "ready after" in log
    assert "a client asked for a restart" in log
    assert "hunter2" not in log
    assert "password" not in log
