"""Where the window keeps what belongs to the person who uses it. No Qt."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_config_path, user_documents_path


def settings_file() -> Path:
    """Where the settings are, whether or not they exist yet."""
    return user_config_path("sdt-live", appauthor=False) / "settings.ini"


def recordings_folder() -> Path:
    """Where sessions are recorded to unless another folder was chosen; it need not exist."""
    return user_documents_path() / "sdt-live"
