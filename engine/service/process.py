"""How an engine's process is set up: it lives for hours beside an editor, and answers while it does other things."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

M_MMAP_THRESHOLD = -3  # of malloc.h
M_ARENA_MAX = -8
MAPPED_FROM = 1 << 20  # bytes; arrays of a forward pass are smaller
TURN = 0.0002  # seconds


def set_up() -> None:
    """Once, before anything is loaded."""
    take_short_turns()
    give_back_freed_memory()


def take_short_turns() -> None:
    """Hand the interpreter on after 0.2 ms where another thread wants it, not after 5.

    A request needs it between any two passes, some dozens of times. Beside a thread that computes in Python, a prefill
    took twice as long with the default, a tenth longer so. A language server needs it for each message, beside a thread
    that looks for what is wrong with a file.
    """
    sys.setswitchinterval(TURN)


def keep_loaded() -> None:
    """Once all is loaded: it stays, so the garbage collector need not look through it again and again.

    A full collection of what an engine or a language server has loaded takes some 20 ms, in the midst of a request.
    """
    gc.collect()
    gc.freeze()


def give_back_freed_memory() -> None:
    """Have the C library give freed memory back, on glibc; elsewhere nothing.

    By itself glibc raises the size from which it maps memory apart, up to 32 MB, each time such a block is freed, and
    keeps a heap for each thread; the arrays of one merge of the workspace's memory then stay resident for good.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)
        libc.mallopt(M_ARENA_MAX, 2)
