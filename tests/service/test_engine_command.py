"""`remask engine` as a person uses it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from engine.cli.engine_command import summary
from engine.memory.store import cache_file
from engine.service import control
from tests.service.processes import alive, end, gone, listening, start_by_hand
from tests.service.raw_client import greeted
from tests.service.stand_in import StandIn


def remask(*words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "engine.cli.main", "engine", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds)


def test_without_an_engine_status_and_stop_say_so(folder):
    said = remask("--status", "--runtime-folder", str(folder))
    assert (said.returncode, said.stdout) == (1, "No engine is running: editors start one when they need it.\n")
    said = remask("--status", "--json", "--runtime-folder", str(folder))
    assert (said.returncode, json.loads(said.stdout)) == (1, {"engines": []})
    said = remask("--stop", "--runtime-folder", str(folder))
    assert (said.returncode, said.stdout) == (0, "No engine is running.\n")


async def test_status_shows_the_engines_that_run_and_stop_ends_them(tiny, folder):
    engines = [start_by_hand(tiny), start_by_hand(replace(tiny, transport="tcp"))]
    try:
        for options in (tiny, replace(tiny, transport="tcp")):
            await listening(options)
        said = await asyncio.to_thread(remask, "--status", "--json", "--runtime-folder", str(folder))
        found = json.loads(said.stdout)["engines"]
        assert {e["service"]["pid"] for e in found} == {e.pid for e in engines}
        said = await asyncio.to_thread(remask, "--status", "--runtime-folder", str(folder))
        assert all(f"process {e.pid}: " in said.stdout for e in engines)
        assert "0 clients" in said.stdout
        said = await asyncio.to_thread(remask, "--stop", "--runtime-folder", str(folder))
        assert said.stdout.count("has left") == 2
        for engine in engines:
            assert await asyncio.to_thread(engine.wait, 10) == 0
    finally:
        for engine in engines:
            end(engine)


async def test_stop_ends_an_engine_that_does_not_answer(tiny, folder):
    engine = start_by_hand(tiny)
    try:
        await listening(tiny)
        engine.send_signal(signal.SIGSTOP)
        said = await asyncio.to_thread(remask, "--status", "--runtime-folder", str(folder))
        assert f"process {engine.pid}: does not answer" in said.stdout
        said = await asyncio.to_thread(remask, "--stop", "--runtime-folder", str(folder))
        assert "was killed" in said.stdout
        await gone(engine.pid)
    finally:
        end(engine)


async def test_in_the_foreground_it_tells_what_it_does_and_ends_at_an_interrupt(tiny, folder):
    command = [sys.executable, "-m", "engine.cli.main", "engine", "--model", tiny.model, "--device", "cpu"]
    command += ["--runtime-folder", str(folder), "--log-file", tiny.log_file]
    engine = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert engine.stderr is not None
        first = await asyncio.to_thread(engine.stderr.readline)
        assert f"process {engine.pid} of Remask" in first
        second = await asyncio.to_thread(remask, *command[4:])
        assert (second.returncode, "already running" in second.stderr) == (75, True)
        assert str(engine.pid) in second.stderr
        assert alive(engine.pid)
        os.kill(engine.pid, signal.SIGINT)
        rest = await asyncio.to_thread(engine.stderr.read)
        assert "leaving: SIGINT received" in rest
        assert "Traceback" not in rest
        assert engine.wait(10) == 0
    finally:
        end(engine)


async def test_forget_stops_the_engines_and_deletes_what_the_memory_keeps(tiny, folder, clients):
    client = clients(tiny)
    await client.remember("/there/a.py", "x = 1\n")
    pid = (await client.ping())["pid"]
    file = cache_file()
    assert file.exists()
    await client.close()
    said = await asyncio.to_thread(remask, "--forget", "--runtime-folder", str(folder))
    assert (said.returncode, f"process {pid} has left." in said.stdout) == (0, True)
    assert f"{file} is gone" in said.stdout
    assert not list(file.parent.glob("memory.sqlite*"))
    said = await asyncio.to_thread(remask, "--forget", "--runtime-folder", str(folder))
    assert (said.returncode, f"There was no {file}" in said.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--transport", "pigeon"], "unknown transport 'pigeon'"),
        (["--device", "abacus"], "unknown device 'abacus'"),
        (["--log-level", "loud"], "unknown log level 'loud'"),
        (["--idle-minutes", "-1"], "--idle-minutes"),
        (["--idle-minutes", "nan"], "--idle-minutes"),
        (["--runtime-folder", "/proc/nowhere"], "REMASK_RUNTIME_DIR"),
    ],
)
def test_bad_settings_are_named(folder, words, complaint):
    said = remask("--log-file", str(folder / "log"), "--runtime-folder", str(folder), *words)
    assert said.returncode == 2
    assert complaint in said.stderr
    assert "Traceback" not in said.stderr


async def test_status_shows_what_an_engine_is_busy_with(serve, options, monkeypatch):
    monkeypatch.setattr(control, "ANSWER_SECONDS", 1.0)
    engine = StandIn(nap=0.05)
    server = await serve(engine)
    client = await greeted(options)
    engine.goes_on.clear()
    client.complete(1)
    client.complete(2)
    await asyncio.to_thread(engine.started.wait, 30)
    async with asyncio.timeout(30):
        while not len(server.dispatcher.scheduler):
            await asyncio.sleep(0.01)
    (found,) = await control.list_engines(options)
    engine.goes_on.set()
    assert summary(found) == f"process {os.getpid()}: ready and busy; running: complete; 1 waiting"
    assert found["device"] == "cpu"
