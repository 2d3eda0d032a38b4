"""What the window shows while there is nothing to see yet, or when there will be nothing."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from app.state import Snapshot
from app.ui.theme import Theme, scaled_font
from app.ui.views.emotions import EmotionLegend

_WIDTH = 640
_STEPS = 1000


class MessagePage(QWidget):
    """Says what the program is doing, or what went wrong and what to do about it.

    ``left`` asks to go back, ending whatever goes on; ``again`` to try once more.
    """

    left = Signal()
    again = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._legend = EmotionLegend(theme)
        self.headline = QLabel()
        self.headline.setFont(scaled_font(self.font(), 1.8, bold=True))
        self.message = QLabel()
        self.message.setObjectName("muted")
        self.message.setFont(scaled_font(self.font(), 1.15))
        self.message.setWordWrap(True)
        self.message.setTextFormat(Qt.TextFormat.PlainText)
        self.message.setFixedWidth(_WIDTH)
        self.message.setAccessibleName("What the program is doing")
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedSize(260, 6)
        self.progress.setAccessibleName("Progress")
        self.back = QPushButton("&Cancel")
        self.back.clicked.connect(self.left)
        self.retry = QPushButton("&Try again")
        self.retry.clicked.connect(self.again)
        buttons = QWidget()
        row = QHBoxLayout(buttons)
        row.addWidget(self.back)
        row.addWidget(self.retry)
        column = QVBoxLayout(self)
        column.setSpacing(14)
        column.addStretch(2)
        centre = Qt.AlignmentFlag.AlignHCenter
        self.headline.setAlignment(centre)
        self.message.setAlignment(centre)
        for widget in (self._legend, self.headline, self.message, self.progress, buttons):
            column.addWidget(widget, alignment=centre)
        column.addStretch(3)

    def set_theme(self, theme: Theme) -> None:
        self._legend.set_theme(theme)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """A session that has not begun to show anything, or failed before it did."""
        failed = snapshot.phase == "failed"
        fetching = snapshot.fetching
        if failed:
            headline, text = "That did not work", snapshot.message
        elif fetching is not None and fetching.share != 1.0:
            headline, text = "Fetching a model", fetching.sentence
        else:
            headline, text = "Getting ready", snapshot.message or "The models are being loaded."
        share = None if fetching is None or fetching.share == 1.0 else fetching.share
        self._show(headline, text, busy=not failed, share=share)
        self.retry.setVisible(failed)
        self._legend.setVisible(not failed)

    def show_waiting(self, headline: str, text: str) -> None:
        """Something that goes on before the next session can begin."""
        self._show(headline, text, busy=True)
        self._legend.show()
        self.retry.hide()

    def _show(self, headline: str, text: str, *, busy: bool, share: float | None = None) -> None:
        self.headline.setText(headline)
        self.message.setText(text)
        self.message.setMinimumHeight(max(0, self.message.heightForWidth(_WIDTH)))
        self.progress.setVisible(busy)
        self.progress.setRange(0, 0 if share is None else _STEPS)
        if share is not None:
            self.progress.setValue(round(_STEPS * share))
        self.back.setText("&Cancel" if busy else "&Back")
        self.back.show()
