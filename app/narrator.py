"""Events on their way from whoever tells them to all who listen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from app.events import Event

Sink = Callable[[Event], None]


class Narrator:
    """Stamps events and hands them to every sink, one at a time."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._told = 0.0

    def __call__(self, event: Event) -> None:
        with self._lock:
            # Set back by a pause, its clock waits until nothing is out of order.
            self._told = max(self._told, time.monotonic() - self._started)
            stamped = replace(event, emitted_at=self._told)
            for sink in self._sinks:
                sink(stamped)

    def begin(self, position: float) -> None:
        """The session is ``position`` seconds old now, whatever the clock on the wall says."""
        with self._lock:
            self._started = time.monotonic() - position
