"""A server on real sockets with a stand-in for the model: deadlines, cancelling, turns, and the ways to leave."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from engine.errors import CancelledError, EngineUnavailableError, ModelError
from engine.memory import Memory, rests_of_line
from engine.service import frames
from engine.service import server as server_module
from engine.service.scheduler import MAX_QUEUED_OF_ONE
from engine.types import CompleteAnswer, CompleteRequest, Completion, Repair, RepairAnswer
from tests.service.raw_client import RawClient, greeted
from tests.service.stand_in import StandIn


async def until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        await asyncio.sleep(0.005)


async def test_requests_are_answered_by_id_and_run_one_after_the_other_on_one_thread(serve, options):
    engine = StandIn()
    await serve(engine)
    client = await greeted(options)
    for id in range(1, 6):
        client.complete(id, prefix=f"request {id}")
    client.send(id=6, kind="repair", deadline=30.0, text="a = (", language="python")
    replies = await client.replies(6)
    assert [replies[id]["answer"]["items"][0]["text"] for id in range(1, 6)] == [f"REQUEST {i}" for i in range(1, 6)]
    assert replies[6]["answer"]["repair"]["text"] == "a = ("
    assert engine.thread.isdisjoint({threading.get_ident()})
    assert len(engine.thread) == 1


async def test_where_the_engine_has_lanes_as_many_requests_run_at_once(serve, options):
    engine = StandIn(lanes=2)
    server = await serve(engine)
    client = await greeted(options)
    engine.goes_on.clear()
    for id in (1, 2, 3):
        client.complete(id, prefix=f"request {id}", passes=6)
    scheduler = server.dispatcher.scheduler
    await until(lambda: len(scheduler.running) == 2 and len(scheduler) == 1)
    engine.goes_on.set()
    replies = await client.replies(3)
    assert [replies[id]["answer"]["items"][0]["text"] for id in (1, 2, 3)] == [f"REQUEST {i}" for i in (1, 2, 3)]
    assert len(engine.thread) == 2


async def test_a_file_is_remembered_while_a_request_holds_the_only_lane(serve, options):
    engine = StandIn()
    await serve(engine)
    client = await greeted(options)
    engine.goes_on.clear()
    client.complete(1, passes=6)
    await asyncio.to_thread(engine.started.wait, 30)
    client.send(id=2, kind="remember", deadline=30.0, path="a.py", text="x = 1\n")
    assert (await client.receive())["id"] == 2
    assert engine.memory == {"a.py": "x = 1\n"}
    assert len(engine.thread) == 2
    engine.goes_on.set()
    assert (await client.receive())["id"] == 1


async def test_a_cancelled_request_stops_between_two_passes(serve, options):
    engine = StandIn(nap=0.02)
    await serve(engine)
    client = await greeted(options)
    client.complete(1, passes=200)
    await asyncio.to_thread(engine.started.wait, 30)
    client.send(id=1, kind="cancel")
    reply = await client.receive()
    assert (reply["id"], reply["error"]) == (1, "CancelledError")
    assert engine.passes < 100
    client.complete(2)
    assert (await client.receive())["kind"] == "answer"


async def test_cancelling_what_waits_what_is_over_and_what_never_was(serve, options):
    engine = StandIn(nap=0.02)
    await serve(engine)
    client = await greeted(options)
    engine.goes_on.clear()
    client.complete(1, passes=20)
    client.complete(2, prefix="never")
    for id in (2, 99):
        client.send(id=id, kind="cancel")
    reply = await client.receive()
    assert (reply["id"], reply["error"]) == (2, "CancelledError")
    engine.goes_on.set()
    reply = await client.receive()
    assert (reply["id"], reply["kind"]) == (1, "answer")
    client.send(id=1, kind="cancel")
    client.send(id=3, kind="ping")
    assert (await client.receive())["id"] == 3
    assert "complete never" not in engine.log


async def test_the_newest_request_of_a_document_stops_the_one_that_runs(serve, options):
    engine = StandIn(nap=0.02)
    await serve(engine)
    client = await greeted(options)
    client.complete(1, prefix="f", passes=200, document="a.py", automatic=True)
    await asyncio.to_thread(engine.started.wait, 30)
    client.complete(2, prefix="fo", passes=200, document="a.py", automatic=True)
    client.complete(3, prefix="foo", document="a.py", automatic=True)
    replies = await client.replies(3)
    assert [replies[id].get("error") for id in (1, 2, 3)] == ["CancelledError", "CancelledError", None]
    assert engine.log[:2] == ["complete f", "complete foo"]
    assert engine.passes < 100


async def test_two_editors_with_the_same_document_do_not_cancel_each_other(serve, options):
    engine = StandIn(nap=0.01)
    await serve(engine)
    one, other = await greeted(options), await greeted(options)
    one.complete(1, passes=10, document="a.py")
    other.complete(1, passes=10, document="a.py")
    assert (await one.receive())["kind"] == "answer"
    assert (await other.receive())["kind"] == "answer"


async def test_at_its_deadline_a_running_request_answers_with_what_held_up(serve, options):
    engine = StandIn(nap=0.02)
    await serve(engine)
    client = await greeted(options)
    client.complete(1, passes=10_000, deadline=1.0)
    reply = await client.receive()
    assert reply["kind"] == "answer"
    assert 1 <= reply["answer"]["steps"] < 100  # as many as there is time for, and not minutes' worth of them


async def test_an_automatic_request_that_waits_answers_with_nothing_at_its_deadline_and_is_never_run(serve, options):
    engine = StandIn(nap=0.02)
    await serve(engine)
    client = await greeted(options)
    engine.goes_on.clear()
    client.complete(1, passes=5)
    client.complete(2, prefix="late", automatic=True, deadline=0.1)
    client.complete(3, prefix="late too", automatic=False, deadline=0.1)
    replies = await client.replies(2)  # while the first one still runs
    assert replies[2]["answer"]["items"] == []
    assert replies[3]["error"] == "CancelledError"
    engine.goes_on.set()
    assert (await client.receive())["id"] == 1
    assert "complete late" not in engine.log


async def test_who_waits_for_an_answer_waits_for_the_model_and_what_comes_unasked_does_not(serve, options):
    engine = StandIn()
    may_load = threading.Event()

    def load(device: str) -> StandIn:
        may_load.wait(60)
        return engine

    await serve(load)
    client = await RawClient(options).connect()
    welcome = await client.greet()
    assert (welcome["state"], welcome["device"]) == ("loading", None)
    client.complete(1, deadline=1.0)
    client.complete(2, deadline=0.1, automatic=True)
    client.send(id=3, kind="ping")
    client.send(id=4, kind="stats", deadline=30.0)
    replies = await client.replies(3)
    assert replies[2]["answer"]["items"] == []
    assert replies[3]["answer"]["state"] == "loading"
    assert replies[4]["answer"]["service"]["waiting"] >= 1
    await asyncio.sleep(1.2)
    may_load.set()
    state = await client.receive()
    assert (state["kind"], state["state"], state["model"]) == ("state", "ready", "stand-in@0")
    assert (await client.receive())["answer"]["items"][0]["text"] == "X"
    assert engine.log == ["complete x"]


async def test_a_repair_gives_way_to_a_completion_and_is_done_all_the_same(serve, options):
    engine = StandIn(nap=0.02)
    server = await serve(engine)
    client = await greeted(options)
    engine.goes_on.clear()
    client.send(id=1, kind="repair", deadline=30.0, text="r", language="python", seed=20, document="a.py")
    await asyncio.to_thread(engine.started.wait, 30)
    client.complete(2, prefix="now", document="a.py", automatic=True)
    await until(lambda: len(server.dispatcher.scheduler) == 1)
    engine.goes_on.set()
    first, second = await client.receive(), await client.receive()
    assert (first["id"], second["id"]) == (2, 1)
    assert (first["kind"], second["kind"]) == ("answer", "answer")
    assert second["answer"]["steps"] == 20
    assert engine.log == ["repair r", "complete now", "repair r"]
    assert server.dispatcher.counters["preempted"] == 1


async def test_a_prefill_gives_way_at_once_and_goes_on_afterwards(serve, options):
    engine = StandIn(nap=0.02)
    server = await serve(engine)
    client = await greeted(options)
    engine.goes_on.clear()
    warm = {"kind": "warm", "deadline": 30.0, "prefix": "w", "suffix": "", "language": "python", "max_tokens": 20}
    client.send(id=1, **warm)
    await asyncio.to_thread(engine.started.wait, 30)
    client.complete(2, prefix="now")
    await until(lambda: len(server.dispatcher.scheduler) == 1)
    engine.goes_on.set()
    assert [(await client.receive())["id"] for _ in range(2)] == [2, 1]
    assert engine.log == ["warm w", "cut warm w", "complete now", "warm w"]


async def test_steps_are_told_as_they_happen(serve, options):
    await serve(StandIn())
    client = await greeted(options)
    client.complete(1, passes=3, trace=True)
    steps = [await client.receive() for _ in range(3)]
    assert [s["pieces"] for s in steps] == [["a", None], ["a", "a", None], ["a", "a", "a", None]]
    assert [(s["step"], s["event"], s["changed"]) for s in steps] == [(n + 1, "verify", [n]) for n in range(3)]
    assert (await client.receive())["kind"] == "answer"


async def test_a_failure_inside_the_engine_is_that_requests_own(serve, options, caplog):
    engine = StandIn()
    await serve(engine)
    client = await greeted(options)
    engine.fault = ValueError("secret = 'the code of the user'")
    client.complete(1)
    reply = await client.receive()
    assert (reply["error"], "ValueError" in reply["message"]) == ("RemaskError", True)
    assert "secret" not in reply["message"] + caplog.text
    assert "stand_in.py" in caplog.text
    engine.fault = None
    client.complete(2)
    assert (await client.receive())["kind"] == "answer"


async def test_a_gpu_that_runs_out_of_memory_is_left_for_the_processor_and_the_engine_says_so(serve, options):
    gpu, processor = StandIn("cuda"), StandIn("cpu")
    gpu.fault = RuntimeException("CUDA out of memory: tried to allocate 2 GiB")
    await serve(lambda device: processor if device == "cpu" else gpu, device="cuda")
    client = await greeted(replace(options, device="cuda"))
    client.complete(1)
    assert (await client.receive("answer", "error"))["answer"]["items"][0]["text"] == "X"
    client.send(id=2, kind="ping")
    pong = (await client.receive("answer"))["answer"]
    assert pong["device"] == "cpu"
    assert "CUDA out of memory" in pong["message"]
    assert gpu.log[-1] == "close"


async def fails_and_is_served(client, engine: StandIn) -> None:
    """A request ends with the engine's fault, told by its class alone; the next one is answered."""
    name = type(engine.fault).__name__
    client.complete(1)
    reply = await client.receive("answer", "error")
    assert (reply["error"], name in reply["message"]) == ("RemaskError", True)
    engine.fault = None
    client.complete(2)
    assert (await client.receive("answer", "error"))["kind"] == "answer"


