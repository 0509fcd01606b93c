"""Looking at the engines that run, and ending them, from the command line."""

from __future__ import annotations

import asyncio
import contextlib
import time

from engine.errors import EngineUnavailableError
from engine.service.dial import AbsentError, dial
from engine.service.frames import FrameError, Message
from engine.service.link import LinkLostError
from engine.service.options import EngineOptions
from engine.service.place import Lock, Place, all_places, end_holder

ANSWER_SECONDS = 3.0
LEAVE_SECONDS = 8.0
UNANSWERED = (AbsentError, FrameError, LinkLostError, EngineUnavailableError, TimeoutError, OSError)


async def list_engines(options: EngineOptions) -> list[Message]:
    """`stats` of every running engine; of one that does not answer, its process id and a message."""
    found = []
    for place in all_places(options):
        process = Lock(place.lock).holder()
        if process is None:
            continue
        try:
            found.append(await _look_at(place))
        except UNANSWERED:
            found.append({"pid": process, "message": "does not answer; `remask engine --stop` ends it"})
    return found


async def _look_at(place: Place) -> Message:
    try:
        return await _ask(place, "stats")
    except TimeoutError:  # counters wait for the engine's turn; a ping is answered however busy it is
        pong = await _ask(place, "ping")
        running = ", ".join(pong["running"]) or "nothing"
        return pong | {"message": f"{pong['state']} and busy; running: {running}; {pong['waiting']} waiting"}


async def stop_engines(options: EngineOptions) -> list[str]:
    """Ask each engine to leave; one that does not is ended by signal. Returns what was done, a line each."""
    done = []
    for place in all_places(options):
        process = Lock(place.lock).holder()
        if process is None:
            continue
        with contextlib.suppress(*UNANSWERED):
            await _ask(place, "leave")
        if await _freed(place, LEAVE_SECONDS):
            done.append(f"process {process} has left.")
        elif end_holder(place.lock, process) and await _freed(place, LEAVE_SECONDS):
            done.append(f"process {process} did not answer and was killed.")
        else:
            done.append(f"process {process} does not answer: end it by hand.")
    return done


async def _ask(place: Place, kind: str) -> Message:
    async with asyncio.timeout(ANSWER_SECONDS):
        link = await dial(place, None)
        try:
            answer = await link.call({"kind": kind, "deadline": ANSWER_SECONDS})
            return answer or {}
        finally:
            link.close()


async def _freed(place: Place, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while Lock(place.lock).holder() is not None:
        if time.monotonic() >= end:
            return False
        await asyncio.sleep(0.05)
    return True
