"""``session.json``: what a recorded session is, apart from what was seen, heard and made of it.

A session is a folder ``NAME.sdt`` with four files under fixed names, so that nothing in it has to
say where anything is: this card, the media, the events and the features.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from app.events import shown_text

CARD = "session.json"
MEDIA = "media.mkv"
SUFFIX = ".sdt"

FORMAT = "sdt-session"
VERSION = 1
MOST_BYTES = 65_536
"""No card is larger."""

_MOST_SPEAKERS = 9
_MOST_CHANNELS = 2


@dataclass(frozen=True, slots=True)
class SessionCard:
    """What is written when a recording begins.

    ``created`` is the time of day with its zone (ISO 8601) and ``source`` the name of what is
    recorded. ``channels`` counts those of the sound, 0 without sound; two are two people.
    ``speakers`` is how many people talk, None where nobody knew, and ``enrol`` who introduced
    themselves first. ``models`` names the models asked for; the SHA-256 of the checkpoint's weights
    tells two of the same name apart (empty where there is no such file).
    """

    created: str
    source: str
    channels: int
    has_video: bool
    speakers: int | None
    enrol: tuple[str, ...]
    models: dict[str, str]
    checkpoint_sha256: str

    def to_json(self) -> str:
        return json.dumps(
            {"format": FORMAT, "version": VERSION, **asdict(self)}, ensure_ascii=False, indent=2
        )

    @classmethod
    def from_json(cls, text: str) -> SessionCard:
        """Read what :meth:`to_json` gave, or what a stranger wrote in its place.

        Raises:
            ValueError: it is not that; the message says in a few words why.
        """
        try:
            told = json.loads(text)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        if not isinstance(told, dict) or told.get("format") != FORMAT:
            raise ValueError("it is not one of this program's")
        version = told.get("version")
        if type(version) is not int or version < 1:
            raise ValueError("its version is none")
        if version > VERSION:
            raise ValueError("a newer version of this program made it")
        missing = [field.name for field in fields(cls) if field.name not in told]
        if missing:
            raise ValueError(f"it lacks {missing[0]}")
        return cls(
            created=_text(told, "created"),
            source=_text(told, "source"),
            channels=_count(told, "channels", 0, _MOST_CHANNELS),
            has_video=_truth(told, "has_video"),
            speakers=None
            if told["speakers"] is None
            else _count(told, "speakers", 1, _MOST_SPEAKERS),
            enrol=_names(told, "enrol"),
            models=_texts(told, "models"),
            checkpoint_sha256=_text(told, "checkpoint_sha256"),
        )


def _text(told: dict[str, Any], key: str) -> str:
    value = told[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is no text")
    return shown_text(value)


def _count(told: dict[str, Any], key: str, least: int, most: int) -> int:
    value = told[key]
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{key} is not a number from {least} to {most}")
    return value


def _truth(told: dict[str, Any], key: str) -> bool:
    value = told[key]
    if not isinstance(value, bool):
        raise ValueError(f"{key} is neither true nor false")
    return value


def _names(told: dict[str, Any], key: str) -> tuple[str, ...]:
    value = told[key]
    if (
        not isinstance(value, list)
        or len(value) > _MOST_SPEAKERS
        or not all(isinstance(name, str) for name in value)
    ):
        raise ValueError(f"{key} is no list of at most {_MOST_SPEAKERS} names")
    return tuple(shown_text(name) for name in value)


def _texts(told: dict[str, Any], key: str) -> dict[str, str]:
    value = told[key]
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f"{key} does not map names to texts")
    return {shown_text(name): shown_text(text) for name, text in value.items()}