@pytest.mark.parametrize("bug", [IndexError, RuntimeError])
async def test_a_bug_on_a_gpu_is_that_requests_own_and_costs_nobody_the_gpu(serve, options, caplog, bug):
    gpu, loaded = StandIn("cuda"), []
    gpu.fault = bug("secret = 'the code of the user'")

    def load(device: str) -> StandIn:
        loaded.append(device)
        return gpu

    await serve(load, device="cuda")
    client = await greeted(replace(options, device="cuda"))
    await fails_and_is_served(client, gpu)
    assert loaded == ["cuda"]
    assert "secret" not in caplog.text


async def test_a_request_that_fails_on_the_processor_too_ends_nothing_and_what_it_said_is_kept_nowhere(
    serve, options, caplog
):
    gpu, processor = StandIn("cuda"), StandIn("cpu")
    gpu.fault = processor.fault = RuntimeError("secret = 'the code of the user'")
    gpu.fault_in = "engine.denoiser"
    await serve(lambda device: processor if device == "cpu" else gpu, device="cuda")
    client = await greeted(replace(options, device="cuda"))
    await fails_and_is_served(client, processor)
    client.send(id=3, kind="ping")
    pong = (await client.receive("answer"))["answer"]
    assert pong["message"].startswith("the GPU failed (RuntimeError)")
    assert "secret" not in caplog.text + str(pong)


