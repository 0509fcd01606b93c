"""More replicas, fewer, and new models, while people type; and the packaged model, against an embedded engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.core import Engine
from tests.cluster.editor import HERE
from tests.cluster.load import RESUME_SECONDS, type_away
from tests.cluster.team import Team
from tests.engine.tiny import LLAMA, write_model

pytestmark = pytest.mark.cluster

EDITORS = 8
DEADLINE = 10.0  # no request is to fail because the machine is slow


@pytest.fixture(scope="module")
def own_team(tiny_model: Path) -> Iterator[Team]:
    with Team(model=str(tiny_model), replicas=2) as team:
        yield team


async def test_a_new_model_is_rolled_out_while_everybody_types_on(own_team: Team, tmp_path: Path) -> None:
    """Both versions answer for a while, no request fails, and who stays connected or connects again is told."""
    newer = write_model(tmp_path / "newer", LLAMA | {"vocab_size": 49_152}, hidden_size=96, intermediate_size=128)
    stop = asyncio.Event()
    load = asyncio.create_task(type_away(own_team, EDITORS, stop, DEADLINE))
    await asyncio.sleep(2)
    began = time.monotonic()
    old = set(own_team.actors("remask:engine"))
    rollout = asyncio.create_task(asyncio.to_thread(own_team.deploy, replace(own_team.options, model=str(newer))))
    both = False
    while not rollout.done():
        now = set(own_team.actors("remask:engine"))
        both = both or bool(now & old and now - old)
        await asyncio.sleep(0.2)
    await rollout
    await asyncio.sleep(4)  # the last ingress leaves
    stop.set()
    account = await load
    assert both, "the old model was stopped before the new one was there"
    assert account.broken <= EDITORS  # ingresses are replaced as well: clients connect again
    assert account.unheard == 0
    assert account.errors == {}
    assert account.gap(began) < RESUME_SECONDS
    async with own_team.editor() as editor:
        assert editor.welcome["model"].startswith("newer@")
        assert (await editor.ask("stats"))["answer"]["model"].startswith("newer@")


async def test_replicas_are_added_when_a_queue_grows_and_drained_when_they_are_to_go(own_team: Team) -> None:
    """From one to two by themselves under load, then back to one, with no request lost."""
    long = {"max_tokens": 32, "alternatives": 2}  # a fast machine has a queue as well
    one = replace(own_team.options, replicas=1, max_replicas=2, target_waiting=1.0)
    await asyncio.to_thread(own_team.deploy, one)
    stop = asyncio.Event()
    load = asyncio.create_task(type_away(own_team, EDITORS, stop, 5 * DEADLINE, **long))
    end = time.monotonic() + 180
    while (grown := len(own_team.actors("remask:engine"))) < 2 and time.monotonic() < end:
        await asyncio.sleep(0.5)
    await asyncio.to_thread(own_team.deploy, replace(one, max_replicas=0))
    await asyncio.sleep(1)
    stop.set()
    account = await load
    assert grown == 2, "no replica was added"
    assert account.broken <= 2 * EDITORS
    assert account.unheard == 0
    assert account.errors == {}
    assert account.replied >= EDITORS


async def test_a_model_that_cannot_be_loaded_leaves_the_old_one_serving(own_team: Team, tmp_path: Path) -> None:
    broken = write_model(tmp_path / "broken", LLAMA | {"vocab_size": 49_152})
    weights = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    serving = own_team.options
    with pytest.raises(RuntimeError):
        await asyncio.to_thread(own_team.deploy, replace(serving, model=str(broken)))
    async with own_team.editor() as editor:
        assert (await editor.complete(max_tokens=4))["kind"] == "answer"


async def test_the_packaged_model_suggests_what_an_embedded_engine_suggests(own_team: Team, engine: Engine) -> None:
    await asyncio.to_thread(own_team.deploy, replace(own_team.options, model=None, replicas=1))
    async with own_team.editor() as editor:
        for seed in (0, 3):
            there = (await editor.complete(60, seed=seed, alternatives=3))["answer"]
            here = engine.complete(**HERE, seed=seed, alternatives=3)
            assert there["items"], "the packaged model has something to say here"
            assert [(i["text"], i["tokens"]) for i in there["items"]] == [(i.text, i.tokens) for i in here]
