"""The two clocks a recording can run on."""

from __future__ import annotations

import threading
import time as wall


class VirtualClock:
    """As fast as the machine can: no wait ever waits, so a run depends on the media alone."""

    @property
    def speed(self) -> None:
        return None

    def wait_until(self, time: float) -> None:
        """Return at once."""

    def stop(self) -> None:
        """Nothing waits, so nothing is let go."""


class RealClock:
    """Media time runs ``speed`` times as fast as the clock on the wall.

    It starts at 0 with the first wait, stands still between :meth:`pause` and :meth:`resume`, and
    may be paused, resumed and stopped from any thread.

    Raises ``ValueError`` for a speed that is not positive.
    """

    def __init__(self, speed: float = 1.0) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be positive, not {speed}")
        self._speed = speed
        self._changed = threading.Condition()
        self._started = False
        self._paused = False
        self._stopped = False
        self._media = 0.0
        self._running_since = 0.0

    @property
    def speed(self) -> float:
        return self._speed

    def wait_until(self, time: float) -> None:
        with self._changed:
            if not self._started:
                self._started = True
                self._running_since = wall.monotonic()
            while not self._stopped:
                if self._paused:
                    self._changed.wait()
                    continue
                remaining = (time - self._now()) / self._speed
                if remaining <= 0:
                    return
                self._changed.wait(remaining)

    def pause(self) -> None:
        """Stop media time; waits go on waiting until :meth:`resume` or :meth:`stop`."""
        with self._changed:
            if not self._paused:
                self._media = self._now()
                self._paused = True
                self._changed.notify_all()

    def resume(self) -> None:
        """Let media time run on from where it was paused."""
        with self._changed:
            if self._paused:
                self._running_since = wall.monotonic()
                self._paused = False
                self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _now(self) -> float:
        if self._paused or not self._started:
            return self._media
        return self._media + (wall.monotonic() - self._running_since) * self._speed
