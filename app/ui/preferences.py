"""What a person chose in the window, kept from one start to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from PySide6.QtCore import QSettings

from app.assets import DEFAULT_CHECKPOINT
from app.options import (
    BEST_WHISPER,
    DEVICES,
    CommandLine,
    LiveOptions,
    ModelOptions,
    RunOptions,
)
from app.session.card import SUFFIX
from app.ui import places
from live_features.weights import DEFAULT_TEXT_ENCODER, DEFAULT_WHISPER

COLOURS = ("system", "light", "dark")
MOST_DELAY = 5.0  # seconds
MOST_PEOPLE = 9
MOST_UNSURE = 99  # percent
MOST_RECENT = 8

LANGUAGES = {
    "": "Whatever is spoken",
    "zh": "Chinese",
    "nl": "Dutch",
    "en": "English",
    "fr": "French",
    "de": "German",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "es": "Spanish",
    "sv": "Swedish",
    "tr": "Turkish",
    "uk": "Ukrainian",
}
"""ISO code to name, for multilingual Whisper models; the default one knows English only."""

_Options = TypeVar("_Options", LiveOptions, ModelOptions, "Preferences")

_CAMERAS = range(100)
_LONGEST = 4096  # characters
_UNDERSTOOD = "understood"
_RECENT = "recent"


@dataclass(frozen=True, slots=True)
class Preferences:
    """What holds for sessions that are begun in the window.

    Empty strings stand for what the program chooses: the system's ``microphone``, the ``whisper``
    that suits live talk or a recording, the ``language`` that is heard, the ``checkpoint`` that
    ships, the usual folder for ``recordings``. ``camera`` -1 is none, ``speakers`` 0 is any number.
    ``record`` is whether live sessions are kept. Answers that are less likely than ``unsure_below``
    percent are called unsure; -1 leaves it to the checkpoint.
    """

    microphone: str = ""
    camera: int = 0
    camera_delay: float = 0.0
    two_channels: bool = False
    speakers: int = 0
    whisper: str = ""
    language: str = ""
    device: str = "auto"
    text_encoder: str = DEFAULT_TEXT_ENCODER
    checkpoint: str = ""
    record: bool = False
    recordings: str = ""
    colours: str = "system"
    unsure_below: int = -1

    @property
    def doubt(self) -> float | None:
        """The probability below which an answer is unsure; None leaves it to the checkpoint."""
        return None if self.unsure_below < 0 else self.unsure_below / 100

    @property
    def recordings_folder(self) -> Path:
        return _folder(self.recordings) if self.recordings else places.recordings_folder()

    def but(self, **changes: object) -> Preferences:
        """The same with a few changes."""
        return _with(self, changes)

    def live(self, line: CommandLine) -> RunOptions:
        """A live session as preferred, but for what was typed."""
        typed = line.run
        live = typed.medium if isinstance(typed.medium, LiveOptions) else LiveOptions()
        preferred = {
            "microphone": self.microphone or None,
            "camera": None if self.camera < 0 else self.camera,
            "channels": 2 if self.two_channels else 1,
            "camera_delay": self.camera_delay,
        }
        given = {name: value for name, value in preferred.items() if name not in line.given}
        record = typed.record
        if record is None and self.record:
            record = new_session_folder(self.recordings_folder)
        return replace(
            typed,
            medium=_with(live, given),
            speakers=typed.speakers or self.speakers or None,
            record=record,
            models=self._models(line, self.whisper or BEST_WHISPER),
        )

    def recording(self, medium: Path, line: CommandLine) -> RunOptions:
        """The reading of a recording as preferred, but for what was typed."""
        return replace(
            line.run, medium=medium, models=self._models(line, self.whisper or DEFAULT_WHISPER)
        )

    def _models(self, line: CommandLine, whisper: str) -> ModelOptions:
        preferred = {
            "whisper": whisper,
            "text_encoder": self.text_encoder,
            "checkpoint": _folder(self.checkpoint) if self.checkpoint else DEFAULT_CHECKPOINT,
            "device": self.device,
        }
        given = {name: value for name, value in preferred.items() if name not in line.given}
        return _with(line.run.models, {"language": self.language or None, **given})


def _folder(typed: str) -> Path:
    try:
        return Path(typed).expanduser()
    except RuntimeError:  # there is nobody of that name
        return Path(typed)


def new_session_folder(folder: Path) -> Path:
    """A name in ``folder`` that says when the session began."""
    return folder / f"{datetime.now():%Y-%m-%d %H.%M.%S}{SUFFIX}"


class Settings:
    """The settings file. What in it makes no sense, or has been damaged, counts as not chosen."""

    def __init__(self, file: Path | None = None) -> None:
        self._store = QSettings(str(file or places.settings_file()), QSettings.Format.IniFormat)

    @property
    def preferences(self) -> Preferences:
        found = {}
        for field in fields(Preferences):
            value = _read(self._store.value(field.name), type(field.default))
            if value is not None and _is_sensible(field.name, value):
                found[field.name] = value
        return Preferences(**found)

    def save(self, preferences: Preferences) -> None:
        for field in fields(Preferences):
            value = getattr(preferences, field.name)
            if value == field.default:
                self._store.remove(field.name)
            else:
                self._store.setValue(field.name, value)
        self._store.sync()

    @property
    def understood(self) -> bool:
        """Whether somebody has read what live sessions capture, and agreed."""
        return _read(self._store.value(_UNDERSTOOD), bool) is True

    def understand(self) -> None:
        self._store.setValue(_UNDERSTOOD, True)
        self._store.sync()

    @property
    def recent(self) -> tuple[Path, ...]:
        """What was opened or recorded last, newest first; it may be gone by now."""
        found = self._store.value(_RECENT)
        texts = found if isinstance(found, list) else [found]
        paths = [Path(text) for text in texts if isinstance(text, str) and _is_name(text)]
        return tuple(paths[:MOST_RECENT])

    def remember(self, path: Path) -> None:
        """``path`` has just been opened, or is being recorded to."""
        path = path.absolute()
        others = [str(other) for other in self.recent if other != path]
        self._store.setValue(_RECENT, [str(path), *others][:MOST_RECENT])
        self._store.sync()


def _with(options: _Options, changes: Mapping[str, Any]) -> _Options:
    return replace(options, **changes)


def _read(value: object, kind: type) -> Any:
    """``value`` as it comes from the file, mostly text, as ``kind``; None where it is none."""
    # What has a comma in it, unquoted, comes as a list.
    if not isinstance(value, bool | str | int | float):
        return None
    if kind is bool:
        return {"true": True, "false": False, True: True, False: False}.get(value)
    if isinstance(value, bool):
        return None
    try:
        return kind(value)
    except (ValueError, OverflowError):
        return None


def _is_sensible(name: str, value: Any) -> bool:
    return name not in _SENSIBLE or _SENSIBLE[name](value)


def _is_name(text: str) -> bool:
    return len(text) <= _LONGEST and text.isprintable()


def still_there(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Those that exist; where they are on a network, finding out may take a while."""
    return tuple(path for path in paths if _exists(path))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


_SENSIBLE: dict[str, Callable[[Any], bool]] = {
    "microphone": _is_name,
    "camera": lambda index: index == -1 or index in _CAMERAS,
    "camera_delay": lambda seconds: abs(seconds) <= MOST_DELAY,
    "speakers": lambda number: 0 <= number <= MOST_PEOPLE,
    "whisper": _is_name,
    "language": lambda code: code in LANGUAGES,
    "device": lambda name: name in DEVICES,
    "text_encoder": lambda name: bool(name) and _is_name(name),
    "checkpoint": _is_name,
    "recordings": _is_name,
    "colours": lambda name: name in COLOURS,
    "unsure_below": lambda percent: -1 <= percent <= MOST_UNSURE,
}
