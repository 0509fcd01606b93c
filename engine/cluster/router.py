"""The router of `engine.cluster.affinity`, as Serve calls it."""

from __future__ import annotations

from typing import Any

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from engine.cluster.affinity import SPILL_AT, order, prefers_second


class PrefixRouter(RequestRouter):
    """Ranks replicas by the request's `session_id`, which is the key of its document."""

    def initialize_state(self, spill_at: int = SPILL_AT, **kwargs: Any) -> None:
        """Called by Serve with `request_router_kwargs`."""
        self.spill_at = spill_at

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Ranks of one replica each; Serve takes the first that accepts the request and backs off after the last."""
        if pending_request is None:
            return [candidate_replicas]
        pending_request.routing_context.should_backoff = True
        key = pending_request.metadata.session_id
        if not key:
            return [candidate_replicas]  # the least busy one
        by_name = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        ranks = [by_name[name] for name in order(key, by_name)]
        first, second = [self._waiting(replica) for replica in [*ranks, ranks[0]][:2]]
        if len(ranks) > 1 and prefers_second(first, second, self.spill_at):
            ranks[:2] = ranks[1], ranks[0]
        elif len(ranks) > 1 and second is None and first is not None and first >= self.spill_at:
            # In one rank with the first, the second is asked how busy it is: for the next request.
            return [ranks[:2], *([replica] for replica in ranks[2:])]
        return [[replica] for replica in ranks]

    def _waiting(self, replica: RunningReplica) -> int | None:
        """Requests that run or wait there, as far as this ingress has heard in the last ten seconds."""
        length: int | None = self.replica_queue_len_cache.get(replica.replica_id)
        return length
