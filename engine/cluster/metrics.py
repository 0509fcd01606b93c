"""What Prometheus sees of a team's engine: counts and times, by kind and phase, never by user or document.

Ray puts `ray_` before each name and adds the deployment and the replica as labels. docs/cluster.md lists them.
"""

from __future__ import annotations

from typing import Any

from ray.serve.metrics import Counter, Gauge, Histogram

from engine.service.frames import Message

SECONDS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0]


class ReplicaMetrics:
    """Of one replica's engine."""

    def __init__(self) -> None:
        self.requests = Counter(
            "remask_requests", description="Requests that ended on a replica", tag_keys=("kind", "outcome")
        )
        self.steps = Counter("remask_steps", description="Forward passes after the prefill", tag_keys=("kind",))
        self.tokens = Counter("remask_tokens", description="Tokens of suggestions that were kept")
        self.prompt = Counter("remask_prompt_tokens", description="Tokens of contexts")
        self.cached = Counter("remask_prompt_tokens_cached", description="Of these, found in a prefix cache")
        self.waiting = Gauge("remask_waiting", description="Requests that wait for their turn on a replica")
        self.resident = Gauge("remask_resident_bytes", description="Physical memory of the replica's process")
        self.phases = Histogram(
            "remask_phase_seconds",
            description="Time of each phase of an answer, from the engine",
            boundaries=SECONDS,
            tag_keys=("kind", "phase"),
        )

    def ended(self, kind: str, outcome: str, answer: Any) -> None:
        """Count a request that is over: `outcome` is answered, empty, superseded, cancelled, expired, … or an error."""
        self.requests.inc(1, {"kind": kind, "outcome": outcome})
        if not isinstance(answer, dict) or "timings_ms" not in answer:
            return
        _add(self.steps, answer["steps"], {"kind": kind})
        for phase, milliseconds in answer["timings_ms"].items():
            self.phases.observe(milliseconds / 1e3, {"kind": kind, "phase": phase})
        if kind == "complete":
            _add(self.tokens, answer["tokens"])
            _add(self.prompt, answer["prompt_tokens"])
            _add(self.cached, answer["cached_tokens"])


class IngressMetrics:
    """Of one ingress."""

    def __init__(self) -> None:
        self.connections = Gauge("remask_connections", description="Open WebSockets")
        self.in_flight = Gauge("remask_in_flight", description="Requests under way, of all connections")
        self.refused = Counter("remask_refused", description="What was turned away, and why", tag_keys=("why",))
        self.failed = Counter(
            "remask_failed", description="Requests that no replica answered", tag_keys=("kind", "why")
        )
        self.seconds = Histogram(
            "remask_request_seconds",
            description="From a request's arrival at the ingress to its answer",
            boundaries=SECONDS,
            tag_keys=("kind",),
        )


def outcome(reply: Message, fate: str) -> str:
    """How a request ended, as a label."""
    if reply["kind"] == "error":
        return fate or str(reply["error"])
    answer = reply["answer"]
    empty = isinstance(answer, dict) and not answer.get("items", True)
    return (fate or "empty") if empty else "answered"


def _add(counter: Counter, amount: float, tags: dict[str, str] | None = None) -> None:
    if amount > 0:  # Ray refuses to add nothing
        counter.inc(amount, tags)
