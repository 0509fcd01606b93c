"""Which user is at the other end of a Unix socket, as the kernel says, not as the peer does."""

from __future__ import annotations

import socket
import struct
import sys


def peer_user(connection: socket.socket) -> int | None:
    """The peer's user id; None where the system does not tell, and file modes alone must keep strangers out."""
    if sys.platform == "linux":
        size = struct.calcsize("3i")  # struct ucred: pid, uid, gid (unix(7), SO_PEERCRED)
        _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return int(user)
    if sys.platform == "darwin":
        # struct xucred: version, uid, … (LOCAL_PEERCRED of sys/un.h, level SOL_LOCAL)
        raw = connection.getsockopt(0, 1, 76)
        return int(struct.unpack("2I", raw[:8])[1])
    return None
