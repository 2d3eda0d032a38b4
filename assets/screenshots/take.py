"""Take the pictures of the README: every state of the window, and the report.

    xvfb-run -s "-screen 0 1440x900x24" uv run python assets/screenshots/take.py

On a machine with a screen, ``xvfb-run`` and what belongs to it can be left out. It reads the demo
to its end, which takes a minute, and goes to the moment that is shown. The devices in the pictures
are made up. The report needs Chromium or Chrome; without one its picture is left as it is.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QCursor, QImage, QPainter, QPixmap
from PySide6.QtWidgets import QApplication, QWidget

from app.options import CommandLine, LiveOptions, ModelOptions, RunOptions
from app.ui import places
from app.ui.devices import DevicesHere
from app.ui.main_window import MainWindow
from app.ui.preferences import Settings
from app.ui.shell import Shell

HERE = Path(__file__).parent
SIZE = (1280, 800)
MOMENT = 66.0  # seconds into the demo
DEVICES = DevicesHere(("Built-in microphone", "Headset"), ((0, "Built-in camera"),))
_LARGE = 150_000  # bytes
_FLAT = 64  # colours
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    app = QApplication(sys.argv)
    app.setStyle("Fusion")
    with tempfile.TemporaryDirectory() as folder:
        places.recordings_folder = lambda: Path("Documents", "sdt-live")
        settings = Settings(Path(folder) / "settings.ini")
        window = MainWindow(on_close=lambda: None)
        line = CommandLine(RunOptions(LiveOptions(), models=ModelOptions(offline=True)))
        shell = Shell(window, line, settings)
        window.use_colours("light")
        window.resize(*SIZE)
        window.show()
        QCursor.setPos(0, SIZE[1] - 1)  # so that nothing is hovered
        before_sessions(window, shell)
        during_a_session(window, shell, Path(folder))
        window.close()
        shell.close()
        return 0 if shell.join(60.0) else 1


def before_sessions(window: MainWindow, shell: Shell) -> None:
    shell.show_start()
    wait_for(lambda: shell.devices != DevicesHere())
    shell.show_devices(DEVICES)
    take(window, "start")
    shell.live_action.trigger()
    take_dialog(window, "consent")
    shell.show_settings()
    wait(3.0)  # until the Whisper sizes are listed
    take_dialog(window, "settings")
    shell.open_path(Path("talk.mp4"))
    wait_for(window.message_page.retry.isVisible)
    take(window, "error")
    shell.leave()
    wait_for(lambda: window.pages.currentWidget() is shell.start_page)


def during_a_session(window: MainWindow, shell: Shell, folder: Path) -> None:
    shell.watch_demo()
    wait_for(lambda: window.conversation is not None)
    assert window.conversation is not None
    replay = window.conversation.replay
    assert replay is not None
    wait_for(lambda: replay.reading.snapshot().phase == "ended")
    replay.toggle()
    replay.seek(MOMENT)
    take(window, "demo")
    window.use_colours("dark")
    take(window, "demo-dark")
    window.presentation.action.trigger()
    window.resize(*SIZE)
    take(window, "presentation")
    window.presentation.action.trigger()
    window.use_colours("light")
    report = folder / "report.html"
    shell.exporter.write("html", report, redact=False)
    wait_for(report.exists)
    take_report(report)


def take(window: MainWindow, name: str, over: QWidget | None = None) -> None:
    """Save the window, with a dialog ``over`` it in the middle."""
    wait(0.5)
    picture = window.grab()
    if over is not None:
        dialog = over.grab()
        painter = QPainter(picture)
        painter.fillRect(picture.rect(), QColor(0, 0, 0, 90))
        left = (picture.width() - dialog.width()) // 2
        top = (picture.height() - dialog.height()) // 2
        painter.drawPixmap(QPoint(left, top), dialog)
        painter.end()
    save(picture, HERE / f"{name}.png")


def take_dialog(window: MainWindow, name: str) -> None:
    wait(0.5)
    dialog = QApplication.activeModalWidget()
    assert dialog is not None
    take(window, name, over=dialog)
    dialog.close()


def save(picture: QPixmap, path: Path) -> None:
    """As PNG, and where that is large with 256 colours."""
    picture.save(str(path), "PNG", 0)
    if path.stat().st_size > _LARGE:
        with_few_colours(picture.toImage()).save(str(path), "PNG", 0)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def with_few_colours(image: QImage) -> QImage:
    """The picture in the 256 colours that suit it best."""
    image = image.convertToFormat(QImage.Format.Format_RGB32)
    pixels = np.array(image.constBits(), np.uint8).reshape(-1, 4)[:, :3]
    shades, counts = np.unique(pixels, axis=0, return_counts=True)
    # Flat areas keep their own colours, the rest is shared by what the photograph needs.
    flat = shades[np.argsort(counts)[-_FLAT:]]
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 20, 0.0)
    sample = pixels[:: max(1, len(pixels) // 40_000)].astype(np.float32)
    cv2.setRNGSeed(0)
    centres = cv2.kmeans(sample, 256 - _FLAT, None, stop, 1, cv2.KMEANS_PP_CENTERS)[2]
    blue_green_red = [*flat.tolist(), *centres.round().astype(int).tolist()]
    table = [QColor(r, g, b).rgb() for b, g, r in blue_green_red]
    plain = Qt.ImageConversionFlag.ThresholdDither | Qt.ImageConversionFlag.AvoidDither
    return image.convertToFormat(QImage.Format.Format_Indexed8, table, plain)


def take_report(report: Path) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        return
    picture = HERE / "report.png"
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1100,1000"]
    subprocess.run(
        [browser, *options, f"--screenshot={picture}", report.as_uri()],
        check=True,
        capture_output=True,
    )
    save(QPixmap(str(picture)), picture)


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        wait(0.02)


def wait(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        QApplication.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main())
