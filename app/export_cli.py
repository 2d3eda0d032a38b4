"""``sdt-live export``: a session that was written down, in the formats that others read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from app.session.exports import FORMATS, export_formats
from app.session.logged import read_session
from app.session.redaction import redacted
from live_features.errors import UserFacingError

FAILED = 2


def main(arguments: Sequence[str]) -> int:
    """Entry point; returns the exit status: 0, or 2 after one sentence on standard error."""
    options = parser().parse_args(arguments)
    try:
        session = read_session(options.session)
        if session.torn:
            print(
                "sdt-live export: the last line of the log was cut off and is left out.",
                file=sys.stderr,
            )
        if options.redact:
            session = redacted(session)
        formats = tuple(FORMATS) if options.format == "all" else (options.format,)
        folder = options.out or _beside(options.session, redact=options.redact)
        names = export_formats(session, formats, folder)
    except UserFacingError as error:
        print(f"sdt-live export: {error}", file=sys.stderr)
        return FAILED
    print(f"Wrote {', '.join(names)} to {folder}")
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="sdt-live export",
        description="Writes a session as a table, subtitles, speaker turns or a report.",
    )
    made.add_argument(
        "session", metavar="SESSION", type=Path, help="a folder that sdt-live --export wrote"
    )
    made.add_argument(
        "--format",
        choices=(*FORMATS, "all"),
        default="all",
        help="what to write (default: %(default)s)",
    )
    made.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="where to (default: SESSION, or SESSION/redacted with --redact)",
    )
    made.add_argument(
        "--redact",
        action="store_true",
        help="leave out words, names, file names and devices; keep labels, weights and times",
    )
    return made


def _beside(session: Path, *, redact: bool) -> Path:
    """Redacted files get a folder of their own, which can be given away as it is."""
    return session / "redacted" if redact else session
