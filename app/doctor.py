"""``sdt-live --doctor`` and ``--list-devices``: what works on this machine, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app import checks, device_checks
from app.checks import Finding, State
from app.options import LiveOptions, ModelOptions
from live_features.errors import UserFacingError

if TYPE_CHECKING:
    from live_features.sources.microphone import PortAudio
    from live_features.sources.webcam import OpenCamera

Check = Callable[[], Sequence[Finding]]

_COLOURS = {"works": "green", "missing": "yellow", "slow": "yellow", "failed": "red"}
_NAME, _STATE, _GAP = 18, 7, 2
_QUOTED = re.compile(r"(?<!\w)[`']([^`']+)[`'](?!\w)")


def print_devices(portaudio: PortAudio | None = None, open_camera: OpenCamera | None = None) -> int:
    """A table of microphones and one of cameras; 0 where there is a microphone, otherwise 1.

    ``portaudio`` stands in for the ``sounddevice`` module, ``open_camera`` for opening a camera
    with OpenCV.
    """
    console = Console()
    microphones = _print_microphones(console, portaudio)
    _print_cameras(console, open_camera)
    return 0 if microphones else 1


def _print_microphones(console: Console, portaudio: PortAudio | None) -> bool:
    from live_features.sources.portaudio import sentence  # noqa: PLC0415

    try:
        found = device_checks.found_microphones(portaudio)
        if not found:
            raise UserFacingError(sentence("none"))
    except UserFacingError as error:
        console.print(escape(str(error)), soft_wrap=True)
        return False
    table = Table("number", "name", "channels", "rate", "host API", "", title="Microphones")
    for each in found:
        table.add_row(
            str(each.number),
            escape(each.name),
            str(each.channels),
            f"{each.rate} Hz",
            escape(each.host_api),
            "default" if each.is_default else "",
        )
    console.print(table)
    console.print('Choose one by a part of its name, or its number: --microphone "NAME"')
    return True


def _print_cameras(console: Console, open_camera: OpenCamera | None) -> None:
    from live_features.sources.webcam import cameras  # noqa: PLC0415

    with console.status("Opening the cameras ..."):
        found = cameras(open_camera)
    if not found:
        console.print("There is no camera; plug one in, or go on without: --camera none")
        return
    table = Table("index", "name", "size", "rate", "backend", "opens", title="Cameras")
    for each in found:
        table.add_row(
            str(each.index),
            escape(each.name or ""),
            f"{each.size[0]}x{each.size[1]}" if each.size else "",
            f"{each.frame_rate:.0f} Hz" if each.frame_rate else "",
            each.backend or "",
            "yes" if each.opens else "no",
        )
    console.print(table)
    console.print("Choose one by its index: --camera N; or none: --camera none")


def print_diagnosis(
    models: ModelOptions | None = None,
    live: LiveOptions | None = None,
    portaudio: PortAudio | None = None,
    open_camera: OpenCamera | None = None,
    *,
    console: Console | None = None,
) -> int:
    """What works with these choices, a table for each part of the machine.

    Returns 0 where recordings, at least, can be read, otherwise 1. The stand-ins are those of
    :func:`print_devices`; ``console`` is the terminal unless it is given.
    """
    models, live = models or ModelOptions(), live or LiveOptions()
    parts: dict[str, tuple[Check, ...]] = {
        "system": (checks.system,),
        "window": (checks.window,),
        "microphone": (lambda: device_checks.microphone(live, portaudio),),
        "camera": (lambda: device_checks.camera(live, open_camera),),
        "graphics": (checks.torch_graphics, checks.ctranslate2_graphics),
        "weights": (lambda: checks.model_weights(models),),
        "speed": (lambda: _speed(models),),
    }
    console = console or Console()
    found: dict[str, list[Finding]] = {}
    for part, looks in parts.items():
        with console.status(f"{part} ..."):
            found[part] = [finding for look in looks for finding in _guarded(part, look)]
        _print_part(console, part, found[part])
    verdict, status = _verdict(found)
    console.print(f"\n{verdict}")
    return status


def _speed(models: ModelOptions) -> list[Finding]:
    # Importing the models takes seconds, and may fail: both only when their turn has come.
    from app.stage_speeds import speed  # noqa: PLC0415

    try:
        return speed(models)
    except UserFacingError as error:
        return [Finding.from_sentence("loading", str(error))]


def _guarded(part: str, look: Check) -> Sequence[Finding]:
    try:
        return look()
    # Whatever a broken driver or library raises must not hide what the other checks find.
    except Exception as error:  # noqa: BLE001
        return [Finding(part, "failed", f"{type(error).__name__}: {error}")]


def _verdict(found: dict[str, list[Finding]]) -> tuple[str, int]:
    """The last sentence, and the exit status."""

    def all_of(part: str, *states: State) -> bool:
        return all(finding.state in states for finding in found[part])

    if not (all_of("weights", "works") and all_of("speed", "works", "slow")):
        return "Nothing can be read here until what is missing above is put right.", 1
    if not all_of("microphone", "works"):
        return "Live reading does not work here; --demo and --replay do.", 0
    if not all_of("speed", "works"):
        return "Live reading works here but falls behind; --demo and --replay work.", 0
    return "Live reading works here, and so do --demo and --replay.", 0


def _print_part(console: Console, part: str, findings: Sequence[Finding]) -> None:
    """A table, and under it the commands that are too long for one line of its cells."""
    room = console.width - _NAME - _STATE - 2 * _GAP
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, _GAP, 0, 0))
    table.add_column(width=_NAME)
    table.add_column(width=_STATE)
    table.add_column(overflow="fold", highlight=False)
    below: list[str] = []
    for finding in findings:
        advice = finding.advice
        for quoted in _QUOTED.finditer(advice):
            if len(quoted[1]) > room:
                below.append(quoted[1])
                advice = advice.replace(quoted[0], "the line below")
        table.add_row(
            escape(finding.name),
            f"[{_COLOURS[finding.state]}]{finding.state}[/]",
            escape(finding.detail) + (f"\n[bold]{escape(advice)}[/bold]" if advice else ""),
        )
    console.print(f"\n[bold]{part}[/bold]")
    console.print(table)
    for command in below:
        console.print(escape(command), soft_wrap=True, highlight=False)