async def test_a_gpu_that_the_engine_itself_gave_up_is_told_and_the_request_is_answered(serve, options):
    engine = StandIn("cuda", lanes=4)
    server = await serve(engine, device="cuda")
    client = await greeted(replace(options, device="cuda"))
    client.complete(1)
    await client.receive("answer")
    work = engine.run_complete

    def lose(*arguments):
        """As a denoiser does in a pass: it is on the processor by the time that it says so."""
        if engine.device == "cpu":
            return work(*arguments)
        engine.device, engine.trouble, engine.lanes = "cpu", "CUDA failed in a pass: device lost", 1
        raise ModelError(engine.trouble)

    engine.run_complete = lose  # type: ignore[method-assign]
    client.complete(2, prefix="lost")
    told = await client.receive("state")
    assert (told["device"], "device lost" in told["message"]) == ("cpu", True)
    assert (await client.receive("answer", "error"))["answer"]["items"][0]["text"] == "LOST"
    client.send(id=3, kind="ping")
    pong = (await client.receive("answer"))["answer"]
    assert (pong["device"], "device lost" in pong["message"]) == ("cpu", True)
    assert server.dispatcher.scheduler.lanes == 1


async def test_files_that_were_remembered_outlive_the_gpu(serve, options):
    gpu, processor = StandIn("cuda"), StandIn("cpu")
    own, files = processor.memory, gpu.memory
    await serve(lambda device: processor if device == "cpu" else gpu, device="cuda")
    client = await greeted(replace(options, device="cuda"))
    client.send(id=1, kind="remember", path="a.py", text="x", deadline=30.0)
    assert (await client.receive("answer", "error"))["kind"] == "answer"
    gpu.fault = RuntimeException("CUDA failure 2: out of memory")
    client.complete(2)
    assert (await client.receive("answer", "error"))["kind"] == "answer"
    assert processor.memory is files
    assert (processor.memory, files.closed, own.closed) == ({"a.py": "x"}, False, True)


