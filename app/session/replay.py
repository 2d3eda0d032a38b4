"""A recording as a window shows it: at the playhead, as it was or as it is read anew. No Qt."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from enum import Enum
from math import inf
from typing import Any

from app.preview import LatestFrame
from app.session.comparison import differing
from app.session.player import Playable, Player
from app.session.timeline import Timeline
from app.state import LabelledUtterance, SessionState, Snapshot

_COMPARE_EVERY = 0.5
"""Seconds (wall) after which two readings, of which one still grows, are compared again."""

_LOOK_EVERY = 0.5
"""Seconds (wall) between two looks at a session that is still being opened."""

_LEAD = 3.0
"""Seconds that reading must be ahead of playing for there to be time for provisional labels."""

_LONGEST_WITH_PROVISIONAL = 900.0
"""Of longer recordings only the labels are read, so that they are soon there."""

_STALE = 1.0
"""Seconds beyond what has been read after which nobody knows who is speaking."""

_SLACK = 5.0
"""Seconds after the end of the media in which a label may still have come."""

_KEEP_UP = 1.0  # seconds between two pictures while the playhead races along with the reading


_Difference = tuple[int, LabelledUtterance, LabelledUtterance]


class Reading(Enum):
    """The two readings that a recording may have."""

    AS_IT_WAS = "as it was"
    ANEW = "re-analysed"


class Replay:
    """What there is of a recording, and the player over it.

    Stands in for a :class:`~app.state.SessionState` that a window polls: :meth:`snapshot` is how
    the session stood at the playhead. ``reading`` is the state of what reads the recording anew.
    """

    def __init__(self, preview: LatestFrame, *, speed: float | None = 1.0) -> None:
        """With ``speed`` None the playhead keeps up with the reading until somebody moves it."""
        self.reading = SessionState()
        self._preview = preview
        self._speed = speed or 1.0
        self._racing = speed is None
        self._raced_to = 0.0
        self._lock = threading.RLock()
        self._known: dict[Reading, _Known] = {}
        self._showing = Reading.ANEW
        self._read_until = 0.0
        self._duration: float | None = None
        self._player: Player | None = None
        self._version = 0
        self._asked_anew = False
        self._looked = -inf
        self._last: tuple[object, ...] = ()
        self._snapshot = Snapshot()
        self._compared: tuple[float, object, object, object] = (-inf, None, None, None)
        self._elsewhere: tuple[_Difference, ...] = ()

    # --- The player --------------------------------------------------------------------------

    def open(self, media: Playable | None) -> None:
        """Play these media, or events alone where there are none."""
        self._duration = None if media is None else media.info.duration
        self._player = Player(
            media, self._preview, limit=self._limit, end=self._end, speed=self._speed
        )

    def begin(self) -> None:
        """Play as soon as something is known."""
        if self._player is not None:
            self._player.start()
            if not self._racing:
                self._player.play()

    def close(self) -> None:
        """Stop playing; returns at once."""
        if self._player is not None:
            self._player.close()

    def join(self, seconds: float) -> bool:
        """Whether the player has ended after at most so many seconds."""
        return self._player is None or self._player.join(seconds)

    @property
    def player(self) -> Player | None:
        """None before :meth:`open`; to move its playhead, use the methods here."""
        return self._player

    def toggle(self) -> None:
        """Play, or pause."""
        self._racing = False
        if self._player is not None:
            (self._player.pause if self._player.playing else self._player.play)()

    def seek(self, time: float) -> None:
        """Go to second ``time``, or to the end."""
        self._racing = False
        if self._player is not None:
            self._player.seek(min(max(time, 0.0), max(self.duration, 0.0)))

    def set_speed(self, speed: float) -> None:
        self._racing = False
        if self._player is not None:
            self._player.set_speed(speed)

    def set_loop(self, loop: tuple[float, float] | None) -> None:
        if self._player is not None:
            self._player.set_loop(loop)

    # --- The readings ------------------------------------------------------------------------

    def add(self, reading: Reading) -> Timeline:
        """A new, empty timeline for one of the readings; the first that is added is shown."""
        timeline = Timeline(as_recorded=reading is Reading.AS_IT_WAS)
        with self._lock:
            if not self._known:
                self._showing = reading
            self._known[reading] = _Known(timeline)
        return timeline

    @property
    def readings(self) -> tuple[Reading, ...]:
        return tuple(self._known)

    @property
    def showing(self) -> Reading:
        return self._showing

    def show_reading(self, reading: Reading) -> None:
        """Show one of :attr:`readings`; the playhead stays where it is."""
        with self._lock:
            if reading in self._known:
                self._showing = reading

    def ask_anew(self, asked: bool) -> None:
        """Note whether the recording is to be read anew; what is shown depends on that."""
        self._asked_anew = asked

    def note_progress(self, time: float) -> None:
        """The recording has been read anew up to here."""
        self._read_until = time

    def has_time_for_provisional(self) -> bool:
        """Whether reading is far enough ahead of playing to read what is being spoken, too."""
        if self._player is None or (self._duration or inf) > _LONGEST_WITH_PROVISIONAL:
            return False
        return not self._racing and self._read_until - self._player.position >= _LEAD

    @property
    def read_until(self) -> float:
        """Seconds of the reading that is shown that there are already."""
        known = self._known.get(self._showing)
        if known is None:
            return 0.0
        return known.timeline.told if known.timeline.as_recorded else self._read_until

    @property
    def is_complete(self) -> bool:
        """Whether the reading that is shown has come to its end."""
        return self._limit() == inf

    @property
    def share_read(self) -> float:
        """Of the recording, how much has been read anew."""
        known = self._known.get(Reading.ANEW)
        if known is not None and known.timeline.ended:
            return 1.0
        return min(self._read_until / self.duration, 1.0) if self.duration else 0.0

    @property
    def duration(self) -> float:
        """Seconds; where media were cut off, as far as anything is known."""
        told = max((known.timeline.told for known in self._known.values()), default=0.0)
        if self._duration is not None and told <= self._duration + _SLACK:
            return self._duration
        position = 0.0 if self._player is None else self._player.position
        return max(position, self._read_until, told)

    @property
    def timeline(self) -> Timeline | None:
        """That of the reading that is shown."""
        known = self._known.get(self._showing)
        return None if known is None else known.timeline

    @property
    def newest(self) -> Snapshot:
        """All that is known, wherever the playhead is."""
        timeline = self.timeline
        return self.reading.snapshot() if timeline is None else timeline.newest

    @property
    def utterances(self) -> tuple[LabelledUtterance, ...]:
        """All of the reading that is shown, wherever the playhead is."""
        known = self._known.get(self._showing)
        return () if known is None else known.timeline.newest.utterances

    def _limit(self) -> float:
        known = self._known.get(self._showing)
        if known is None:
            return 0.0
        if known.timeline.ended or self.reading.snapshot().phase == "failed":
            return inf
        return self.read_until

    def _end(self) -> float:
        known = self._known.get(self._showing)
        return 0.0 if known is None else known.timeline.told

    # --- What is shown -----------------------------------------------------------------------

    def show(self, **changes: object) -> None:
        """As of a :class:`~app.state.SessionState`: set what no event carries."""
        self.reading.show(**changes)

    def snapshot(self) -> Snapshot:
        """How the session stands at the playhead; the same object while nothing changes."""
        with self._lock:
            doing = self.reading.snapshot()
            known, player = self._known.get(self._showing), self._player
            if known is None or player is None or not known.timeline.begun:
                return self._told(doing, doing.phase, doing.message)
            if known.timeline.as_recorded and not known.timeline.ended:
                # Showing every step of opening would take longer than opening.
                if time.monotonic() - self._looked < _LOOK_EVERY:
                    return self._snapshot
                self._looked = time.monotonic()
            if self._racing:
                self._race(player)
            position = self._read_until if self._racing else player.position
            over = player.ended and known.timeline.ended
            now = known.timeline.at(inf if over else position)
            message = player.problem or (doing.message if doing.phase == "failed" else "")
            unread = position > self.read_until + _STALE and not self.is_complete
            moving = (player.playing, player.waiting, player.speed, player.loop)
            read = round(self.read_until)
            parts = (
                now,
                position,
                over,
                message,
                doing.attention,
                doing.fetching,
                doing.busy,
                read,
                unread,
                *moving,
                self._asked_anew,
                self._showing,
                len(self._known),
                round(100 * self.share_read),
            )
            utterances = known.utterances(now, position)
            elsewhere = self._find_differences()
            last = (*parts, utterances, elsewhere, self.duration)
            if self._last and _same(self._last, last):
                return self._snapshot
            self._last = last
            self._version += 1
            self._snapshot = replace(
                now,
                version=self._version,
                position=position,
                duration=self.duration,
                phase="ended" if over else "running",
                message=message or (now.message if not known.timeline.ended else ""),
                attention=doing.attention,
                fetching=doing.fetching,
                busy=doing.busy,
                utterances=utterances,
                ahead=len(utterances) - len(now.utterances),
                elsewhere=elsewhere,
                paused=False,
                playing=_playing(player),
                speaking_since=None if unread else now.speaking_since,
                provisional=None if unread else now.provisional,
                **known.people(now, utterances),
            )
            return self._snapshot

    def _told(self, doing: Snapshot, phase: str, message: str) -> Snapshot:
        if self._last != (doing, phase, message):
            self._last = (doing, phase, message)
            self._version += 1
            phase = phase if phase == "failed" else "loading"
            self._snapshot = replace(doing, version=self._version, phase=phase)
        return self._snapshot

    def _race(self, player: Player) -> None:
        if abs(self._read_until - self._raced_to) >= _KEEP_UP:
            self._raced_to = self._read_until
            player.seek(self._read_until)
        known = self._known.get(Reading.ANEW)
        if known is not None and known.timeline.ended:
            self._racing = False
            player.seek(self.duration)
            player.play()

    def _find_differences(self) -> tuple[_Difference, ...]:
        if len(self._known) < 2:
            return ()
        shown = self._known[self._showing].timeline.newest.utterances
        other = Reading.ANEW if self._showing is Reading.AS_IT_WAS else Reading.AS_IT_WAS
        those = self._known[other].timeline.newest.utterances
        when, which, this, that = self._compared
        stale = this is not shown or that is not those
        at_once = which is not self._showing
        if stale and (at_once or time.monotonic() - when >= _COMPARE_EVERY):
            self._compared = (time.monotonic(), self._showing, shown, those)
            found = differing(shown, those).items()
            newer = self._showing is Reading.ANEW
            self._elsewhere = tuple(
                (index, *((that, shown[index]) if newer else (shown[index], that)))
                for index, that in found
            )
        return self._elsewhere


class _Known:
    """A timeline and how far somebody has looked at it."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._horizon = 0.0
        self._seen = 0
        self._parts: tuple[object, object, int] = (None, None, -1)
        self._utterances: tuple[LabelledUtterance, ...] = ()

    def utterances(self, now: Snapshot, position: float) -> tuple[LabelledUtterance, ...]:
        """Those of ``now``, and what is known beyond ``position``.

        Of a recorded session that is all, otherwise what has been played before.
        """
        newest = self.timeline.newest.utterances
        if position >= self._horizon:
            self._horizon, self._seen = position, len(now.utterances)
        seen = len(newest) if self.timeline.as_recorded else self._seen
        if seen <= len(now.utterances):
            return now.utterances
        before, after, count = self._parts
        if before is not now.utterances or after is not newest or count != seen:
            self._parts = (now.utterances, newest, seen)
            self._utterances = (*now.utterances, *newest[len(now.utterances) : seen])
        return self._utterances

    def people(self, now: Snapshot, utterances: tuple[LabelledUtterance, ...]) -> dict[str, Any]:
        """Names and colours of all who speak in these, also of those not heard of ``now``."""
        newest, known = self.timeline.newest, len(now.speakers)
        ahead = utterances[len(now.utterances) :]
        needed = max((u.speaker + 1 for u in ahead), default=0)
        return {
            "speakers": now.speakers + newest.speakers[known:needed],
            "colours": now.colours + newest.colours[len(now.colours) : needed],
        }


def _playing(player: Player) -> str:
    if not player.playing:
        return "paused"
    return "waiting" if player.waiting else "playing"


def _same(before: tuple[object, ...], now: tuple[object, ...]) -> bool:
    return len(before) == len(now) and all(
        a is b or (isinstance(a, float | str | int) and a == b)
        for a, b in zip(before, now, strict=True)
    )
