"""Which replica gets a request: the one that holds its document's prefix cache, while that one keeps up.

Every document has an order of all replicas, by rendezvous hashing (Thaler and Ravishankar, "Using Name-Based Mappings
to Increase Hit Rates", IEEE/ACM Transactions on Networking 6(1), 1998): each ingress computes the same one without
asking anybody, and when a replica comes or goes only the documents move whose first choice it is. A document whose
first replica is overloaded goes to its second, and always to the same one, where its cache then is as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, TypeVar

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

Name = TypeVar("Name", bound=str)

SPILL_AT = 6  # requests on the first choice from which on the second may be better


def order(key: str, replicas: Iterable[Name]) -> list[Name]:
    """Replica names in the order in which this key prefers them: highest random weight first."""
    return sorted(replicas, key=lambda name: hashlib.blake2b(f"{name} {key}".encode(), digest_size=8).digest())


def prefers_second(first: int | None, second: int | None, spill_at: int = SPILL_AT) -> bool:
    """Whether a document leaves its first replica: by requests running and waiting at both, None for unknown.

    A cold cache costs one prefill, so the second has to be far less busy, not just less.
    """
    return first is not None and second is not None and first >= spill_at and first >= 2 * second + 2


class PrefixRouter(RequestRouter):
    """Ranks replicas by the request's `session_id`, which is the digest of user and document."""

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
        names = order(key, by_name)
        if len(names) > 1 and self._spills(*(by_name[name] for name in names[:2])):
            names[:2] = names[1], names[0]
        return [[by_name[name]] for name in names]

    def _spills(self, first: RunningReplica, second: RunningReplica) -> bool:
        waiting = self.replica_queue_len_cache.get
        return prefers_second(waiting(first.replica_id), waiting(second.replica_id), self.spill_at)