async def test_where_the_processor_cannot_take_over_from_a_gpu_everyone_is_told_and_the_engine_leaves(
    serve, options, monkeypatch
):
    monkeypatch.setattr(server_module, "FAILED_IDLE_SECONDS", 2.0)
    gpu = StandIn("cuda")
    gpu.fault = RuntimeException("CUDA failure 2: out of memory")

    def load(device: str) -> StandIn:
        if device == "cuda":
            return gpu
        time.sleep(0.2)
        raise ModelError("there is not enough memory for the model")

    await serve(load, device="cuda")
    client = await greeted(replace(options, device="cuda"))
    client.complete(1)
    client.complete(2)  # which waits for its turn
    told = await client.receive("state")
    while told["state"] != "failed":
        told = await client.receive("state")
    assert told["device"] is None
    replies = await client.replies(2)
    for text in (told["message"], replies[1]["message"], replies[2]["message"]):
        assert "CUDA failure 2" in text
        assert "not enough memory" in text
    assert {reply["error"] for reply in replies.values()} == {"ModelError"}
    client.complete(3)
    assert (await client.receive("error"))["error"] == "ModelError"
    assert "unused" in (await client.receive("bye"))["message"]


async def test_when_two_requests_lose_the_gpu_the_processor_is_loaded_once_and_answers_both(serve, options):
    gpu, processor, loaded = StandIn("cuda", lanes=2), StandIn("cpu"), []
    gpu.fault = RuntimeException("CUDA out of memory")

    def load(device: str) -> StandIn:
        loaded.append(device)
        time.sleep(0.05)
        return processor if device == "cpu" else gpu

    await serve(load, device="cuda")
    client = await greeted(replace(options, device="cuda"))
    client.complete(1, prefix="a")
    client.complete(2, prefix="b")
    replies = await client.replies(2)
    assert [replies[id]["answer"]["items"][0]["text"] for id in (1, 2)] == ["A", "B"]
    assert loaded == ["cuda", "cpu"]


