"""Records a session into ``NAME.sdt`` while it runs, on a thread of its own.

    source -> recorder.tee -> engine -> events -> recorder.keep
                  \\-> queue -> recorder's thread -> media.mkv

Events are handed to the system before anything else learns of them, so whatever was shown is
there after the process was killed. Media wait in a queue: sound always has room, for pictures the
oldest makes room. Whatever happens to the disk, recognition goes on.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from app.events import Event
from app.session.card import CARD, MEDIA, SessionCard
from app.session.features import FeatureLog, Vectors
from app.session.files import OpenFile, RawFile, open_raw, write_whole
from app.session.log import EventLog
from app.session.media_writer import MediaWriter
from live_features.errors import UserFacingError
from live_features.media import (
    AudioBlock,
    CapturePaused,
    CaptureResumed,
    DeviceNotice,
    MediaInfo,
    MediaSource,
    VideoFrame,
)

_FRAMES = 32  # more than a second, in which a slow disk may be waited for
_MOST_SOUND = 300.0  # seconds that wait for a disk before it counts as broken
_ENOUGH_SOUND = 10.0  # seconds that may wait where the source waits too
_SYNC_EVERY = 2.0  # seconds of wall time
_LOOK_AGAIN = 0.1
_PATIENCE = 30.0  # seconds given to the disk once the session is over

_log = logging.getLogger(__name__)


class Recorder:
    """Writes one session folder; :meth:`tee` and :meth:`keep` are how it hears of a session.

    The first thing that goes wrong is told, in one sentence, to whatever :meth:`begin` was given;
    what had been recorded until then is kept.
    """

    def __init__(
        self,
        folder: Path,
        card: SessionCard,
        info: MediaInfo,
        *,
        patient: bool = False,
        open_file: OpenFile = open_raw,
    ) -> None:
        """Nothing is written before :meth:`begin`.

        ``info`` is of the source to record. With ``patient`` the source waits for the recorder and
        no picture is left out; without, it never waits.

        Raises:
            UserFacingError: there is something in the folder already.
        """
        self.folder = folder
        self._card = card
        self._info = info
        self._patient = patient
        self._open_file = open_file
        self._changed = threading.Condition()
        self._queue: deque[AudioBlock | VideoFrame] = deque()
        self._frames = 0
        self._sound = 0.0
        self._finishing = False
        self._media_failed = self._failed = False
        self._frames_lost = 0
        self._problem: str | None = None
        self._tell: Callable[[str], object] | None = None
        self._log: EventLog | None = None
        self._events: EventLog | None = None
        self._features: FeatureLog | None = None
        self._feature_log: FeatureLog | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        _refuse_what_is_there(folder)

    def tee(self, source: MediaSource) -> MediaSource:
        """``source`` itself, of which the recorder takes down what comes by."""
        return _Tee(source, self._take)

    def begin(self, tell: Callable[[str], object]) -> None:
        """Create the folder and start to write.

        ``tell`` is called from the recorder's thread or from that which reads the source.
        """
        self._tell = tell
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # The card first: a folder that has one is a session.
            card = self._card.to_json().encode("utf-8", "replace")
            write_whole(self.folder / CARD, card, self._open_file)
            self._events = self._log = EventLog(self.folder, open_file=self._open_file)
            self._features = self._feature_log = FeatureLog(self.folder, open_file=self._open_file)
        except OSError as error:
            with self._changed:
                self._fail_media(error)
        self._thread.start()

    def keep(self, event: Event) -> None:
        """A sink for the session's events, which are told one at a time."""
        events = self._events
        if events is None:
            return
        try:
            events(event)
        except OSError as error:
            # Half a line may be at the end now, which no further line must follow.
            self._events = None
            with self._changed:
                self._fail(error)

    def keep_features(self, index: int, vectors: Vectors) -> None:
        """Keep what was measured of utterance ``index``, before its label is told."""
        features = self._features
        if features is None:
            return
        try:
            features.add(index, vectors)
        except OSError as error:
            self._features = None
            with self._changed:
                self._fail(error)

    def finish_media(self) -> None:
        """Write all that was taken, and close the media; events are still kept."""
        with self._changed:
            self._finishing = True
            self._changed.notify_all()
        self._thread.join(_PATIENCE)

    def finish(self) -> None:
        """Write all that was taken, and close the files; call it after the last event."""
        self.finish_media()
        if self._log is not None:
            self._events = None
            self._log.close()
        if self._feature_log is not None:
            self._features = None
            self._feature_log.close()
        if self._frames_lost:
            _log.warning("%d pictures were not recorded", self._frames_lost)

    # --- The engine's thread -----------------------------------------------------------------

    def _take(self, item: AudioBlock | VideoFrame) -> None:
        self._queue_up(item)
        # The recorder's own thread may be stuck in what is to be told.
        self._tell_problem()

    def _queue_up(self, item: AudioBlock | VideoFrame) -> None:
        with self._changed:
            while self._patient and self._is_full and not self._media_failed:
                self._changed.wait(_LOOK_AGAIN)
            if self._media_failed:
                return
            if isinstance(item, AudioBlock):
                self._sound += item.end - item.start
            elif self._frames < _FRAMES:
                self._frames += 1
            else:
                self._drop_the_oldest_frame()
            self._queue.append(item)
            if self._sound > _MOST_SOUND:
                self._fail_media(TimeoutError(errno.ETIMEDOUT, "the disk takes nothing any more"))
            self._changed.notify_all()

    @property
    def _is_full(self) -> bool:
        return self._frames >= _FRAMES or self._sound >= _ENOUGH_SOUND

    def _drop_the_oldest_frame(self) -> None:
        index = next(i for i, item in enumerate(self._queue) if isinstance(item, VideoFrame))
        del self._queue[index]
        self._frames_lost += 1

    def _fail_media(self, error: Exception) -> None:
        self._media_failed = True
        self._queue.clear()
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self._failed:
            mistake = None if isinstance(error, OSError) else error
            _log.warning("recording to %s failed: %s", self.folder, error, exc_info=mistake)
            self._failed = True
            self._problem = _sentence(self.folder, error)
            self._changed.notify_all()

    def _tell_problem(self) -> None:
        with self._changed:
            problem, self._problem = self._problem, None
        if problem is not None and self._tell is not None:
            self._tell(problem)

    # --- The recorder's thread ---------------------------------------------------------------

    def _run(self) -> None:
        media: _Media | None = None
        synced = time.monotonic()
        while self._wait():
            self._tell_problem()
            item = self._next()
            try:
                if item is not None:
                    media = media or _Media(self._open_file(self.folder / MEDIA), self._info)
                    media.writer.write(item)
                if time.monotonic() - synced >= _SYNC_EVERY:
                    self._sync(media)
                    synced = time.monotonic()
            except Exception as error:  # noqa: BLE001 - recognition goes on without a recording
                with self._changed:
                    self._fail_media(error)
        self._end(media)
        self._tell_problem()

    def _wait(self) -> bool:
        """Whether there is, after a while, still something to do."""
        with self._changed:
            if not self._queue and self._problem is None and not self._finishing:
                self._changed.wait(_SYNC_EVERY)
            return bool(self._queue) or self._problem is not None or not self._finishing

    def _next(self) -> AudioBlock | VideoFrame | None:
        with self._changed:
            if not self._queue:
                return None
            item = self._queue.popleft()
            if isinstance(item, AudioBlock):
                self._sound -= item.end - item.start
            else:
                self._frames -= 1
            self._changed.notify_all()
            return item

    def _sync(self, media: _Media | None) -> None:
        if self._failed:
            return
        if media is not None:
            os.fsync(media.file.fileno())
        events = self._events
        if events is not None:
            events.sync()
        features = self._features
        if features is not None:
            features.sync()

    def _end(self, media: _Media | None) -> None:
        if media is None:
            return
        try:
            if self._media_failed:
                media.writer.abandon()
            else:
                media.writer.close()
            self._sync(media)
        except Exception as error:  # noqa: BLE001 - likewise
            media.writer.abandon()
            with self._changed:
                self._fail_media(error)
        finally:
            media.file.close()


