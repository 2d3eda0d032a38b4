"""A microphone as a source of sound: it survives being unplugged, and its samples are the clock.

    PortAudio's callback -> ring -> read(): resampled, gaps filled -> blocks and notices
                             ^
    supervisor: opens, watches, opens again

Only the supervisor's thread talks to PortAudio, because opening and closing may hang.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

from live_features.media import AudioBlock, DeviceNotice
from live_features.sources.capture import Capture
from live_features.sources.portaudio import (
    SENTENCES,
    MicrophoneDescription,
    MicrophoneError,
    PortAudio,
    choose,
    formats,
    is_about_the_format,
    load_portaudio,
    look_again,
    microphones,
    refusal,
)
from live_features.sources.soundtrack import Soundtrack
from live_features.sources.system_default import default_input

__all__ = ["SENTENCES", "Microphone", "MicrophoneDescription", "PortAudio", "microphones"]

OPENING_SECONDS = 10.0
"""How long a microphone may take to open."""
FIRST_SOUND_SECONDS = 5.0
"""How long its first sound may take; a headset on Bluetooth needs seconds."""
STALL_SECONDS = 2.0
"""A microphone that delivers nothing for so long is opened again."""
RETRY_SECONDS = 1.0
"""How often a microphone that is gone is looked for."""
DEFAULT_SECONDS = 2.0
"""How often the system is asked for its default microphone."""

_LATENCY = 0.1  # seconds that PortAudio may hold sound while Python is busy
_TICK = 0.1
_MARGIN = 0.2  # a place is kept so late (seconds) that a microphone may still come back before it
_TOLD_WHILE_AWAY = frozenset({"busy", "denied", "rate", "channels"})

_log = logging.getLogger(__name__)


class Microphone:
    """Sound of one microphone at :data:`~live_features.media.SAMPLE_RATE`, from second 0 on.

    Whatever rate and number of channels the device has: with ``channels`` 1 the mean of its first
    two is delivered, with 2 each of them. While the device is away its place is kept by silence, so
    :attr:`now` keeps step with the clock on the wall; it is looked for about once a second, and
    used again when it is back. One that was asked for by name is never replaced by another.

    Without a name it is the system's default, also when that changes: on Windows and macOS the
    system is asked every two seconds, on Linux PulseAudio and PipeWire move the stream themselves.

    Each notice has a code and a sentence from :data:`SENTENCES`.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        channels: int = 1,
        portaudio: PortAudio | None = None,
        system_default: Callable[[], Hashable | None] = default_input,
    ) -> None:
        """``name`` is part of the device's name in any case, or its number.

        ``portaudio`` stands in for the ``sounddevice`` module, which is otherwise imported by
        :meth:`start`; ``system_default`` for asking the system what its default microphone is.

        Raises ``ValueError`` for a number of channels that is not 1 or 2.
        """
        if channels not in (1, 2):
            raise ValueError(f"channels must be 1 or 2, not {channels}")
        self.channels = channels
        self._name = name
        self._portaudio = portaudio
        self._system_default = system_default
        self._default_then: Hashable | None = None
        self._description: MicrophoneDescription | None = None

        self._thread: threading.Thread | None = None
        self._opened = threading.Event()
        self._refused: MicrophoneError | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._stopped_at: float | None = None
        self._logged = ""

        self._news = threading.Event()
        self._captures: deque[Capture] = deque()
        self._capture: Capture | None = None
        self._refusals: deque[MicrophoneError] = deque(maxlen=16)
        self._soundtrack = Soundtrack(channels)

    @property
    def description(self) -> str:
        """The name of the device that was opened last, "microphone" before that."""
        return "microphone" if self._description is None else self._description.name

    @property
    def now(self) -> float:
        """Session time this instant, in seconds, from any thread; it never goes back.

        It is 0 until the first sound comes, and stands still after :meth:`stop`.
        """
        stopped_at, capture = self._stopped_at, self._capture
        if stopped_at is not None:
            return stopped_at
        return 0.0 if capture is None else max(capture.clock(time.monotonic()), 0.0)

    def start(self) -> None:
        """Open the microphone; once.

        Raises:
            UserFacingError: there is none that can be used.
        """
        portaudio = self._portaudio or load_portaudio()
        self._thread = threading.Thread(
            target=self._supervise, args=(portaudio,), name="microphone", daemon=True
        )
        self._thread.start()
        if not self._opened.wait(OPENING_SECONDS):
            self.stop()
            raise MicrophoneError("hung", name=self._asked_for, seconds=OPENING_SECONDS)
        if self._refused is not None:
            self._thread.join()
            raise self._refused

    def read(self, timeout: float) -> list[AudioBlock | DeviceNotice]:
        """What was heard since the last call, waiting up to ``timeout`` seconds for anything.

        Blocks follow each other without a gap; their ``start`` counts the samples before them. A
        block of silence that stands for sound lost on this machine has ``overflowed`` set. At most
        ten seconds come at once. After :meth:`stop` nothing is waited for, and an empty list means
        that this was all.
        """
        deadline = time.monotonic() + timeout
        while True:
            self._news.clear()
            stopped = self._stopped_at is not None
            items = self._collect()
            remaining = deadline - time.monotonic()
            if items or stopped or remaining <= 0:
                return items
            self._news.wait(min(remaining, _TICK))

    def _collect(self) -> list[AudioBlock | DeviceNotice]:
        soundtrack = self._soundtrack
        while self._captures:
            capture = self._captures[0]
            # Looked at before the sound, all of which has come when there is a reason.
            reason = capture.over
            if not soundtrack.take(capture) or reason is None:
                break
            soundtrack.end(capture, reason)
            self._captures.popleft()
        while self._refusals:
            refused = self._refusals.popleft()
            soundtrack.tell(refused.code, str(refused))
        if self._stopped_at is None:
            soundtrack.keep_place(self.now - _MARGIN)
        return soundtrack.collected()

    def stop(self) -> None:
        """Hear no more; what was heard can still be read. Safe to call again, and at any time."""
        now = self.now
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            # A driver can hang; then the thread is left to it.
            self._thread.join(0.9)
        if self._capture is not None:
            self._capture.finish("stopped")
        self._stopped_at = now
        self._news.set()

    # --- The supervisor's thread -------------------------------------------------------------

    @property
    def _asked_for(self) -> str:
        return "default" if self._name is None else self._name

    def _supervise(self, portaudio: PortAudio) -> None:
        try:
            stream = self._open(portaudio)
        except MicrophoneError as refused:
            self._refused = refused
            return
        finally:
            self._opened.set()
        if self._name is not None and self._description is not None:
            # The number, or a part of the name, might mean another device later.
            self._name = self._description.lasting_name
        while stream is not None:
            reason = self._watch(portaudio, stream)
            self._close(stream, reason)
            stream = self._reopen(portaudio)

    def _open(self, portaudio: PortAudio) -> Any:
        """A running stream of the microphone that is wanted.

        Raises:
            MicrophoneError: there is none that can be used.
        """
        self._default_then = self._system_default()
        first: MicrophoneError | None = None
        try:
            for microphone in choose(microphones(portaudio), self._name):
                try:
                    stream, capture = self._open_in_some_format(portaudio, microphone)
                except MicrophoneError as refused:
                    first = first or refused
                    continue
                self._description, self._capture = microphone, capture
                self._captures.append(capture)
                return stream
        except (portaudio.PortAudioError, ValueError) as error:
            # sounddevice raises the second for devices that it cannot make sense of.
            self._log_trouble("PortAudio: %s", error)
            raise refusal(error, self._asked_for) from None
        assert first is not None
        raise first

    def _open_in_some_format(
        self, portaudio: PortAudio, microphone: MicrophoneDescription
    ) -> tuple[Any, Capture]:
        first: Exception | None = None
        for channels, rate in formats(microphone, self.channels):
            capture = Capture(
                microphone, min(channels, 2), rate, before=self._capture, heard=self._news
            )
            stream = None
            try:
                stream = portaudio.InputStream(
                    device=microphone.number,
                    channels=channels,
                    samplerate=rate,
                    dtype="float32",
                    latency=_LATENCY,
                    callback=capture.hear,
                    finished_callback=self._wake.set,
                )
                stream.start()
            except portaudio.PortAudioError as error:
                self._log_trouble("%s, %d channels at %d Hz: %s", microphone, channels, rate, error)
                first = first or error
                if stream is not None:
                    stream.close()
                if not is_about_the_format(error):
                    break
            else:
                _log.info("%s, %d channels at %d Hz", microphone, channels, rate)
                return stream, capture
        assert first is not None
        raise refusal(first, microphone.name)

    def _watch(self, portaudio: PortAudio, stream: Any) -> str:
        """Wait until the stream is of no more use; the reason code."""
        capture = self._capture
        assert capture is not None
        default_due = time.monotonic() + DEFAULT_SECONDS
        quiet, last = 0.0, capture.last
        while True:
            self._wake.wait(_TICK)
            self._wake.clear()
            if self._stopping.is_set():
                return "stopped"
            # Counted, not measured: after sleep, or when Python was busy, sound may be on its way.
            quiet, last = (quiet + _TICK if capture.last == last else 0.0), capture.last
            try:
                active = stream.active
            except portaudio.PortAudioError as error:
                self._log_trouble("%s: %s", capture.microphone, error)
                active = False
            if not active:
                return "lost"
            if quiet >= (STALL_SECONDS if capture.begun else FIRST_SOUND_SECONDS):
                return "stalled"
            if self._name is None and time.monotonic() >= default_due:
                default_due = time.monotonic() + DEFAULT_SECONDS
                default = self._system_default()
                if default is not None and default != self._default_then:
                    return "default_changed"

    def _close(self, stream: Any, reason: str) -> None:
        capture = self._capture
        assert capture is not None
        _log.info("%s: %s", capture.microphone, reason)
        if reason in ("lost", "stalled"):
            # Told first, because closing what does not answer can take as long as it likes.
            capture.finish(reason)
            self._news.set()
        else:
            stream.stop()
        stream.close()
        capture.finish(reason)
        self._news.set()

    def _reopen(self, portaudio: PortAudio) -> Any:
        """The stream that goes on, or None when the session is over."""
        told: set[str] = set()
        while not self._stopping.is_set():
            try:
                look_again(portaudio)
                return self._open(portaudio)
            except portaudio.PortAudioError as error:
                self._log_trouble("PortAudio: %s", error)
            except MicrophoneError as refused:
                if refused.code in _TOLD_WHILE_AWAY and refused.code not in told:
                    told.add(refused.code)
                    self._refusals.append(refused)
                    self._news.set()
            self._stopping.wait(RETRY_SECONDS)
        return None

    def _log_trouble(self, words: str, *facts: object) -> None:
        """Log what PortAudio says, but not the same every second while a microphone is away."""
        trouble = words % facts
        if trouble != self._logged:
            _log.warning(trouble)
            self._logged = trouble