async def test_a_model_that_cannot_be_loaded_is_told_to_everyone_who_asks(serve, options):
    def load(device: str) -> StandIn:
        time.sleep(0.2)
        raise ModelError("model.safetensors is damaged: install Remask again")

    await serve(load)
    client = await greeted(options)
    client.complete(1)
    replies = await client.replies(1)
    assert (replies[1]["error"], "damaged" in replies[1]["message"]) == ("ModelError", True)
    client.complete(2)
    assert (await client.receive("error"))["error"] == "ModelError"
    late = await RawClient(options).connect()
    assert (await late.greet())["state"] == "failed"


async def test_more_requests_than_the_queue_holds_are_refused_not_stored(serve, options):
    engine = StandIn(nap=0.02)
    server = await serve(engine)
    client = await greeted(options)
    client.complete(1, passes=1_000, deadline=60.0)
    await asyncio.to_thread(engine.started.wait, 30)
    for id in range(2, 200):
        client.complete(id)
    client.send(id=1_000, kind="ping")
    await until(lambda: len(server.dispatcher.scheduler) >= MAX_QUEUED_OF_ONE)
    replies = await client.replies(198 - MAX_QUEUED_OF_ONE + 1)
    assert 1_000 in replies
    refused = [r for r in replies.values() if r["kind"] == "error"]
    assert {r["error"] for r in refused} == {"EngineUnavailableError"}
    assert len(refused) == 198 - MAX_QUEUED_OF_ONE
    client.close()


async def test_the_same_id_twice_is_refused_while_the_first_is_under_way(serve, options):
    engine = StandIn(nap=0.02)
    await serve(engine)
    client = await greeted(options)
    client.complete(1, passes=1_000, deadline=60.0)
    await asyncio.to_thread(engine.started.wait, 30)
    client.complete(1)
    assert "already under way" in (await client.receive())["message"]
    client.send(id=1, kind="cancel")
    assert (await client.receive())["error"] == "CancelledError"


async def test_bad_requests_are_named_and_do_no_harm(serve, options):
    await serve(StandIn())
    client = await greeted(options)
    client.send(id=1, kind="dance", deadline=1.0)
    client.send(id=2, kind="complete", prefix="x", suffix="", language="python")
    client.send(id=3, kind="complete", prefix=7, suffix="", language="python", deadline=1.0)
    client.send(id=4, kind="remember", path="x.py", text=None, deadline=1.0)
    client.send(id=5, kind="repair", text="x", language="python", deadline=1.0, document=9)
    replies = await client.replies(5)
    assert {r["error"] for r in replies.values()} == {"BadRequestError"}
    names = {1: "dance", 2: "deadline", 3: "prefix", 4: "text", 5: "document"}
    assert all(word in replies[id]["message"] for id, word in names.items())
    client.complete(6)
    assert (await client.receive())["kind"] == "answer"


