"""Keeps the memory of a long session from scattering."""

from __future__ import annotations

import ctypes
import sys

_M_ARENA_MAX = -8  # malloc.h of glibc


def share_one_heap() -> None:
    """Let all threads take their memory from one heap; to be called before any is started.

    glibc gives threads heaps of their own, and what one of them frees the others cannot use, so
    that a long session grows and grows. The allocators of Windows and macOS, and other
    C libraries on Linux, have no such setting and no such heaps, so there this does nothing.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, 1)
