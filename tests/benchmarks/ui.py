"""Whether the window keeps up while everything else computes.

    xvfb-run -a -s "-screen 0 1920x1200x24" uv run python -m tests.benchmarks.ui

Opens the demo in the real window, which is read as fast as the machine can while it plays, and
times every frame: what the window's thread takes to look at the session and to paint what has
changed. The same reading without a window says what the window costs it: three of each in turn, all
with models that have just been loaded, as first readings are a little slower. The start is that of
``sdt-live --demo`` in a process of its own, from the command to the first picture of the window and
to the first sound that is read. Where there is a display, ``xvfb-run`` is not needed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from PySide6.QtWidgets import QApplication
from rich.console import Console
from rich.table import Table

from app.assets import DEMO_MEDIA
from app.conversation import Conversation
from app.engine import LiveEngine
from app.models import load_models
from app.options import ModelOptions, RunOptions
from app.ui.main_window import MainWindow
from app.ui.run import SWITCH_INTERVAL
from live_features.clocks import VirtualClock
from live_features.sources.recording import RecordingSource
from tests.benchmarks.memory import resident_megabytes

STARTS = 3
READINGS = 3
FRAME = 1 / 30
AFTERWARDS = 5.0
"""Seconds for which the window is watched once everything has been read."""


def start_times() -> dict[str, float]:
    """Seconds until the window is seen, and until reading has begun; medians."""
    # As on people's machines, Python keeps what it has compiled.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    times: list[dict[str, float]] = []
    for _ in range(STARTS):
        command = [sys.executable, "-m", "tests.benchmarks.ui_start", str(time.time())]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        times.append(json.loads(done.stdout.splitlines()[-1]))
    return {name: round(median(t[name] for t in times), 2) for name in times[0]}


def read_without_window() -> float:
    """Seconds to read the demo as fast as possible, what is still being spoken included."""
    models = load_models(ModelOptions(offline=True))
    clock = VirtualClock()
    source = RecordingSource(DEMO_MEDIA, clock)
    began = time.perf_counter()
    LiveEngine(source, clock, models, [], provisional=lambda: True).run()
    return time.perf_counter() - began


def read_in_window(app: QApplication) -> tuple[list[float], list[float], float]:
    """Seconds of each frame while the demo is read and afterwards, and of reading it."""
    window = MainWindow(on_close=lambda: None)
    window.resize(1280, 800)
    conversation = Conversation(RunOptions(DEMO_MEDIA, models=ModelOptions(offline=True)))
    conversation.open()
    window.show_conversation(conversation)
    window.show()
    conversation.begin()
    replay = conversation.replay
    assert replay is not None
    window.bridge.stop()  # frames are made below, one after the other, to be timed
    _until(lambda: replay.read_until > 0, app)
    began, took = time.perf_counter(), 0.0
    reading: list[float] = []
    playing: list[float] = []
    while not took or time.perf_counter() - began < took + AFTERWARDS:
        due = time.perf_counter() + FRAME
        first = time.perf_counter()
        window.bridge.poll()
        app.processEvents()
        (playing if took else reading).append(time.perf_counter() - first)
        if not took and replay.is_complete:
            took = time.perf_counter() - began
        time.sleep(max(0.0, due - time.perf_counter()))
    window.close()
    conversation.close()
    _until(lambda: conversation.join(0.0), app)
    window.deleteLater()
    app.processEvents()
    return reading, playing, took


def _until(true: Callable[[], bool], app: QApplication) -> None:
    while not true():
        app.processEvents()
        time.sleep(0.005)


def milliseconds(frames: list[float], quantile: float) -> float:
    return round(1000 * float(np.quantile(frames, quantile)), 1)


def main() -> None:
    started = start_times()
    app = QApplication.instance() or QApplication(["sdt-live"])
    assert isinstance(app, QApplication)
    app.setStyle("Fusion")
    sys.setswitchinterval(SWITCH_INTERVAL)
    reading: list[float] = []
    playing: list[float] = []
    without, within = [], []
    for _ in range(READINGS):
        without.append(read_without_window())
        while_read, afterwards, took = read_in_window(app)
        reading += while_read
        playing += afterwards
        within.append(took)
    alone, shown = median(without), median(within)
    table = Table("the window's thread", "frames", "p50", "p99", "longest")
    for name, frames in (("while the demo is read", reading), ("afterwards", playing)):
        numbers = [f"{milliseconds(frames, q):.1f} ms" for q in (0.5, 0.99, 1.0)]
        table.add_row(name, str(len(frames)), *numbers)
    Console(width=100).print(table)
    print(
        json.dumps(
            {
                "frame_p99_ms": milliseconds(reading, 0.99),
                "frame_p50_ms": milliseconds(reading, 0.5),
                "frame_p99_ms_playing": milliseconds(playing, 0.99),
                **started,
                "throughput_ratio_with_window": round(alone / shown, 3),
                "read_s_with_window": round(shown, 2),
                "read_s_without_window": round(alone, 2),
                "rss_mb": resident_megabytes(),
            }
        )
    )


if __name__ == "__main__":
    main()
