"""A replica as Serve sees it, without a cluster: it says when it is of no use any more."""

from __future__ import annotations

import asyncio

import pytest

from engine.cluster import replica as replica_module
from engine.cluster.replica import EngineReplica
from engine.cluster.wire import packed
from engine.service import dispatch as dispatch_module
from tests.cluster.editor import HERE
from tests.service.stand_in import StandIn

pytestmark = pytest.mark.cluster


async def test_a_replica_that_hangs_fails_its_health_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve then replaces it; whoever asked has been told at the deadline by the ingress, and has left."""
    monkeypatch.setattr(dispatch_module, "STUCK_SECONDS", 0.5)
    monkeypatch.setenv("REMASK_THREADS", "2")  # a replica sets its own
    engine = StandIn(nap=4.0)
    monkeypatch.setattr(replica_module, "engine_loader", lambda options: lambda device: engine)
    replica = EngineReplica({"tokens": "none"})
    try:
        await replica.check_health()
        request = packed({"id": 1, "kind": "complete", "max_tokens": 1} | HERE)

        async def ask() -> None:
            async for _ in replica.answer("ann", request, 0.2):
                pass

        asking = asyncio.create_task(ask())
        await asyncio.to_thread(engine.started.wait, 5)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        async with asyncio.timeout(10):
            while not replica.dispatcher.stuck:
                await asyncio.sleep(0.02)
        with pytest.raises(RuntimeError, match="hangs"):
            await replica.check_health()
    finally:
        for task in (replica._work, replica._tell):
            task.cancel()
        await asyncio.gather(replica._work, replica._tell, return_exceptions=True)
