"""A team's engine, over a WebSocket (docs/cluster.md): the same requests and answers as this machine's own.

Nothing here is imported, and nothing leaves the machine, unless an address was set. Knows nothing of Ray.
"""
