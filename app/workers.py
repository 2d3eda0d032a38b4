"""A stage of the engine: on a thread of its own with a bounded queue, or in the caller's thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

_LOOK_AGAIN = 0.1


class Stage(Protocol[T_contra]):
    """Takes items in order; after :meth:`finish` it takes none."""

    def put(self, item: T_contra) -> None: ...

    def finish(self) -> None: ...


class InlineStage(Generic[T]):
    """Handles each item before :meth:`put` returns, so the order of all work is fixed."""

    def __init__(self, handle: Callable[[T], None]) -> None:
        self._handle = handle

    def put(self, item: T) -> None:
        self._handle(item)

    def finish(self) -> None:
        """Nothing is ever left over."""


class ThreadStage(Generic[T]):
    """Handles items on a thread; what an item's handler raises comes out of the next call.

    With ``lossy`` a full queue loses its oldest item; otherwise :meth:`put` waits for room.
    """

    def __init__(
        self, name: str, handle: Callable[[T], None], *, size: int, lossy: bool = False
    ) -> None:
        self._handle = handle
        self._queue: queue.Queue[T] = queue.Queue(size)
        self._lossy = lossy
        self._finishing = threading.Event()
        self._error: Exception | None = None
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        while True:
            self._raise_error()
            try:
                self._queue.put(item, timeout=0 if self._lossy else _LOOK_AGAIN)
                return
            except queue.Full:
                if self._lossy:
                    self._lose_oldest()

    def finish(self) -> None:
        """Handle what is queued, then end the thread."""
        self._finishing.set()
        self._thread.join()
        self._raise_error()

    def _run(self) -> None:
        try:
            while True:
                try:
                    item = self._queue.get(timeout=_LOOK_AGAIN)
                except queue.Empty:
                    if self._finishing.is_set():
                        return
                    continue
                self._handle(item)
        except Exception as error:  # noqa: BLE001 - handed to the engine's thread, which raises it
            self._error = error

    def _lose_oldest(self) -> None:
        try:
            self._queue.get_nowait()
            self.lost += 1
        except queue.Empty:
            pass

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
