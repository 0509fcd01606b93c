"""The engine process that editors share: msgpack frames over a Unix socket or loopback."""
