"""Saving what a session came to, while the window goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QFileDialog, QMenu, QWidget

from app.session.exports import FORMATS, export_file, export_formats
from app.session.logged import LoggedSession
from app.session.redaction import redacted
from app.ui.background import Background

_NAMES = {
    "csv": ("Table (CSV)", "A row an utterance, for a spreadsheet"),
    "jsonl": ("Objects (JSON Lines)", "Every probability, gate and contribution"),
    "srt": ("Subtitles (SRT)", "With speaker and emotion, for video players"),
    "vtt": ("Subtitles (WebVTT)", "The same for web pages"),
    "rttm": ("Speaker turns (RTTM)", "Who spoke when, for diarization tools"),
    "html": ("Report (HTML)", "Everything in one page that loads nothing and prints well"),
}


class Exporter(QObject):
    """Fills a menu with the formats, asks where to, and writes in a thread.

    ``session`` gives what there is to export at that moment; ``say`` is told how it went.
    """

    def __init__(
        self,
        window: QWidget,
        menu: QMenu,
        session: Callable[[], LoggedSession | None],
        say: Callable[[str], object],
    ) -> None:
        super().__init__(window)
        self._window = window
        self._session = session
        self._say = say
        self._fill(menu, redact=False)
        menu.addSeparator()
        without = menu.addMenu("Without &words and names")
        self._fill(without, redact=True)

    def write(self, format_: str, path: Path, *, redact: bool) -> None:
        """Write one format to the file ``path``, or ``all`` into the folder ``path``."""
        session = self._session()
        if session is None:
            self._say("There is nothing to export yet.")
            return

        def work() -> str:
            told = redacted(session) if redact else session
            if format_ == "all":
                return f"Wrote {', '.join(export_formats(told, FORMATS, path))} to {path}"
            export_file(told, format_, path)
            return f"Wrote {path}"

        Background(work, self._say, self._say, self)

    def _fill(self, menu: QMenu, *, redact: bool) -> None:
        for format_, (name, tip) in _NAMES.items():
            action = menu.addAction(f"{name} …")
            action.setStatusTip(tip)
            action.triggered.connect(
                lambda _=False, format_=format_: self._ask(format_, redact=redact)
            )
        action = menu.addAction("&All of these into a folder …")
        action.setStatusTip("Every format, into one folder")
        action.triggered.connect(lambda: self._ask("all", redact=redact))

    def _ask(self, format_: str, *, redact: bool) -> None:
        dialog = QFileDialog(self._window)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if format_ == "all":
            dialog.setWindowTitle("Export into a folder")
            dialog.setFileMode(QFileDialog.FileMode.Directory)
        else:
            file = Path(FORMATS[format_][0])
            dialog.setWindowTitle(f"Export: {_NAMES[format_][0]}")
            dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
            dialog.setNameFilters([f"*{file.suffix}", "*"])
            dialog.setDefaultSuffix(file.suffix.removeprefix("."))
            dialog.selectFile(f"redacted-{file.name}" if redact else file.name)
        dialog.fileSelected.connect(lambda path: self.write(format_, Path(path), redact=redact))
        dialog.open()
