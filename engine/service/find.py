"""Finding this user's engine process, or starting it: whoever comes first starts it, all others join."""

from __future__ import annotations

import asyncio
import subprocess
import time

from engine.errors import EngineUnavailableError
from engine.service.dial import AbsentError, OutdatedError, SilentError, dial
from engine.service.identity import own_identity
from engine.service.link import Link
from engine.service.options import EngineOptions
from engine.service.place import Lock, end_holder, find_place
from engine.service.spawn import LOST_THE_RACE, last_words, spawn

START_SECONDS = 30.0  # from the start of a process to its socket
SILENT_GREETINGS = 3  # unanswered for five seconds each, and the engine that holds the place is killed
REPLACEMENTS = 5  # engines asked to leave in one attempt to connect


async def find_or_start(options: EngineOptions) -> Link:
    """A connection to the engine of these options; `EngineUnavailableError` says why there is none."""
    place = find_place(options)
    identity = await asyncio.to_thread(own_identity, options)
    process: subprocess.Popen[bytes] | None = None
    end = time.monotonic() + START_SECONDS
    trouble, replaced, silent = "", 0, 0
    while time.monotonic() < end:
        try:
            link = await dial(place, identity)
        except AbsentError as nobody:
            trouble = str(nobody)
            silent = silent + 1 if isinstance(nobody, SilentError) else 0
            if silent >= SILENT_GREETINGS:
                end_holder(place.lock, Lock(place.lock).holder())
        except OutdatedError as old:
            trouble, process, replaced = str(old), None, replaced + 1
            if replaced > REPLACEMENTS:
                break
            await asyncio.sleep(0.1)
        else:
            if process is not None and process.stderr is not None:
                process.stderr.close()
            return link
        if process is None:
            process = spawn(options)
        elif (code := process.poll()) == LOST_THE_RACE:
            process = None  # another engine has the lock: it will listen in a moment, or has died since
            await asyncio.sleep(0.2)
        elif code is not None:
            said = last_words(process)
            raise EngineUnavailableError(f"the engine process ended at once: {said or f'exit status {code}'}")
        await asyncio.sleep(0.02)
    raise EngineUnavailableError(
        f"no engine could be reached within {START_SECONDS:.0f} s ({trouble}); try `remask engine --stop`"
    )
