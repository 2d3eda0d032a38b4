"""Taking out of a session whatever tells who was heard and what was said."""

from __future__ import annotations

from dataclasses import replace

from app.session.logged import LoggedSession


def redacted(session: LoggedSession) -> LoggedSession:
    """The session with its labels, weights and times, without words, notes, names, files and
    devices.

    People are numbered in the order in which they were first heard. Sentences about problems go
    as well: they quote the names of microphones, and those are often named after their owners.
    """
    now = session.snapshot
    people = max((u.speaker + 1 for u in now.utterances), default=0)
    return replace(
        session,
        snapshot=replace(
            now,
            source="",
            message="",
            refused="",
            marks=tuple(replace(mark, note="") for mark in now.marks),
            utterances=tuple(replace(u, text="") for u in now.utterances),
            speakers=tuple(f"Speaker {n + 1}" for n in range(max(people, len(now.speakers)))),
            problems=(),
            devices=(),
        ),
        started=replace(
            session.started,
            source="",
            weights={model: _public(origin) for model, origin in session.started.weights.items()},
        ),
        redacted=True,
    )


def _public(origin: str) -> str:
    """Where weights came from, unless that is a place on somebody's disk."""
    return origin if origin == "shipped" or origin.startswith("package ") else "own"