async def test_when_an_editor_dies_its_work_stops_and_its_files_are_forgotten(serve, options):
    engine = StandIn(nap=0.02)
    server = await serve(engine)
    dying, other = await greeted(options), await greeted(options)
    for client, path in ((dying, "mine.py"), (dying, "ours.py"), (other, "ours.py")):
        client.send(id=1, kind="remember", path=path, text="x", deadline=30.0)
        assert (await client.receive())["kind"] == "answer"
    dying.complete(2, passes=500)
    dying.complete(3, prefix="waiting")
    await until(lambda: "complete x" in engine.log)
    dying.close()
    await until(lambda: server.dispatcher.idle)
    await until(lambda: engine.memory == {"ours.py": "x"})
    assert engine.passes < 200
    assert "complete waiting" not in engine.log


async def test_what_an_editor_gave_up_just_before_it_died_is_forgotten_all_the_same(serve, options):
    engine = StandIn(nap=0.02)
    server = await serve(engine)
    dying = await greeted(options)
    dying.send(id=1, kind="remember", path="mine.py", text="x", deadline=30.0)
    assert (await dying.receive())["kind"] == "answer"
    engine.remembers.clear()
    dying.send(id=2, kind="remember", path="last.py", text="y", deadline=30.0)
    await until(lambda: "remember last.py" in engine.log)
    dying.send(id=3, kind="forget", path="mine.py", deadline=30.0)
    await until(lambda: len(server.dispatcher.scheduler) == 1)
    dying.close()
    await until(lambda: not server._connections)
    engine.remembers.set()
    await until(lambda: engine.memory == {})


async def test_an_unused_engine_leaves_and_says_why(serve, options):
    engine = StandIn()
    server = await serve(engine, idle_minutes=0.02)
    client = await greeted(options)
    started = time.monotonic()
    client.complete(1)
    await client.replies(1)
    goodbye = await client.receive("bye")
    assert "unused for 1.2 seconds" in goodbye["message"]
    assert time.monotonic() - started > 1.0
    assert await client.receive() is None
    assert not server.door.place.socket.exists()
    assert engine.log[-1] == "close"


async def test_an_engine_at_work_does_not_leave_however_long_it_takes(serve, options):
    engine = StandIn(nap=0.02)
    server = await serve(engine, idle_minutes=0.02)
    client = await greeted(options)
    engine.goes_on.clear()
    client.complete(1, passes=5)
    await asyncio.sleep(2.0)
    assert server.door.place.socket.exists()
    engine.goes_on.set()
    reply = await client.receive()
    assert (reply["kind"], reply["answer"]["steps"]) == ("answer", 5)


async def test_looking_at_an_engine_does_not_keep_it(serve, options):
    await serve(StandIn(), idle_minutes=0.02)
    client = await greeted(options)
    for id in range(1, 100):
        client.send(id=id, kind="ping" if id % 2 else "stats", deadline=30.0)
        message = await client.receive()
        if message is None or message["kind"] == "bye":
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never left")


async def test_an_engine_told_to_leave_first_answers_who_waits(serve, options):
    engine = StandIn(nap=0.02)
    server = await serve(engine)
    client, other = await greeted(options), await greeted(options)
    engine.goes_on.clear()
    client.complete(1, passes=20)
    client.complete(2, passes=1)
    client.send(id=3, kind="repair", deadline=30.0, text="x", language="python")
    await asyncio.to_thread(engine.started.wait, 30)
    await until(lambda: len(server.dispatcher.scheduler) == 2)
    other.send(id=1, kind="leave", why="an upgrade")
    await until(lambda: server.dispatcher._draining)
    engine.goes_on.set()
    replies = await client.replies(2)
    assert (replies[1]["kind"], replies[2]["kind"]) == ("answer", "answer")
    assert (await client.receive())["message"] == "an upgrade"
    assert await client.receive() is None


