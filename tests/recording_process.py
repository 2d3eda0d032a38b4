"""A process that records what stand-in devices play, for whoever wants to kill it.

    uv run python -m tests.recording_process FOLDER.sdt

It plays the demo through the real command line, and prints a line for every utterance. It ends
when the demo does.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from app.assets import DEMO_MEDIA
from app.cli import main
from app.events import UtteranceLabelled
from app.session.reader import RecordedSession
from live_features.clocks import VirtualClock
from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE, AudioBlock, VideoFrame
from live_features.sources import microphone, webcam
from live_features.sources.recording import RecordingSource
from tests.fake_camera import FakeCamera
from tests.fake_sounddevice import FakeDevice, FakeSoundDevice

_LINE = re.compile(r"\d+:\d\d\.\d Speaker \d+: (.*) \w+ \d+%")


class RecordingProcess:
    """Starts the process; ``printed`` holds the words of every utterance it has told of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.printed: list[str] = []
        self.listening = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.recording_process", str(folder)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
            text=True,
            encoding="utf-8",
            # Wide enough for every utterance on a line of its own.
            env={**os.environ, "COLUMNS": "1000", "PYTHONIOENCODING": "utf-8"},
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def kill(self) -> None:
        """End it as a crash would (SIGKILL; on Windows ``TerminateProcess``)."""
        self._process.kill()
        self._process.wait()
        self._reading.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "Listening" in line:
                self.listening.set()
            if told := _LINE.match(line):
                self.printed.append(told[1])


@dataclass(frozen=True, slots=True)
class Left:
    """What a killed process left: words of its utterances, seconds of sound, pictures."""

    utterances: list[str]
    last_end: float
    sound: float
    pictures: int
    notes: list[str] = field(default_factory=list)


def what_is_left(folder: Path) -> Left:
    """Open the session and play it to its end; raises where either fails.

    Without any utterance it may lack its media.
    """
    session = RecordedSession(folder)
    labelled = [event for event in session.events() if isinstance(event, UtteranceLabelled)]
    sound, pictures = 0.0, 0
    try:
        for item in session.media(VirtualClock()):
            match item:
                case AudioBlock():
                    sound = item.end
                case VideoFrame():
                    pictures += 1
    except UserFacingError as error:
        if labelled:
            raise
        session.notes.append(str(error))  # there has been no time for any
    last_end = max((event.end for event in labelled), default=0.0)
    return Left([event.text for event in labelled], last_end, sound, pictures, session.notes)


def _play_into(folder: Path) -> int:
    source = RecordingSource(DEMO_MEDIA, VirtualClock())
    sound = np.concatenate([i.samples[:, 0] for i in source if isinstance(i, AudioBlock)])
    device = FakeDevice("Desk mic", sound, rate=SAMPLE_RATE, keeps=False)
    microphone.load_portaudio = lambda: FakeSoundDevice([device])  # type: ignore[assignment]
    camera = FakeCamera(DEMO_MEDIA, rate=25.0, position=lambda: device.played)
    webcam.open_with_opencv = camera  # type: ignore[assignment]

    def interrupt() -> None:
        device.exhausted.wait()
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    return main(["--headless", "--offline", "--whisper", "tiny.en", "--record", str(folder)])


if __name__ == "__main__":
    sys.exit(_play_into(Path(sys.argv[1])))
