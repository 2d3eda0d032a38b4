"""Presentation mode: large type, full screen, and only what those who watch from afar need."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMainWindow, QWidget

from app.ui.views.timeline import TimePlot

FACTOR = 1.7
"""How much larger type is."""

_NO_LIMIT = 16_777_215  # pixels, as Qt writes it


class Presentation(QObject):
    """Hides the details of a window, shows a large caption instead, and enlarges the plots.

    ``changed`` is emitted after it began or ended. The keys of the menus go on to work.
    """

    changed = Signal()

    def __init__(self, window: QMainWindow, plots: Sequence[TimePlot]) -> None:
        super().__init__(window)
        self._window = window
        self._caption: QWidget | None = None
        self._plots = plots
        self._details: tuple[QWidget, ...] = ()
        self._hidden: list[QWidget] = []
        self._was_full = self._was_maximized = False
        self.action = QAction("&Presentation", window)
        self.action.setCheckable(True)
        self.action.setShortcuts([QKeySequence("F11"), QKeySequence("P")])
        tip = "Large type, lanes and weights only, full screen; Esc leaves it"
        self.action.setToolTip(f"{tip} (F11)")
        self.action.setStatusTip(tip)
        self.action.toggled.connect(self._switch)
        self.leave = QAction("Leave the presentation", window)
        self.leave.setShortcut(QKeySequence("Esc"))
        self.leave.setEnabled(False)
        self.leave.triggered.connect(lambda: self.action.setChecked(False))
        window.addAction(self.leave)

    def arrange(self, caption: QWidget, details: Sequence[QWidget]) -> None:
        """``caption`` is shown in a presentation only, and ``details`` have no place in it."""
        self._caption = caption
        self._details = tuple(details)
        caption.hide()

    def _switch(self, on: bool) -> None:
        window = self._window
        self.leave.setEnabled(on)
        if on:
            self._hidden = [part for part in self._details if not part.isHidden()]
            self._was_full, self._was_maximized = window.isFullScreen(), window.isMaximized()
        for part in self._hidden:
            part.setVisible(not on)
        # The keys of a menu bar that is hidden do nothing; of one without height they do.
        window.menuBar().setMaximumHeight(0 if on else _NO_LIMIT)
        for plot in self._plots:
            plot.enlarge(FACTOR if on else 1.0)
        if self._caption is not None:
            self._caption.setVisible(on)
        if on:
            window.showFullScreen()
        elif self._was_maximized:
            window.showMaximized()
        elif not self._was_full:
            window.showNormal()
        self.changed.emit()
