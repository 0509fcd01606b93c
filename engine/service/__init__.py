"""The engine process that editors share: `EngineClient` on one side, `EngineServer` on the other.

Between them msgpack frames over a Unix socket, or TCP on loopback with a token. docs/service.md has the protocol and
what becomes of every fault.
"""
