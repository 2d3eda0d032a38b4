"""Work in the background leaves the processor to the window."""

import os
import sys
import threading

import pytest

from app.priority import give_way


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a thread's priority simply")
def test_only_the_thread_that_gives_way_and_those_it_starts_come_later() -> None:
    found: dict[str, int] = {}

    def note(name: str) -> None:
        found[name] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work() -> None:
        give_way()
        give_way()  # twice is as once
        note("worker")
        child = threading.Thread(target=note, args=("child",))
        child.start()
        child.join()

    note("before")
    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    note("after")
    assert found["after"] == found["before"]
    assert found["worker"] == found["child"] == min(found["before"] + 10, 19)
