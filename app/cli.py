"""``sdt-live``: read a conversation from the command line or in the window."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from app import export_cli
from app.allocator import share_one_heap
from app.assets import DEFAULT_CHECKPOINT, DEMO_MEDIA
from app.conversation import Conversation
from app.logs import start_logging
from app.options import (
    BEST_WHISPER,
    DEVICES,
    CommandLine,
    LiveOptions,
    ModelOptions,
    RunOptions,
)
from app.session.card import SUFFIX
from app.terminal import run_headless, show_as_recorded
from live_features.errors import UserFacingError
from live_features.weights import DEFAULT_TEXT_ENCODER, DEFAULT_WHISPER

FAILED = 2

_MOST_PEOPLE = 9

_LIVE = frozenset(
    {
        "microphone",
        "channels",
        "camera",
        "camera_delay",
        "enrol",
        "speakers",
        "export",
        "record",
    }
)
"""Whoever types one of these without a path wants to talk at once."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0, or 2 after one sentence on standard error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["export"]:
        return export_cli.main(given[1:])
    parser = _parser()
    options = parser.parse_args(given)
    share_one_heap()
    start_logging()
    try:
        return _run(options, _typed(parser, given, options))
    except UserFacingError as error:
        print(f"sdt-live: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sdt-live",
        description="Reads each speaker's emotion while a conversation happens: what the "
        "microphone and the camera deliver, or a recording. Nothing that is seen or heard leaves "
        "this machine.",
        epilog="sdt-live export SESSION turns what --export wrote into a report, subtitles and "
        "more: see sdt-live export --help.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--demo", action="store_true", help="replay the conversation that ships")
    what.add_argument(
        "path", metavar="PATH", nargs="?", type=Path, help="the same as --replay PATH"
    )
    what.add_argument(
        "--replay",
        metavar="PATH",
        type=Path,
        help="read any audio or video file, or the media of a session that was recorded",
    )
    what.add_argument(
        "--list-devices", action="store_true", help="name the microphones and cameras, and end"
    )
    what.add_argument(
        "--doctor", action="store_true", help="say what works on this machine, and end"
    )
    live = parser.add_argument_group("live input")
    live.add_argument(
        "--microphone",
        metavar="NAME",
        help="part of its name, or its number (default: the system's)",
    )
    live.add_argument(
        "--channels",
        type=int,
        choices=(1, 2),
        default=1,
        help="2: the microphone has two channels with one person each",
    )
    live.add_argument(
        "--camera", type=_camera, default=0, metavar="N", help="its number, or none (default: 0)"
    )
    live.add_argument(
        "--camera-delay",
        type=_delay,
        default=0.0,
        metavar="SECONDS",
        help="how much later pictures come than their sound (default: 0)",
    )
    live.add_argument(
        "--enrol",
        nargs="+",
        default=(),
        metavar="NAME",
        help="these people talk for 3 seconds each first, so that their voices are known",
    )
    parser.add_argument(
        "--headless", action="store_true", help="no window: lines in the terminal and a table"
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        metavar="N",
        help="how fast to play, or to read without a window: 1, 2, 0.5 … or max (default: 1 in "
        "the window, max headless)",
    )
    parser.add_argument(
        "--export", metavar="DIR", type=Path, help="write events, subtitles and a table there"
    )
    parser.add_argument(
        "--record",
        metavar="NAME",
        type=_session_folder,
        help="keep sound, pictures and all that is made of them in the folder NAME.sdt",
    )
    parser.add_argument(
        "--as-recorded",
        action="store_true",
        help="of a session show what was made of it then, in the terminal, instead of reading its "
        "media anew",
    )
    parser.add_argument(
        "--speakers", type=_count, metavar="N", help="how many people talk, where that is known"
    )
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help=f"{', '.join(DEVICES)} (default: auto)"
    )
    parser.add_argument(
        "--whisper",
        metavar="NAME",
        help="a faster-whisper size, Hugging Face name or folder; auto is the largest on this "
        f"machine that keeps up with talk (default: auto live, {DEFAULT_WHISPER} for recordings)",
    )
    parser.add_argument(
        "--text-encoder",
        default=DEFAULT_TEXT_ENCODER,
        metavar="NAME",
        help="a Hugging Face text encoder or folder (default: %(default)s)",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=DEFAULT_CHECKPOINT,
        metavar="DIR",
        help="an SDT checkpoint folder (default: the one that ships)",
    )
    parser.add_argument("--offline", action="store_true", help="never fetch weights")
    return parser


