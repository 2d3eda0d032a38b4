"""Something that takes a while, done beside the window."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from PySide6.QtCore import QObject, QTimer

from live_features.errors import UserFacingError

_PERIOD_MS = 30

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Background(QObject, Generic[T]):
    """Runs ``work`` in a thread and hands what it gives to ``done``, or its sentence to ``failed``.

    Both are called in the window's thread, and neither once ``parent`` is gone.
    """

    def __init__(
        self,
        work: Callable[[], T],
        done: Callable[[T], object],
        failed: Callable[[str], object],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._work = work
        self._done = done
        self._failed = failed
        self._outcome: Callable[[], object] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(_PERIOD_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()
        threading.Thread(target=self._run, name="beside the window", daemon=True).start()

    def _run(self) -> None:
        try:
            result = self._work()
            self._outcome = lambda: self._done(result)
        except UserFacingError as error:
            sentence = str(error)
            self._outcome = lambda: self._failed(sentence)
        except Exception:  # noqa: BLE001 - it must be said, or the window would wait for ever
            _log.exception("a mistake of our own beside the window")
            self._outcome = lambda: self._failed(
                "The program made a mistake here; its log says where."
            )

    def _look(self) -> None:
        if self._outcome is not None:
            self._timer.stop()
            self._outcome()
            self.deleteLater()
