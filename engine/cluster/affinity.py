"""Which replica should answer a document's requests: the one that holds its prefix cache, while that one keeps up.

Every document has an order of all replicas, by rendezvous hashing (Thaler and Ravishankar, "Using Name-Based Mappings
to Increase Hit Rates", IEEE/ACM Transactions on Networking 6(1), 1998): each ingress computes the same one without
asking anybody, and when a replica comes or goes only those documents move whose first choice it is. A document whose
first replica is overloaded goes to its second, and always to the same one, where its cache then is as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

SPILL_AT = 6  # requests on the first choice from which on the second may be better


def affinity(user: str, document: str) -> str:
    """A document's key: a digest, for Serve may log it, and a path is nobody's business."""
    return hashlib.blake2b(f"{user}\0{document}".encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def order(key: str, replicas: Iterable[str]) -> list[str]:
    """Names of replicas as this key prefers them."""
    return sorted(replicas, key=lambda name: hashlib.blake2b(f"{name} {key}".encode(), digest_size=8).digest())


def prefers_second(first: int | None, second: int | None, spill_at: int = SPILL_AT) -> bool:
    """Whether a document leaves its first replica: by requests running and waiting at both, None for unknown.

    A cold cache costs a prefill, so the second has to be far less busy, not just less.
    """
    return first is not None and second is not None and first >= spill_at and first >= 2 * second + 2
