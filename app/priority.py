"""Which threads come first."""

from __future__ import annotations

import ctypes
import os
import sys
import threading

_NICE = 10
_BELOW_NORMAL = -1  # THREAD_PRIORITY_BELOW_NORMAL of Windows
_UTILITY = 0x11  # QOS_CLASS_UTILITY of macOS: work that nobody waits for just now


def give_way() -> None:
    """From here on this thread computes only while the program's other threads leave time.

    On Linux the threads that it starts do so, too. A thread cannot take it back.
    """
    if sys.platform == "win32":
        kernel = ctypes.windll.kernel32
        kernel.SetThreadPriority(kernel.GetCurrentThread(), _BELOW_NORMAL)
    elif sys.platform == "darwin":
        ctypes.CDLL(None).pthread_set_qos_class_self_np(_UTILITY, 0)
    else:
        # The process's number is that of its first thread, which never gives way.
        nice = min(os.getpriority(os.PRIO_PROCESS, os.getpid()) + _NICE, 19)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