class _Media:
    """The open file and what writes it."""

    def __init__(self, file: RawFile, info: MediaInfo) -> None:
        self.file = file
        try:
            self.writer = MediaWriter(file, info)
        except BaseException:
            file.close()
            raise


class _Tee:
    """A source that shows a recorder every block and frame before it hands them on."""

    def __init__(
        self, source: MediaSource, take: Callable[[AudioBlock | VideoFrame], None]
    ) -> None:
        self._source = source
        self._take = take

    @property
    def info(self) -> MediaInfo:
        return self._source.info

    def __iter__(
        self,
    ) -> Iterator[AudioBlock | VideoFrame | DeviceNotice | CapturePaused | CaptureResumed]:
        for item in self._source:
            if isinstance(item, AudioBlock | VideoFrame):
                self._take(item)
            yield item

    def close(self) -> None:
        self._source.close()


def _refuse_what_is_there(folder: Path) -> None:
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserFacingError(
                f"There is already something at {folder}: give --record another name."
            )
    except OSError:
        return  # creating it will say what is wrong


def _sentence(folder: Path, error: Exception) -> str:
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk is full, so {folder} ends here and what it holds is kept; "
            "recognition goes on."
        )
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{folder} may not be written, so nothing is recorded and recognition goes on; "
            "record to another folder."
        )
    detail = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (
        f"{folder} cannot be written ({detail}), so it ends here and what it holds is kept; "
        "recognition goes on."
    )
