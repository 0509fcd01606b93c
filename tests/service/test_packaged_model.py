"""The engine process with the model that ships: memory, idleness, equality with the library, a long haul."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace

import pytest

from engine.core import Engine
from engine.errors import CancelledError
from engine.types import CompleteRequest, RepairRequest
from tests.service.processes import memory_megabytes, processor_seconds

pytestmark = pytest.mark.slow

LIMIT_MB = 600


def at(code: str, mark: str, **more: object) -> CompleteRequest:
    cut = code.index(mark) + len(mark)
    return CompleteRequest(code[:cut], code[cut:], "python", **more)  # type: ignore[arg-type]


async def test_over_the_wire_the_answer_is_the_librarys(options, clients, engine: Engine, real_code):
    client = clients(replace(options, memory=False))
    for mark in ("raise ModelError(f", "def raw(self, ", "self._files"):
        request = at(real_code, mark, alternatives=2)
        here, there = engine.run_complete(request), await client.complete(request)
        assert there.items == here.items
        assert there.prompt_tokens == here.prompt_tokens
    broken = real_code.replace("def release(self) -> None:", "def release(self -> None:", 1)
    request = RepairRequest(broken, "python")
    assert (await client.repair(request)).repair == engine.run_repair(request).repair


async def test_typing_on_reuses_the_context_that_a_prefill_left(options, clients, real_code):
    client = clients(options)
    request = at(real_code, "def quantised(")
    await client.warm(request)
    warmed = await client.complete(request)
    assert warmed.cached_tokens >= warmed.prompt_tokens - 20
    further = await client.complete(replace(request, prefix=request.prefix + "s"))
    assert further.cached_tokens >= further.prompt_tokens - 20
    assert (await client.stats())["cache_hit_rate"] > 0.5


async def test_memory_stays_under_its_limit_and_an_idle_engine_uses_no_processor(options, clients, real_code):
    client = clients(options)
    pid = (await client.ping())["pid"]
    for n in range(40):
        await client.remember(f"file{n}.py", real_code.replace("self", f"self_{n}"))
    lines = [i for i, c in enumerate(real_code) if c == "\n"]
    for n in range(30):
        cut = lines[n * 5 % len(lines)]
        variant = real_code.replace("weight", f"weight_{n % 6}")
        await client.complete(CompleteRequest(variant[:cut], variant[cut:], "python", alternatives=1 + n % 3))
    await client.repair(RepairRequest(real_code.replace("):", ")", 1), "python"))
    assert memory_megabytes(pid) < LIMIT_MB
    assert memory_megabytes(pid, "VmHWM") < LIMIT_MB
    await asyncio.sleep(0.5)
    used = processor_seconds(pid)
    await asyncio.sleep(5.0)
    assert processor_seconds(pid) - used <= 0.02


async def test_a_long_haul_with_many_editors_neither_grows_nor_stalls(options, clients, real_code):
    """Two minutes of eight editors that type, cancel, repair, save and reconnect, as a soak in small."""
    end = time.monotonic() + 120
    mid = time.monotonic() + 45
    sizes: list[float] = []
    answered = 0
    first = clients(options)
    pid = (await first.ping())["pid"]
    lines = [i for i, c in enumerate(real_code) if c == "\n"]

    async def editor(number: int) -> None:
        nonlocal answered
        dice = random.Random(number)
        client = clients(options)
        while time.monotonic() < end:
            cut = dice.choice(lines)
            request = CompleteRequest(real_code[:cut], real_code[cut:], "python", deadline=time.monotonic() + 2.0)
            what = dice.random()
            if what < 0.6:
                call = client.complete(request, document=f"{dice.randrange(3)}.py", automatic=True)
                task = asyncio.create_task(call)
                await asyncio.sleep(dice.random() * 0.4)
                if dice.random() < 0.5:
                    task.cancel()
                try:
                    await task
                    answered += 1
                except (asyncio.CancelledError, CancelledError):
                    pass
            elif what < 0.7:
                deadline = time.monotonic() + 1.0
                broken = RepairRequest(real_code.replace(":\n", "\n", 1), "python", deadline=deadline)
                try:
                    await client.repair(broken, document="r.py")
                except CancelledError:
                    pass
            elif what < 0.9:
                await client.remember(f"{number}-{dice.randrange(20)}.py", real_code[: dice.randrange(len(real_code))])
            else:
                await client.close()
                client = clients(options)

    async def watch() -> None:
        while time.monotonic() < end:
            await asyncio.sleep(3)
            if time.monotonic() > mid:
                sizes.append(memory_megabytes(pid))

    await asyncio.gather(watch(), *(editor(n) for n in range(8)))
    stats = await first.stats()
    assert stats["service"]["pid"] == pid
    assert answered > 20
    assert stats["service"]["waiting"] == 0
    assert max(sizes) < LIMIT_MB
    assert sizes[-1] - sizes[0] < 40, sizes
