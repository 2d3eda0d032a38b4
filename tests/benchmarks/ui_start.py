"""``sdt-live --demo`` that says when it is seen and when it is ready; for :mod:`.ui`.

The only argument is when it was started, in seconds since the epoch.
"""

from __future__ import annotations

import json
import sys
import time

from PySide6.QtGui import QPaintEvent

import app.ui.run
from app.cli import main
from app.state import Snapshot


class _Watched(app.ui.run.MainWindow):
    """The real window, closed once reading has begun."""

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        super().paintEvent(event)
        if "visible_s" not in times:
            times["visible_s"] = time.time() - started
            self.bridge.session_changed.connect(self._look)

    def _look(self, snapshot: Snapshot) -> None:
        if snapshot.phase == "running" and "ready_s" not in times:
            times["ready_s"] = time.time() - started
            self.close()


if __name__ == "__main__":
    started = float(sys.argv[1])
    times: dict[str, float] = {}
    app.ui.run.MainWindow = _Watched  # type: ignore[misc]
    main(["--demo", "--offline"])
    print(json.dumps(times))
