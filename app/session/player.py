"""Plays media from anywhere, at any speed: pictures into a slot, sound to the speakers. No Qt."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Protocol

from app.preview import LatestFrame
from live_features.errors import UserFacingError
from live_features.media import AudioBlock, MediaInfo, VideoFrame
from live_features.playback import PlaybackError, SoundOutput
from live_features.tempo import FASTEST, SLOWEST, Tempo

_log = logging.getLogger(__name__)

SPEEDS = (0.5, 1.0, 1.5, 2.0, 4.0)

_AHEAD = 0.3  # seconds (wall) that are decoded before they are due
_LOOK_AGAIN = 0.02
_PICTURES = 16  # that wait to be shown
_MARGIN = 1.0
"""Seconds of media that must be there for playing to go on, once it has had to wait."""
_FOR_A_PICTURE = 1.0  # seconds of sound gone through in search of a picture after a seek


class Playable(Protocol):
    """Media that can be read from anywhere."""

    @property
    def info(self) -> MediaInfo: ...

    def starting_at(
        self, start: float, given_up: Callable[[], bool]
    ) -> Generator[AudioBlock | VideoFrame, None, None]: ...


class Player:
    """A playhead over media, moved by a thread of its own; every method returns at once.

    Where there is sound and something to hear it with, sound is the clock; otherwise it is the
    clock on the wall. Pictures are never ahead of it, and a machine that cannot decode so fast
    plays more slowly. At other speeds than 1 voices keep their pitch; beyond four times as fast,
    and below half, there is no sound.

    Playing waits where ``limit``, in seconds of media, has not got yet. Without media the playhead
    moves all the same, up to ``end``.
    """

    def __init__(
        self,
        media: Playable | None,
        preview: LatestFrame,
        *,
        limit: Callable[[], float],
        end: Callable[[], float],
        new_output: Callable[[int], SoundOutput] = SoundOutput,
        speed: float = 1.0,
    ) -> None:
        self._media = media
        self._preview = preview
        self._limit = limit
        self._end = end
        self._new_output = new_output
        self._changed = threading.Condition()
        self._target: float | None = None
        self._playing = self._closing = self._started = False
        self._speed = speed
        self._loop: tuple[float, float] | None = None
        self._waiting = self._ended = False
        self._silence = self._problem = ""
        # What follows belongs to the thread, but for what `position` reads under the lock.
        self._output: SoundOutput | None = None
        self._hears = False
        self._base = 0.0
        self._since: float | None = None
        self._decoded_until = 0.0
        self._items: Generator[AudioBlock | VideoFrame, None, None] | None = None
        self._exhausted = False
        self._sound_until = 0.0
        self._pictures: deque[VideoFrame] = deque()
        self._tempo = Tempo(1.0, 1)
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)

    # --- From any thread ---------------------------------------------------------------------

    def start(self) -> None:
        """Show the first picture; nothing is played before :meth:`play`."""
        with self._changed:
            if self._started or self._closing:
                return
            self._started = True
            if self._target is None:
                self._target = 0.0
        self._thread.start()

    def close(self) -> None:
        """Come to an end soon."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def join(self, seconds: float) -> bool:
        """Whether the player has ended, or never begun, after at most so many seconds."""
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def play(self) -> None:
        """Go on; from the beginning where it had ended."""
        with self._changed:
            if self._ended and self._target is None:
                self._target = self._loop[0] if self._loop else 0.0
            self._playing, self._ended = True, False
            self._changed.notify_all()

    def pause(self) -> None:
        """Stand still."""
        with self._changed:
            self._playing = False
            self._changed.notify_all()

    def seek(self, time: float) -> None:
        """Go to second ``time``; of several seeks the latest counts."""
        with self._changed:
            self._target = max(0.0, time)
            self._ended = False
            self._problem = ""
            self._changed.notify_all()

    def set_speed(self, speed: float) -> None:
        """Play ``speed`` times as fast from here on."""
        with self._changed:
            if speed != self._speed:
                here = self._now()
                self._speed = speed
                if self._target is None and not self._ended:
                    self._target = here
                self._changed.notify_all()

    def set_loop(self, loop: tuple[float, float] | None) -> None:
        """Play from the first of these seconds to the second and over again; None plays on."""
        with self._changed:
            self._loop = loop if loop is None or loop[1] - loop[0] > 0.05 else None
            if self._loop is not None and not loop_holds(self._loop, self._now()):
                self._target = self._loop[0]
                self._ended = False
            self._changed.notify_all()

    @property
    def position(self) -> float:
        """The second of media that is seen and heard now, or is being gone to."""
        with self._changed:
            return self._now()

    @property
    def playing(self) -> bool:
        """Whether time runs, or would but for what it waits for."""
        return self._playing

    @property
    def waiting(self) -> bool:
        """Whether playing has got to where the medium has not been read yet."""
        return self._playing and self._waiting

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def speed(self) -> float:
        return self._speed

    @property
    def loop(self) -> tuple[float, float] | None:
        return self._loop

    @property
    def silence(self) -> str:
        """A sentence on why nothing is heard though the medium has sound; empty otherwise."""
        return self._silence

    @property
    def problem(self) -> str:
        """A sentence on why the medium broke off; empty otherwise."""
        return self._problem

    # --- The clock ---------------------------------------------------------------------------

    def _now(self) -> float:
        if self._target is not None:
            return self._target
        return min(self._raw(), max(self._decoded_until, self._base))

    def _raw(self) -> float:
        if self._hears and self._output is not None:
            return self._base + self._output.heard * self._speed
        if self._since is None:
            return self._base
        return self._base + (time.monotonic() - self._since) * self._speed

    def _run_clock(self, runs: bool) -> None:
        with self._changed:
            here = min(self._raw(), max(self._decoded_until, self._base))
            if self._hears and self._output is not None:
                (self._output.play if runs else self._output.pause)()
            elif runs != (self._since is not None):
                self._base = here
                self._since = time.monotonic() if runs else None
            elif runs and self._raw() > here:
                # Decoding was slower than the clock on the wall, which has to wait for it.
                self._base, self._since = here, time.monotonic()

    def _hear_no_more(self) -> None:
        """From here on the clock on the wall counts."""
        with self._changed:
            self._base = min(self._raw(), max(self._decoded_until, self._base))
            self._hears = False
            self._since = None
        if self._output is not None:
            self._output.pause()

    # --- The thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing:
                try:
                    self._move()
                except Exception as error:  # noqa: BLE001 - what was read stays in sight
                    self._break_off(error)
        finally:
            self._close_items()
            if self._output is not None:
                self._output.close()

    def _move(self) -> None:
        with self._changed:
            target, speed = self._target, self._speed
        if target is not None:
            self._go_to(target, speed)
            return
        delay = self._step()
        with self._changed:
            if not self._is_interrupted():
                self._changed.wait(delay)

    def _break_off(self, error: Exception) -> None:
        _log.warning("playing broke off", exc_info=error)
        self._hear_no_more()
        with self._changed:
            self._base = self._now()
            self._target = None
            self._playing, self._ended = False, True
            self._problem = (
                "The media cannot be played from here on; go somewhere else, or read on."
            )

    def _is_interrupted(self) -> bool:
        return self._closing or self._target is not None

    def _go_to(self, target: float, speed: float) -> None:
        self._close_items()
        self._pictures.clear()
        if self._output is not None:
            self._output.pause()
            self._output.clear()
        self._open_output(speed)
        if self._media is not None:
            self._items = self._media.starting_at(target, self._is_interrupted)
        with self._changed:
            if self._target != target or self._speed != speed:
                return
            self._target = None
            self._hears = self._output is not None and SLOWEST <= speed <= FASTEST
            self._base, self._since = target, None
            self._exhausted = self._media is None
            self._sound_until = target
            self._decoded_until = float("inf") if self._media is None else target
        self._find_picture(target)

    def _find_picture(self, target: float) -> None:
        info = None if self._media is None else self._media.info
        if info is None or not info.has_video:
            return
        while not (self._pictures or self._exhausted or self._is_interrupted()):
            if self._decoded_until > target + _FOR_A_PICTURE:
                return
            self._decode()
        if self._pictures:
            self._show(self._pictures.popleft())

    def _show(self, picture: VideoFrame) -> None:
        assert picture.image is not None  # made here, so that nobody who looks waits for it
        self._preview.put(picture)

    def _open_output(self, speed: float) -> None:
        info = None if self._media is None else self._media.info
        if info is None or not info.has_audio:
            return
        if self._output is None and not self._silence:
            try:
                self._output = self._new_output(info.channels)
            except PlaybackError as error:
                self._silence = str(error)
        self._tempo = Tempo(min(max(speed, SLOWEST), FASTEST), info.channels)

    def _step(self) -> float:
        """Decode and show what is due; returns the seconds after which more will be."""
        if not self._playing:
            self._run_clock(False)
            return 1.0
        here, limit, speed = self.position, self._limit(), self._speed
        loop = self._loop
        if loop is not None and here >= loop[1]:
            self.seek(loop[0])
            return 0.0
        if self._has_come_to(limit, here) or (self._waiting and here + _MARGIN > limit):
            self._waiting = True
            self._run_clock(False)
            return _LOOK_AGAIN
        self._waiting = False
        while (
            self._decoded_until < min(here + _AHEAD * speed, limit)
            and not self._exhausted
            and not self._is_interrupted()
        ):
            self._decode()
        self._look_after_sound(here)
        self._run_clock(True)
        return self._show_pictures(speed)

    def _has_come_to(self, limit: float, here: float) -> bool:
        # Resampling keeps back a little of what was put.
        drained = self._hears and self._output is not None and self._output.waiting <= 0
        return here >= limit or (drained and self._decoded_until >= limit)

    def _decode(self) -> None:
        assert self._items is not None
        try:
            item = next(self._items, None)
        except UserFacingError as error:
            item, self._problem = None, str(error)
        if item is None:
            self._exhausted = True
            if self._hears and self._output is not None:
                self._output.put(self._tempo.finish())
        elif isinstance(item, VideoFrame):
            self._pictures.append(item)
            self._decoded_until = max(self._decoded_until, item.time)
            if len(self._pictures) > _PICTURES:
                self._pictures = deque(list(self._pictures)[::2])
        else:
            if self._hears and self._output is not None:
                self._output.put(self._tempo(item.samples))
            self._sound_until = item.end
            self._decoded_until = max(self._decoded_until, item.end)

    def _look_after_sound(self, here: float) -> None:
        if not self._hears or self._output is None:
            return
        if not self._output.alive:
            self._hear_no_more()
            self._output.close()
            self._output = None
            self._silence = "The sound output is gone: played without sound from here on."
        elif self._output.waiting <= 0 and (
            self._exhausted or self._decoded_until > self._sound_until + _AHEAD
        ):
            self._hear_no_more()  # there are only pictures left

    def _show_pictures(self, speed: float) -> float:
        here = self.position
        due = None
        while self._pictures and self._pictures[0].time <= here:
            due = self._pictures.popleft()
        if due is not None:
            self._show(due)
        if self._is_over(here):
            with self._changed:
                if self._target is None and self._loop is None:
                    self._base, self._since = here, None
                    self._hears = False
                    self._playing, self._ended = False, True
                elif self._target is None and self._loop is not None:
                    self._target = self._loop[0]
            return 0.0
        if self._pictures:
            return min(max((self._pictures[0].time - here) / speed, 0.001), _LOOK_AGAIN)
        return _LOOK_AGAIN

    def _is_over(self, here: float) -> bool:
        if self._media is None:
            return here >= self._end()
        return self._exhausted and not self._pictures and here >= self._decoded_until - 0.005

    def _close_items(self) -> None:
        if self._items is not None:
            self._items.close()
            self._items = None


def loop_holds(loop: tuple[float, float], time: float) -> bool:
    """Whether ``time`` lies within ``loop``."""
    return loop[0] <= time < loop[1]
