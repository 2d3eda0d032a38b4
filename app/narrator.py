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

    def __call__(self, event: Event) -> None:
        with self._lock:
            stamped = replace(event, emitted_at=time.monotonic() - self._started)
            for sink in self._sinks:
                sink(stamped)

    def begin(self, position: float) -> None:
        """The session is ``position`` seconds old now, whenever the narrator was made."""
        with self._lock:
            self._started = time.monotonic() - position
