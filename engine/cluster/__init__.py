"""The engine for a team: an ingress for many editors, a router by prefix and replicas of the engine, on Ray Serve.

Needs the extra `cluster`. Nothing outside this package imports it but `remask serve` and `remask bench cluster`.
docs/cluster.md has the wire protocol, the limits and what becomes of every fault.
"""
