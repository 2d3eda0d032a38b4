"""The help menu: what this program is, its keys, and what works on this machine."""

from __future__ import annotations

import importlib.metadata
import io
from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QFontDatabase, QIcon, QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QMainWindow,
    QMenu,
    QPlainTextEdit,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app.assets import ASSETS
from app.checks import LIBRARIES
from app.logs import log_file
from app.options import LiveOptions, RunOptions
from app.ui.background import Background
from app.ui.theme import scaled_font

_DISTRIBUTION = "sdt-live"
_COLUMNS = 100  # characters of the diagnosis


class HelpMenu:
    """Adds the menu to ``window``.

    The diagnosis looks at what ``live`` says, a live session's options, and is begun by ``allow``,
    because it opens devices.
    """

    def __init__(
        self,
        window: QMainWindow,
        live: Callable[[], RunOptions],
        allow: Callable[[Callable[[], None]], None],
    ) -> None:
        self._window = window
        self._live = live
        menu = window.menuBar().addMenu("&Help")
        keys = menu.addAction("&Keyboard shortcuts", self.show_keys)
        keys.setShortcut(QKeySequence("F1"))
        keys.setStatusTip("Every key that does something")
        self.doctor_action = menu.addAction(
            "What &works on this machine …", lambda: allow(self.show_diagnosis)
        )
        self.doctor_action.setStatusTip("Looks at devices, libraries, models and speed")
        menu.addSeparator()
        about = menu.addAction("&About sdt-live", self.show_about)
        about.setMenuRole(QAction.MenuRole.AboutRole)
        about.setStatusTip("Version, licences, and where the log is")

    def show_about(self) -> None:
        _Text(self._window, "About sdt-live", about_text(), {"Licences": licence_text()}).open()

    def show_keys(self) -> None:
        _Keys(self._window, keys_of(self._window)).open()

    def show_diagnosis(self) -> None:
        dialog = _Text(
            self._window,
            "What works on this machine",
            "Looking at devices, libraries, models and speed, which takes a while. The microphone "
            "is listened to for half a second, the camera looked through for one.",
            wide=True,
        )
        run = self._live()
        Background(lambda: _diagnosis(run), dialog.show_text, dialog.show_text, dialog)
        dialog.open()


def _diagnosis(run: RunOptions) -> str:
    from rich.console import Console  # noqa: PLC0415

    from app.doctor import print_diagnosis  # noqa: PLC0415

    assert isinstance(run.medium, LiveOptions)
    text = io.StringIO()
    print_diagnosis(run.models, run.medium, console=Console(file=text, width=_COLUMNS))
    return text.getvalue().strip()


def about_text() -> str:
    """Version, what it is, where the log is, and the libraries."""
    version = importlib.metadata.version(_DISTRIBUTION)
    used = ", ".join(f"{name} {_version(package)}" for name, package in LIBRARIES.items())
    return (
        f"sdt-live {version}\n\n"
        "Reads the emotion of a conversation while it happens, with the model of Ma et al., "
        "“A Transformer-Based Model With Self-Distillation for Multimodal Emotion Recognition in "
        "Conversations”, IEEE TMM 2023. Nothing that is seen or heard leaves this machine.\n\n"
        "The code is under the MIT licence. The weights were trained on corpora for non-commercial "
        "research; all of them are listed under Licences.\n\n"
        f"Log, without words and pictures:\n{log_file()}\n\n"
        f"Libraries: {used}"
    )


def licence_text() -> str:
    """The licence of the code and the notices about weights and libraries."""
    shipped = ASSETS.parent / "LICENSE"
    if shipped.is_file():
        return shipped.read_text(encoding="utf-8")
    found = importlib.metadata.distribution(_DISTRIBUTION).read_text("licenses/LICENSE")
    return found or "The licence is missing from this installation."


def keys_of(window: QMainWindow) -> list[tuple[str, str]]:
    """Every key of the menus and what it does, in their order."""
    found = []

    def look(menu: QMenu) -> None:
        for action in menu.actions():
            if (inner := action.menu()) is not None:
                assert isinstance(inner, QMenu)
                look(inner)
            for key in action.shortcuts():
                name = action.text().replace("&", "").removesuffix(" …")
                found.append((key.toString(QKeySequence.SequenceFormat.NativeText), name))

    for action in window.menuBar().actions():
        if (menu := action.menu()) is not None:
            assert isinstance(menu, QMenu)
            look(menu)
    return found


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


class _Dialog(QDialog):
    def __init__(self, parent: QWidget, title: str) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.setModal(True)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(20, 16, 20, 16)
        head = QLabel(title)
        head.setFont(scaled_font(self.font(), 1.4, bold=True))
        self.column.addWidget(head)

    def finish(self, *, width: int, height: int) -> None:
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        buttons.buttons()[0].setIcon(QIcon())
        self.column.addWidget(buttons)
        self.resize(width, height)


class _Text(_Dialog):
    def __init__(
        self,
        parent: QWidget,
        title: str,
        text: str,
        further: dict[str, str] | None = None,
        *,
        wide: bool = False,
    ) -> None:
        super().__init__(parent, title)
        self._text = _reader(title, text, fixed=wide)
        if further:
            tabs = QTabWidget()
            tabs.addTab(self._text, "About")
            for name, more in further.items():
                tabs.addTab(_reader(name, more, fixed=True), name)
            self.column.addWidget(tabs, 1)
        else:
            self.column.addWidget(self._text, 1)
        self.finish(width=900 if wide else 720, height=560)

    def show_text(self, text: str) -> None:
        self._text.setPlainText(text)


class _Keys(_Dialog):
    def __init__(self, parent: QWidget, keys: list[tuple[str, str]]) -> None:
        super().__init__(parent, "Keyboard shortcuts")
        table = QTableWidget(len(keys), 2)
        table.setAccessibleName("Keyboard shortcuts")
        table.setHorizontalHeaderLabels(["Key", "What it does"])
        table.verticalHeader().hide()
        table.setShowGrid(False)
        table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        table.horizontalHeader().setStretchLastSection(True)
        for row, pair in enumerate(keys):
            for column, text in enumerate(pair):
                table.setItem(row, column, QTableWidgetItem(text))
        table.resizeColumnToContents(0)
        self.column.addWidget(table, 1)
        self.finish(width=560, height=620)


def _reader(name: str, text: str, *, fixed: bool) -> QPlainTextEdit:
    reader = QPlainTextEdit(text)
    reader.setReadOnly(True)
    reader.setAccessibleName(name)
    if fixed:
        reader.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        reader.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
    return reader