async def test_stats_have_the_engines_numbers_and_the_services(serve, options):
    await serve(StandIn())
    client = await greeted(options)
    client.complete(1, passes=3)
    client.send(id=2, kind="stats", deadline=30.0)
    stats = (await client.replies(2))[2]["answer"]
    assert stats["passes"] == 3
    assert stats["service"]["requests"] == {"complete": 1, "stats": 1}
    assert stats["service"]["resident_bytes"] > 1_000_000
    assert stats["service"]["clients"] == 1


async def test_an_answer_that_fits_into_no_frame_is_an_error_for_that_request_and_ends_nothing(
    serve, options, monkeypatch
):
    engine = StandIn()
    await serve(engine)
    client = await greeted(options)
    monkeypatch.setattr(frames, "MAX_FRAME", 5_000)
    engine.run_repair = lambda request, cancel: RepairAnswer(Repair([], "x" * 5_000, 1, 1), 1)  # type: ignore[method-assign]
    client.send(id=1, kind="repair", deadline=30.0, text="r", language="python")
    reply = await client.receive()
    assert (reply["id"], reply["error"], "takes at most 5,000" in reply["message"]) == (1, "BadRequestError", True)
    client.complete(2)
    assert (await client.receive())["kind"] == "answer"


async def test_a_repair_that_gave_way_after_its_deadline_is_answered_at_once(serve, options):
    engine = StandIn(nap=0.02)
    server = await serve(engine)
    client = await greeted(options)

    may_end = threading.Event()

    def stubborn(request, cancel):
        """Looks at its token long after its deadline."""
        engine.started.set()
        may_end.wait(60)
        raise CancelledError("")

    engine.run_repair = stubborn  # type: ignore[method-assign]
    client.send(id=1, kind="repair", deadline=1.0, text="r", language="python", document="a.py")
    await asyncio.to_thread(engine.started.wait, 30)
    client.complete(2, passes=200)
    await until(lambda: len(server.dispatcher.scheduler) == 1)
    await asyncio.sleep(1.2)
    may_end.set()
    reply = await client.receive("error")
    assert (reply["id"], reply["error"], "deadline" in reply["message"]) == (1, "CancelledError", True)
    await until(lambda: "complete x" in engine.log)
    assert len(server.dispatcher.scheduler) == 0


async def test_a_file_is_forgotten_when_the_last_who_had_it_remembered_gives_it_up(serve, options):
    engine = StandIn()
    server = await serve(engine)
    one, other = await greeted(options), await greeted(options)
    for client in (one, other):
        client.send(id=1, kind="remember", path="ours.py", text="x", deadline=30.0)
        assert (await client.receive())["kind"] == "answer"
    for client, left in ((one, {"ours.py": "x"}), (other, {})):
        client.send(id=2, kind="forget", path="ours.py", deadline=30.0)
        assert (await client.receive())["kind"] == "answer"
        assert engine.memory == left
    assert server._owners == {}


async def test_a_refused_forget_leaves_the_file_its_owner_and_goes_when_that_one_does(serve, options, monkeypatch):
    engine = StandIn()
    server = await serve(engine)
    one, other = await greeted(options), await greeted(options)
    one.send(id=1, kind="remember", path="mine.py", text="x", deadline=30.0)
    assert (await one.receive())["kind"] == "answer"

    def busy(job):
        raise EngineUnavailableError("the engine is busy")

    with monkeypatch.context() as patch:
        patch.setattr(server.dispatcher, "submit", busy)
        one.send(id=2, kind="forget", path="mine.py", deadline=30.0)
        other.send(id=1, kind="remember", path="theirs.py", text="x", deadline=30.0)
        for client in (one, other):
            assert (await client.receive())["error"] == "EngineUnavailableError"
    assert list(server._owners) == ["mine.py"]
    one.close()
    await until(lambda: engine.memory == {})


