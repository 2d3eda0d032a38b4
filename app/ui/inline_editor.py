"""A line of text that is edited where it stands."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QRect, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QLineEdit, QWidget

_NARROWEST = 140


class InlineEditor(QLineEdit):
    """Opens over a place in another widget; Enter hands the text on, Esc and leaving do not."""

    def __init__(
        self,
        over: QWidget,
        box: QRect,
        text: str,
        name: str,
        take: Callable[[str], object],
        *,
        placeholder: str = "",
    ) -> None:
        """``box`` is in the coordinates of ``over``; ``name`` is what a screen reader says."""
        super().__init__(text, over)
        self._take = take
        self._over = over
        self.setAccessibleName(name)
        self.setPlaceholderText(placeholder)
        self.setToolTip("Enter keeps it, Esc leaves it as it was")
        height = max(box.height(), self.sizeHint().height())
        width = max(box.width(), _NARROWEST)
        left = min(max(box.left(), 0), max(over.width() - width, 0))
        top = min(max(box.center().y() - height // 2, 0), max(over.height() - height, 0))
        self.setGeometry(left, top, min(width, over.width()), height)
        self.returnPressed.connect(self._keep)
        over.installEventFilter(self)
        self.selectAll()
        self.show()
        self.setFocus(Qt.FocusReason.OtherFocusReason)

    def event(self, event: QEvent) -> bool:
        # No key is a shortcut of the window while somebody writes.
        if event.type() == QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() == Qt.Key.Key_Escape:
            self._end()
        else:
            super().keyPressEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        # What is below moves away: the line would be about something else.
        if event.type() in (QEvent.Type.Resize, QEvent.Type.Wheel):
            self._end()
        return super().eventFilter(watched, event)

    def focusOutEvent(self, event) -> None:  # type: ignore[no-untyped-def]  # noqa: N802
        super().focusOutEvent(event)
        if event.reason() not in (
            Qt.FocusReason.PopupFocusReason,
            Qt.FocusReason.ActiveWindowFocusReason,
        ):
            self._end()

    def _keep(self) -> None:
        text = self.text()
        self._end()
        self._take(text)

    def _end(self) -> None:
        if self.isHidden():
            return
        self._over.removeEventFilter(self)
        self.returnPressed.disconnect()
        self.blockSignals(True)
        self.hide()
        self._over.setFocus(Qt.FocusReason.OtherFocusReason)
        self.deleteLater()
