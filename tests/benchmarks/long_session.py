"""A session of two hours in the window: opening, seeking, scrolling, zooming, memory.

    xvfb-run -a -s "-screen 0 1920x1200x24" uv run python -m tests.benchmarks.long_session

The session is made up: 1,800 utterances of three people, revisions, and faces five times a second,
with a film (``--film SECONDS``) in which nobody is seen. A frame is a change and all the painting
that follows from it, on the clock on the wall and in processor time of the window's thread, which
does not tell what else the machine is doing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PySide6.QtCore import QEventLoop
from PySide6.QtWidgets import QApplication

from app.conversation import Conversation
from app.events import (
    Event,
    FacesSeen,
    SessionEnded,
    SessionStarted,
    SpeakerFound,
    SpeechEnded,
    SpeechStarted,
    StageFinished,
    UtteranceLabelled,
    UtteranceRevised,
)
from app.options import RunOptions
from app.session.card import CARD, MEDIA
from app.session.log import EVENTS
from app.ui.availability import ignore_foreign_plugins
from app.ui.main_window import MainWindow
from live_features.emotions import EMOTIONS
from tests.app.recorded_sessions import CARD_OF_TALK, write_film
from tests.app.synthetic_session import faces, reading
from tests.benchmarks.memory import resident_megabytes

_EVERY = 4.0  # seconds
_PEOPLE = 3
_WORDS = (
    "I",
    "told",
    "you",
    "that",
    "it",
    "would",
    "take",
    "longer",
    "than",
    "we",
    "had",
    "thought",
)


def long_story(utterances: int) -> Iterator[Event]:
    """A conversation with an utterance every four seconds, each of which revises three others."""
    duration = _EVERY * utterances
    yield SessionStarted(
        media_time=0.0,
        source="long",
        duration=duration,
        has_audio=True,
        has_video=True,
        device="CPU",
        weights={},
        speed=1.0,
    )
    readings = [reading(EMOTIONS[n % 7], 0.4 + 0.05 * (n % 9), n) for n in range(101)]
    seen = 0
    for index in range(utterances):
        start = _EVERY * index + 0.4
        end = start + 1.5 + 1.8 * ((index * 7) % 10) / 10
        out = end + 0.5
        while 0.2 * seen < start:
            time_, seen = 0.2 * seen, seen + 1
            yield FacesSeen(media_time=time_, emitted_at=time_ + 0.1, faces=faces(time_))
        yield SpeechStarted(media_time=start, emitted_at=start + 0.2, channel=None)
        yield SpeechEnded(
            media_time=end, emitted_at=out, channel=None, start=start, end=end, reason="silence"
        )
        if index < _PEOPLE:
            yield SpeakerFound(
                media_time=end, emitted_at=out, speaker=index, name=f"Speaker {index + 1}"
            )
        words = " ".join(_WORDS[: 3 + index % (len(_WORDS) - 3)])
        yield UtteranceLabelled(
            media_time=end,
            emitted_at=out,
            index=index,
            start=start,
            end=end,
            speaker=(index * 5 // 3) % min(_PEOPLE, index + 1),
            text=f"{words}, {index}.",
            reading=readings[index % 101],
        )
        yield StageFinished(media_time=end, emitted_at=out, index=index, stage="emotion")
        for back in (1, 2, 3):
            if index >= back:
                yield UtteranceRevised(
                    media_time=end - _EVERY * back,
                    emitted_at=out,
                    index=index - back,
                    reading=readings[(index + 13 * back) % 101],
                )
    yield SessionEnded(media_time=duration, reason="end_of_media", utterances=utterances)


def write_long_session(folder: Path, utterances: int, film_seconds: float) -> Path:
    """A recorded session as its recorder would have left it."""
    folder.mkdir(parents=True)
    (folder / CARD).write_text(CARD_OF_TALK.to_json(), encoding="utf-8")
    with (folder / EVENTS).open("w", encoding="utf-8") as log:
        for event in long_story(utterances):
            log.write(event.to_json() + "\n")
    if film_seconds:
        write_film(folder / MEDIA, film_seconds)
    return folder


class _Bench:
    def __init__(self, folder: Path, width: int, height: int) -> None:
        ignore_foreign_plugins()
        app = QApplication.instance() or QApplication(["long_session"])
        assert isinstance(app, QApplication)
        self.app = app
        app.setStyle("Fusion")
        began, used = time.perf_counter(), time.process_time()
        self.conversation = Conversation(RunOptions(folder))
        self.conversation.open()
        self.window = MainWindow(on_close=lambda: None)
        self.window.resize(width, height)
        self.window.show_conversation(self.conversation)
        self.window.show()
        self.conversation.begin()
        assert self.conversation.replay is not None
        self.replay = self.conversation.replay
        self.wait(lambda: self.window.pages.currentIndex() == 1)
        self.shown_s = time.perf_counter() - began
        self.wait(lambda: self.replay.is_complete)
        self.wait(lambda: len(self.window.lanes.bars) == len(self.replay.utterances))
        self.spin(0.0)
        self.complete_s = time.perf_counter() - began
        self.complete_cpu_s = time.process_time() - used

    def spin(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while True:
            self.app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents)
            if time.perf_counter() >= end:
                return
            time.sleep(0.001)

    def wait(self, holds: Callable[[], bool], seconds: float = 120.0) -> None:
        end = time.perf_counter() + seconds
        while not holds():
            self.spin(0.0)
            if time.perf_counter() > end:
                raise TimeoutError

    def frame(self, change: Callable[[], object]) -> tuple[float, float]:
        """Milliseconds for a change and all the painting that follows from it: wall, processor."""
        began, used = time.perf_counter(), time.thread_time()
        change()
        self.window.bridge.poll()
        self.app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents)
        return 1000 * (time.perf_counter() - began), 1000 * (time.thread_time() - used)


def _frames(bench: _Bench, changes: Iterator[Callable[[], object]]) -> dict[str, float]:
    times = np.array([bench.frame(change) for change in changes])
    wall, used = times.T
    return {
        "p50_ms": round(float(np.quantile(wall, 0.5)), 1),
        "p99_ms": round(float(np.quantile(wall, 0.99)), 1),
        "cpu_p50_ms": round(float(np.quantile(used, 0.5)), 1),
        "cpu_p99_ms": round(float(np.quantile(used, 0.99)), 1),
    }


def measure(folder: Path, width: int, height: int) -> dict[str, object]:
    bench = _Bench(folder, width, height)
    replay, window = bench.replay, bench.window
    if replay.player is not None and replay.player.playing:
        replay.toggle()
    bench.spin(1.0)
    duration = replay.duration
    drawn = np.random.default_rng(1)

    looks = []
    timeline = replay.timeline
    for moment in drawn.uniform(0, duration, 200):
        began = time.perf_counter()
        timeline.at(float(moment))
        looks.append(1000 * (time.perf_counter() - began))
    seeks = _frames(bench, (lambda t=t: replay.seek(t) for t in drawn.uniform(0, duration, 60)))

    box = window.lanes.getViewBox()
    window.follow_action.setChecked(False)

    def scrolled(span: float, count: int) -> Iterator[Callable[[], object]]:
        for step in range(count):
            left = (duration - span) * step / count
            yield lambda left=left: box.setXRange(left, left + span, padding=0)

    def zoomed(count: int) -> Iterator[Callable[[], object]]:
        for step in range(count):
            span = 20.0 * (duration / 20.0) ** (abs(count / 2 - step) / (count / 2))
            left = max(0.0, 0.4 * duration - span / 2)
            yield lambda left=left, span=span: box.setXRange(left, left + span, padding=0)

    def transcript(count: int) -> Iterator[Callable[[], object]]:
        bar = window.transcript.verticalScrollBar()
        for step in range(count):
            yield lambda step=step: bar.setValue(bar.maximum() * step // count)

    result: dict[str, object] = {
        "utterances": len(replay.utterances),
        "events_mb": round((folder / EVENTS).stat().st_size / 1e6, 1),
        "first_picture_s": round(bench.shown_s, 2),
        "open_s": round(bench.complete_s, 2),
        "open_cpu_s": round(bench.complete_cpu_s, 2),
        "look_p50_ms": round(float(np.quantile(looks, 0.5)), 2),
        "look_p99_ms": round(float(np.quantile(looks, 0.99)), 2),
        "seek": seeks,
        "scroll_1_min": _frames(bench, scrolled(60.0, 150)),
        "scroll_10_min": _frames(bench, scrolled(600.0, 100)),
        "scroll_90_min": _frames(bench, scrolled(0.75 * duration, 60)),
        "zoom": _frames(bench, zoomed(120)),
        "transcript": _frames(bench, transcript(150)),
        "rss_mb": resident_megabytes(),
    }
    bench.conversation.close()
    window.close()
    bench.conversation.join(5.0)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--utterances", type=int, default=1800)
    parser.add_argument("--film", type=float, default=600.0, help="seconds of film (default: 600)")
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--keep", type=Path, help="a session folder to make, or to take again")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as place:
        folder = options.keep or Path(place) / "long.sdt"
        if not folder.exists():
            write_long_session(folder, options.utterances, options.film)
        result = measure(folder, width, height)
    for name, value in result.items():
        print(f"{name:>16}  {value}")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
