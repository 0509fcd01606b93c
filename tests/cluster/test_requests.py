"""What editors ask of a team's engine, on a cluster of two nodes and two replicas."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from engine.core import Engine
from tests.cluster.editor import CODE, HERE
from tests.cluster.team import Team, processor, urlopen

pytestmark = pytest.mark.cluster

LONG = {"max_tokens": 128, "alternatives": 8}  # seconds of work, even for a tiny model


async def test_the_welcome_names_the_model_and_the_limits(team: Team) -> None:
    async with team.editor() as editor:
        assert editor.welcome["kind"] == "welcome"
        assert editor.welcome["protocol"] == 1
        assert editor.welcome["name"] == "ann"
        assert editor.welcome["memory"] is False
        for _ in range(50):  # the ingress may not have asked a replica yet
            if (await editor.ask("ping"))["answer"]["state"] == "ready":
                break
            await asyncio.sleep(0.2)
        pong = (await editor.ask("ping"))["answer"]
        assert pong["digest"]
        assert pong["model"].endswith(pong["digest"])


async def test_suggestions_are_those_of_an_embedded_engine_with_the_same_model_and_seed(
    team: Team, tiny_model: Path
) -> None:
    with Engine("cpu", memory=False, model=tiny_model) as embedded:
        async with team.editor() as editor:
            for seed in (0, 7):
                there = await editor.complete(seed=seed, max_tokens=16)
                here = embedded.complete(**HERE, seed=seed, max_tokens=16)
                assert [item["text"] for item in there["answer"]["items"]] == [item.text for item in here]
            broken = "def f(:\n    return 1\n"
            repair = (await editor.ask("repair", text=broken, language="python"))["answer"]["repair"]
            assert repair["text"] == embedded.repair(broken).text


async def test_every_kind_of_request_is_answered(team: Team) -> None:
    async with team.editor() as editor:
        assert (await editor.ask("warm", **HERE))["answer"] is None
        rewrite = await editor.ask("rewrite", text="x = 1\ny = 2\n", start=0, end=5, language="python", degree="light")
        assert "edit" in rewrite["answer"]
        stats = (await editor.ask("stats"))["answer"]
        assert stats["device"] == "cpu"
        assert stats["service"]["clients"] == 1


async def test_denoising_steps_come_before_the_answer(team: Team) -> None:
    async with team.editor() as editor:
        answer = await editor.complete(trace=True, max_tokens=16)
        assert answer["answer"]["steps"] > 0
        assert [t["step"] for t in editor.traces] == list(range(1, len(editor.traces) + 1))
        assert editor.traces


async def test_a_cancelled_request_ends_between_two_steps_and_frees_its_replica(team: Team) -> None:
    async with team.editor() as editor:
        task = editor.start("complete", id=900, trace=True, document="c.py", **HERE, **LONG)
        while not editor.traces:
            await asyncio.sleep(0.005)
        began = time.monotonic()
        await editor.send({"id": 900, "kind": "cancel"})
        assert (await task)["error"] == "CancelledError"
        assert time.monotonic() - began < 10
        seen = len(editor.traces)
        after = await editor.complete(document="c.py", max_tokens=4)
        assert after["kind"] == "answer"
        assert len(editor.traces) <= seen + 3  # what was on its way


async def test_the_newest_request_of_a_document_supersedes_the_older_ones(team: Team) -> None:
    async with team.editor() as editor:
        tasks = []
        for n in range(6):
            text = HERE | {"prefix": CODE + "radius "[: n + 1]}
            tasks.append(editor.start("complete", document="s.py", **text, **(LONG if n < 5 else {"max_tokens": 4})))
            await asyncio.sleep(0.02)
        *stale, newest = await asyncio.gather(*tasks)
        assert newest["kind"] == "answer"
        assert [reply["error"] for reply in stale] == ["CancelledError"] * 5
        assert "newer" in stale[0]["message"]


async def test_another_connections_request_for_the_same_document_is_not_stale(team: Team) -> None:
    async with team.editor() as one, team.editor() as other:
        both = await asyncio.gather(one.complete(document="d.py"), other.complete(document="d.py"))
        assert [reply["kind"] for reply in both] == ["answer", "answer"]


async def test_deadlines_are_kept_behind_a_queue(team: Team) -> None:
    """Sixteen long requests on two replicas: everyone hears by their deadline, the automatic ones without an error."""
    async with team.editor() as editor:
        sent = time.monotonic()
        tasks = [
            editor.start("complete", 1.5, document=f"{n}.py", automatic=n % 2 == 0, **HERE, **LONG) for n in range(16)
        ]
        replies = await asyncio.gather(*tasks)
        assert max(reply["at"] for reply in editor.replies) - sent < 1.5 + 10  # a busy machine
        assert {reply["kind"] for reply in replies[::2]} == {"answer"}
        assert {reply.get("error", "") for reply in replies[1::2]} <= {"", "CancelledError", "EngineUnavailableError"}


async def test_a_documents_requests_find_its_prefix_cached(team: Team) -> None:
    """Twenty documents on two replicas: each finds its context the second time, which needs the same replica."""
    async with team.editor() as editor:
        for n in range(20):
            text = f"# {n}\n" + "".join(f"value_{n}_{i} = {i * n}\n" for i in range(12))
            first = await editor.complete(prefix=text, document=f"cached{n}.py", max_tokens=2)
            again = await editor.complete(prefix=text + "x", document=f"cached{n}.py", max_tokens=2)
            assert first["answer"]["prompt_tokens"] > 60
            assert again["answer"]["cached_tokens"] > 0.8 * again["answer"]["prompt_tokens"]


async def test_a_document_stays_with_its_replica_until_that_one_is_overloaded(team: Team) -> None:
    """By the processor time of both replicas: one works for a lone editor, both for two dozen at the same document."""
    engines = team.actors("remask:engine")
    assert len(engines) == 2

    async def work(editors: int) -> list[float]:
        before = [processor(process) for process in engines]
        async with contextlib.AsyncExitStack() as stack:
            crowd = [await stack.enter_async_context(team.editor()) for _ in range(editors)]
            tasks = []
            for one in crowd:
                tasks.append(one.start("complete", 6.0, document="spill.py", **HERE, **LONG))
                await asyncio.sleep(0.02)
            await asyncio.gather(*tasks)
        return sorted(processor(process) - b for process, b in zip(engines, before, strict=True))

    idle, busy = await work(1)
    assert idle < 0.2 * busy + 0.1
    less, more = await work(24)
    assert less > 0.1 * more + 0.2
    assert more >= less


async def test_what_one_user_has_remembered_reaches_nobody(team: Team) -> None:
    """The team's engine keeps no memory: an answer is the same before and after somebody's files were sent."""
    secret = "\n".join(f"launch_code_{i} = 'tango-{i}-foxtrot'" for i in range(40))
    hole = {"prefix": "\n".join(secret.splitlines()[:20]) + "\nlaunch_code_20 = '", "max_tokens": 16}
    bob = team.tokens.add("bob")
    async with team.editor() as ann, team.editor(bob) as other:
        before = await other.complete(**hole)
        assert (await ann.ask("remember", path="secret.py", text=secret))["answer"] is None
        after = await other.complete(**hole)
        own = await ann.complete(**hole)
        texts = [[item["text"] for item in reply["answer"]["items"]] for reply in (before, after, own)]
        assert texts[0] == texts[1] == texts[2]
        assert (await ann.ask("forget", path="secret.py"))["answer"] is None


@pytest.mark.parametrize(
    ("kind", "fields", "names"),
    [
        ("complete", {}, "prefix"),
        ("complete", HERE | {"prefix": 7}, "prefix"),
        ("complete", HERE | {"language": "cobol"}, "cobol"),
        ("complete", HERE | {"alternatives": 99}, "alternatives"),
        ("repair", {"text": "x", "language": 3}, "language"),
        ("dance", {}, "dance"),
        ("leave", {}, "leave"),
        ("complete", HERE | {"deadline": "soon"}, "deadline"),
    ],
)
async def test_bad_requests_get_an_error_that_names_the_field(
    team: Team, kind: str, fields: dict[str, Any], names: str
) -> None:
    async with team.editor() as editor:
        reply = await editor.ask(kind, **({"deadline": 5.0} | fields))
        assert reply["error"] == "BadRequestError"
        assert names in reply["message"]
        assert (await editor.ask("ping"))["kind"] == "answer"


async def test_the_same_id_twice_is_refused_while_the_first_is_under_way(team: Team) -> None:
    async with team.editor() as editor:
        first = editor.start("complete", id=5, trace=True, **HERE, **LONG)
        while not editor.traces:
            await asyncio.sleep(0.005)
        reply = await editor.ask("ping", id=6)
        assert reply["kind"] == "answer"
        second = await editor.ask("complete", id=5, **HERE)
        assert "already under way" in second["message"]
        await editor.send({"id": 5, "kind": "cancel"})
        first.cancel()


# HTTP, for scripts.


def post(team: Team, kind: str, body: bytes, token: str | None = None) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{team.port}/v1/{kind}",
        body,
        {"Authorization": f"Bearer {team.token if token is None else token}"},
    )
    try:
        with urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def test_scripts_post_json(team: Team) -> None:
    status, answer = post(team, "complete", json.dumps(HERE | {"max_tokens": 8}).encode())
    assert (status, "items" in answer) == (200, True)
    status, answer = post(team, "repair", json.dumps({"text": "def f(:\n", "language": "python"}).encode())
    assert (status, answer["repair"]["errors_before"] > 0) == (200, True)
    assert post(team, "complete", b"{")[0] == 400
    assert post(team, "complete", b"[]")[0] == 400
    assert post(team, "complete", b"{}")[0] == 400
    status, answer = post(team, "complete", json.dumps(HERE).encode(), token="remask_wrong")
    assert (status, answer["error"]) == (401, "UnauthorizedError")


def test_a_body_over_the_limit_is_refused_before_it_is_read(team: Team) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", team.port, timeout=30)
    connection.putrequest("POST", "/v1/complete")
    connection.putheader("Authorization", f"Bearer {team.token}")
    connection.putheader("Content-Length", "16777217")
    connection.endheaders(b"{")
    response = connection.getresponse()
    assert (response.status, json.load(response)["error"]) == (413, "TooLargeError")
    connection.close()


def test_health_needs_no_token(team: Team) -> None:
    with urlopen(f"http://127.0.0.1:{team.port}/v1/health", timeout=30) as response:
        assert json.load(response)["state"] == "ready"
