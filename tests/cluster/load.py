"""Editors that keep on asking while something is broken under them, and the account of what became of each request."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import WebSocketException

from tests.cluster.editor import HERE
from tests.cluster.team import Team

DEADLINE = 3.0
RESUME_SECONDS = float(os.environ.get("REMASK_RESUME_SECONDS", "10"))  # more where processes start slowly
EDITORS = 6


@dataclass
class Account:
    """Of all editors. Times are `time.monotonic()` instants."""

    asked: int = 0
    replied: int = 0
    broken: int = 0  # their connection ended: the client knows at once
    unheard: int = 0  # neither reply nor end of the connection a while after the deadline
    errors: dict[str, int] = field(default_factory=dict)
    suggestions: list[tuple[float, str]] = field(default_factory=list)  # when, and the model

    def gap(self, after: float) -> float:
        """The longest time from `after` on that went by without a suggestion for any editor; endless if none came."""
        times = sorted([after, *(at for at, _ in self.suggestions if at > after)])
        return max((b - a for a, b in itertools.pairwise(times)), default=math.inf)


async def type_away(
    team: Team,
    editors: int,
    stop: asyncio.Event,
    deadline: float = DEADLINE,
    account: Account | None = None,
    **more: Any,
) -> Account:
    """Let so many type until told, with `more` in each request; every request's end is noted."""
    noted = account or Account()
    tokens = [team.tokens.add(secrets.token_hex(4)) for _ in range(editors)]
    await asyncio.gather(*(_type(team, n, token, stop, noted, deadline, more) for n, token in enumerate(tokens)))
    return noted


async def _type(
    team: Team, n: int, token: str, stop: asyncio.Event, account: Account, deadline: float, more: dict[str, Any]
) -> None:
    keys = 0
    fields = HERE | {"max_tokens": 8} | more
    while not stop.is_set():
        with contextlib.suppress(OSError, WebSocketException, TimeoutError, ConnectionError):
            async with team.editor(token) as editor:
                while not stop.is_set():
                    keys += 1
                    account.asked += 1
                    text = fields | {"prefix": HERE["prefix"] + "r" * (keys % 9)}
                    try:
                        async with asyncio.timeout(deadline + 0.4 * RESUME_SECONDS):
                            reply = await editor.complete(deadline, document=f"{n}.py", **text)
                    except ConnectionError:
                        account.broken += 1
                        raise
                    except WebSocketException:
                        account.broken += 1
                        raise
                    except TimeoutError:
                        account.unheard += 1
                        raise
                    account.replied += 1
                    if reply["kind"] == "error":
                        account.errors[reply["error"]] = account.errors.get(reply["error"], 0) + 1
                    elif reply["answer"]["items"]:
                        account.suggestions.append((time.monotonic(), str(editor.welcome["model"])))
                    await asyncio.sleep(0.1)
        await asyncio.sleep(0.2)


async def breaking(
    team: Team, what: Callable[[], object], seconds: float = RESUME_SECONDS + 4
) -> tuple[Account, float]:
    """Type for a while, break something, type on: the account, and how long suggestions were away."""
    stop, account = asyncio.Event(), Account()
    load = asyncio.create_task(type_away(team, EDITORS, stop, account=account))
    end = time.monotonic() + 120
    while len(account.suggestions) <= EDITORS:
        assert time.monotonic() < end, "nobody typed before"
        await asyncio.sleep(0.1)
    broken = time.monotonic()
    await asyncio.to_thread(what)
    await asyncio.sleep(seconds)
    stop.set()
    await load
    assert account.asked == account.replied + account.broken
    assert account.unheard == 0
    late = broken + seconds - 0.3 * RESUME_SECONDS
    assert any(at > late for at, _ in account.suggestions), "suggestions have not resumed"
    return account, account.gap(broken)