async def test_when_the_clock_jumps_nothing_happens(serve, options, monkeypatch):
    engine = StandIn(nap=0.02)
    await serve(engine)
    client = await greeted(options)
    real = time.time()
    client.complete(1, passes=20, deadline=30.0)
    await asyncio.to_thread(engine.started.wait, 30)
    for jump in (+86_400, -86_400):
        monkeypatch.setattr(time, "time", lambda jump=jump: real + jump)
        client.complete(2 if jump > 0 else 3, automatic=True, deadline=30.0)
        await asyncio.sleep(0.05)
    replies = await client.replies(3)
    assert all(reply["answer"]["items"] for reply in replies.values())
    assert replies[1]["answer"]["steps"] == 20


class Recalling(StandIn):
    """Suggests the rests of the line that a real memory has."""

    def __init__(self, recalls: Memory) -> None:
        super().__init__()
        self.recalls = recalls

    def remember(self, path: str, text: str, group: int = 0, store: bool = True) -> None:
        self.recalls.remember(path, text, group, store)

    def forget(self, path: str, erase: bool = True) -> None:
        self.recalls.forget(path, erase)

    def run_complete(self, request: CompleteRequest, cancel: object, observe: object = None) -> CompleteAnswer:
        view = self.recalls.view("python", request.path, request.prefix, request.suffix, 0, request.files)
        lines = rests_of_line(view, request.prefix, request.suffix)
        return CompleteAnswer([Completion(line.text, 0.5, 1, 0) for line in lines], 0, 0)


async def test_what_one_client_had_remembered_is_never_suggested_to_another(serve, options, vocabulary):
    recalls = Memory(vocabulary)
    await serve(Recalling(recalls))
    one, other = await greeted(options), await greeted(options)
    call = "def audit(warehouse):\n    warehouse.zyxwvut_ledger."

    async def answer(client: RawClient, **message: object) -> object:
        client.send(id=1, deadline=5.0, **message)
        reply = await client.receive("answer", "error")
        assert reply is not None
        return reply["answer"]

    async def lines(client: RawClient) -> list[str]:
        asked = {"prefix": call, "suffix": "\n", "language": "python", "path": "/there/new.py"}
        # What a client says of `files` itself counts for nothing.
        found = await answer(client, kind="complete", files=["/first/ledger.py"], **asked)
        return [item["text"] for item in found["items"]]

    said = f"{call}append_figures(42)\n"
    await answer(one, kind="remember", path="/first/ledger.py", text=said)
    await answer(other, kind="remember", path="/second/till.py", text=said.replace("append_figures", "drop_all"))
    assert await lines(one) == ["append_figures(42)"]
    assert await lines(other) == ["drop_all(42)"]

    await answer(other, kind="remember", path="/first/ledger.py", text=said)
    assert recalls.stats()["memory_files"] == 2, "those on one project share its files"
    assert sorted(await lines(other)) == ["append_figures(42)", "drop_all(42)"]
    await answer(other, kind="forget", path="/first/ledger.py")
    assert await lines(other) == ["drop_all(42)"]
    assert await lines(one) == ["append_figures(42)"]

    other.close()
    await until(lambda: recalls.stats()["memory_files"] == 1)
    again = await greeted(options)
    assert await lines(again) == []
    recalls.close()


async def test_what_a_file_leaves_on_the_disk_goes_with_the_file_and_not_with_its_editor(serve, options):
    forgotten: list[tuple[str, bool]] = []

    class Noting(StandIn):
        def forget(self, path: str, erase: bool = True) -> None:
            forgotten.append((path, erase))

    await serve(Noting())
    client = await greeted(options)
    for id, path in enumerate(("deleted.py", "open.py"), 1):
        client.send(id=id, kind="remember", path=path, text="x", deadline=5.0)
        await client.receive("answer")
    client.send(id=3, kind="forget", path="deleted.py", deadline=5.0)
    await client.receive("answer")
    client.close()
    await until(lambda: len(forgotten) == 2)
    assert forgotten == [("deleted.py", True), ("open.py", False)]