def _typed(
    parser: argparse.ArgumentParser, given: Sequence[str], options: argparse.Namespace
) -> frozenset[str]:
    """The names of the options that were typed, whether or not that changed anything."""
    untyped = dict.fromkeys(vars(options), object())
    again = vars(parser.parse_args(given, argparse.Namespace(**untyped)))
    return frozenset(name for name, value in again.items() if value is not untyped[name])


def _run(options: argparse.Namespace, given: frozenset[str]) -> int:
    recording = DEMO_MEDIA if options.demo else options.replay or options.path
    models = ModelOptions(
        whisper=options.whisper or (BEST_WHISPER if recording is None else DEFAULT_WHISPER),
        text_encoder=options.text_encoder,
        checkpoint=options.checkpoint,
        device=options.device,
        offline=options.offline,
    )
    live = LiveOptions(
        microphone=options.microphone,
        camera=options.camera,
        channels=options.channels,
        camera_delay=options.camera_delay,
    )
    if options.list_devices or options.doctor:
        from app.doctor import print_devices, print_diagnosis  # noqa: PLC0415

        return print_devices() if options.list_devices else print_diagnosis(models, live)
    if len(options.enrol) > _MOST_PEOPLE:
        raise UserFacingError(
            f"--enrol has {len(options.enrol)} names: give at most {_MOST_PEOPLE}, as many people "
            "as can be told apart."
        )
    headless, why = _headless(options.headless or options.as_recorded)
    run = RunOptions(
        medium=live if recording is None else recording,
        speed=_resolve_speed(options.speed, headless=headless),
        speakers=options.speakers,
        enrol=tuple(options.enrol),
        export=options.export,
        record=options.record,
        models=models,
    )
    if options.as_recorded:
        return show_as_recorded(run)
    if why:
        print(f"sdt-live: {why}", file=sys.stderr)
    if headless:
        return run_headless(run)
    return _open_window(CommandLine(run, given), demo=options.demo)


def _open_window(line: CommandLine, *, demo: bool) -> int:
    """The window with what was asked for, or with its start page where that is nothing yet."""
    # A fetch by the hub's other protocol, Xet, can be given up only where it is done.
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    from app.ui.preferences import Settings  # noqa: PLC0415
    from app.ui.run import run_window  # noqa: PLC0415 - Qt only where a window is wanted

    settings = Settings()
    medium = line.run.medium
    if isinstance(medium, LiveOptions):
        return run_window(None, line, settings, begin_live=bool(line.given & _LIVE))
    conversation = Conversation(settings.preferences.recording(medium, line))
    # What is wrong with a path is told in the terminal where it was typed, without a window.
    conversation.open()
    if not demo:
        settings.remember(medium)
    return run_window(conversation, line, settings)


def _headless(asked: bool) -> tuple[bool, str | None]:
    """Whether to run without a window, and the sentence that says why if nobody asked."""
    if asked:
        return True, None
    from app.ui.availability import has_display, qt_unavailable  # noqa: PLC0415

    if not has_display():
        return True, "there is no display, so this runs headless."
    if missing := qt_unavailable():
        return True, f"{missing} Running headless."
    return False, None


def _session_folder(text: str) -> Path:
    path = Path(text)
    if path.name in ("", ".."):
        raise argparse.ArgumentTypeError(f"'{text}' has no name: give the recording one")
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def _speed(text: str) -> float | str:
    if text == "max":
        return text
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed <= 64.0:
        raise argparse.ArgumentTypeError(f"'{text}' is no speed: give a number up to 64, or max")
    return speed


def _resolve_speed(asked: float | str | None, *, headless: bool) -> float | None:
    if asked is None:
        return None if headless else 1.0
    return asked if isinstance(asked, float) else None


def _camera(text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no camera: give its number, or none")
    return int(text)


def _delay(text: str) -> float:
    try:
        delay = float(text)
    except ValueError:
        delay = math.nan
    if not abs(delay) <= 5.0:
        raise argparse.ArgumentTypeError(f"'{text}' is no delay: give seconds, up to 5")
    return delay


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_PEOPLE:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no number of speakers: give 1 to {_MOST_PEOPLE}"
        )
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
