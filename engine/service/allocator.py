"""Have the C library give freed memory back: an engine lives for hours beside an editor.

By itself glibc raises the size from which it maps memory apart, up to 32 MB, each time such a block is freed, and keeps
a heap for each thread; the arrays of one merge of the workspace's memory then stay resident for good.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys

M_MMAP_THRESHOLD = -3  # of malloc.h
M_ARENA_MAX = -8
MAPPED_FROM = 1 << 20  # bytes; arrays of a forward pass are smaller


def give_back_freed_memory() -> None:
    """Fix the threshold and share heaps between threads, on glibc; elsewhere nothing."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)
        libc.mallopt(M_ARENA_MAX, 2)
