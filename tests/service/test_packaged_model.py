"""The engine process with the model that ships: memory, idleness, equality with the library, a long haul."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import replace
from pathlib import Path

import pytest

from engine.bench.serve import simulate
from engine.core import Engine
from engine.types import CompleteRequest, RepairRequest
from tests.engine.answers import without_steps
from tests.service.processes import least_processor_seconds, memory_megabytes

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
        assert without_steps(there) == without_steps(here)
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
    for file in sorted(Path(inspect.getfile(inspect)).parent.glob("*.py")):  # a workspace of a hundred thousand lines
        await client.remember(str(file), file.read_text(encoding="utf-8", errors="replace"))
    lines = [i for i, c in enumerate(real_code) if c == "\n"]
    for n in range(12):
        cut = lines[n * 11 % len(lines)]
        variant = real_code.replace("weight", f"weight_{n % 6}")
        await client.complete(CompleteRequest(variant[:cut], variant[cut:], "python", alternatives=1 + n % 3))
    await client.repair(RepairRequest(real_code.replace("):", ")", 1), "python"))
    assert memory_megabytes(pid) < LIMIT_MB
    assert memory_megabytes(pid, "VmHWM") < LIMIT_MB
    await asyncio.sleep(0.5)
    assert await least_processor_seconds(pid, 5.0) <= 0.02


async def test_a_long_haul_with_many_editors_neither_grows_nor_stalls(options):
    """`remask bench serve` in small: eight editors type, save, repair and reconnect for two minutes."""
    tally = await simulate(options, editors=8, seconds=120.0)
    settled = tally.memory[len(tally.memory) // 3 :]
    assert tally.suggestions > 0  # how many depends on the machine: most are superseded by the next key
    assert tally.keystrokes >= tally.suggestions + tally.empty + tally.superseded > 0.9 * tally.keystrokes
    assert tally.waiting <= 8 * 4
    assert max(tally.memory) < LIMIT_MB
    assert settled[-1] - settled[0] < 40, settled
