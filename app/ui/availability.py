"""Whether a window can open here, found out without letting Qt abort the process.

Qt ends the program when its platform plugin cannot be loaded or the X server does not answer, so
both are tried from outside first.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import sys
from pathlib import Path

APT_LINE = (
    "sudo apt install libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0 "
    "libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 "
    "libwayland-cursor0"
)
"""Everything a bare Debian or Ubuntu lacks for Qt's widgets on X11 and Wayland."""

_PLUGIN_PATH = "QT_QPA_PLATFORM_PLUGIN_PATH"


def has_display() -> bool:
    """Whether there is a screen, or a stand-in for one, to open a window on."""
    if not sys.platform.startswith("linux"):
        return True
    if os.environ.get("QT_QPA_PLATFORM") or os.environ.get("WAYLAND_DISPLAY"):
        return True
    return bool(os.environ.get("DISPLAY")) and _x_server_answers()


def qt_unavailable() -> str | None:
    """One sentence saying what Qt lacks here and how to get it, or None when it can start."""
    try:
        importlib.import_module("PySide6.QtWidgets")
    except ModuleNotFoundError as error:
        return f"The window needs {error.name}, which is not installed: run `uv sync`."
    except ImportError as error:
        return _missing(str(error))
    plugins = _platform_plugins()
    failures = [failure for plugin in plugins if (failure := _load_failure(plugin))]
    if plugins and len(failures) == len(plugins):
        return _missing(failures[-1])
    return None


def ignore_foreign_plugins() -> None:
    """Forget a Qt plugin folder that OpenCV's wheel put into the environment."""
    if "cv2" in Path(os.environ.get(_PLUGIN_PATH, "")).parts:
        del os.environ[_PLUGIN_PATH]


def _platform_plugins() -> list[Path]:
    """The plugins of which Qt will need one; empty where no system library can be missing."""
    if not sys.platform.startswith("linux") or os.environ.get("QT_QPA_PLATFORM"):
        return []
    spec = importlib.util.find_spec("PySide6")
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent / "Qt" / "plugins" / "platforms"
    names = ["libqwayland.so"] if os.environ.get("WAYLAND_DISPLAY") else []
    if os.environ.get("DISPLAY"):
        names.append("libqxcb.so")
    return [folder / name for name in names if (folder / name).exists()]


def _load_failure(plugin: Path) -> str | None:
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        return str(error)
    return None


def _missing(failure: str) -> str:
    library = failure.partition(":")[0]
    return f"The window cannot open because {library} is missing: run `{APT_LINE}`."


def _x_server_answers() -> bool:
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return True  # the missing library is qt_unavailable's to name
    xcb.xcb_connect.restype = ctypes.c_void_p
    xcb.xcb_connect.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    xcb.xcb_connection_has_error.argtypes = [ctypes.c_void_p]
    xcb.xcb_disconnect.argtypes = [ctypes.c_void_p]
    connection = xcb.xcb_connect(None, None)
    try:
        return xcb.xcb_connection_has_error(connection) == 0
    finally:
        xcb.xcb_disconnect(connection)
