"""Fixtures for tests with a window; without Qt's system libraries those tests are skipped."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.ui.availability import qt_unavailable

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# Tests compute little, and beside a busy process a team of threads waits for its slowest member.
os.environ.setdefault("OMP_NUM_THREADS", "1")
_QT_UNAVAILABLE = qt_unavailable()


@pytest.hookimpl(trylast=True)
def pytest_plugin_registered(
    plugin: object, plugin_name: str, manager: pytest.PytestPluginManager
) -> None:
    # pytest-qt ends the whole run when it cannot import Qt, also for tests that need none.
    if plugin_name == "pytest-qt" and _QT_UNAVAILABLE:
        manager.unregister(plugin)


@pytest.fixture(autouse=True)
def files_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """Keep tests out of the log, the settings and the recordings of whoever runs them."""
    path = tmp_path_factory.getbasetemp() / "sdt-live.log"
    monkeypatch.setattr("app.logs.log_file", lambda: path)
    monkeypatch.setattr("app.ui.places.settings_file", lambda: tmp_path / "settings.ini")
    monkeypatch.setattr("app.ui.places.recordings_folder", lambda: tmp_path / "recordings")


@pytest.fixture
def nothing_left_alive() -> Iterator[None]:
    """Fail a test that leaves a thread, an active timer or a top-level widget behind."""
    from PySide6.QtCore import QCoreApplication, QEvent, QTimer  # noqa: PLC0415
    from PySide6.QtWidgets import QApplication  # noqa: PLC0415
    from shiboken6 import isValid  # noqa: PLC0415

    threads = set(threading.enumerate())
    widgets = {id(widget) for widget in QApplication.topLevelWidgets()}
    yield
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()
    gc.collect()
    assert [thread for thread in threading.enumerate() if thread not in threads] == []
    assert [w for w in QApplication.topLevelWidgets() if id(w) not in widgets] == []
    # By exact class, because isinstance would wake lazy objects of unrelated packages.
    timers = [t for t in gc.get_objects() if type(t) is QTimer and isValid(t) and t.isActive()]
    assert timers == []
