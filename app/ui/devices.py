"""The microphones and cameras that can be chosen; none is opened to find out. No Qt."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from app.options import LiveOptions, RunOptions
from app.session.space import Space, space_for
from live_features.errors import UserFacingError
from live_features.media import MediaInfo

_NUMBERED = 4  # cameras that are offered where the system names none


@dataclass(frozen=True, slots=True)
class DevicesHere:
    """``microphones`` by name, the system's first; ``problem`` is a sentence where there is none.

    ``cameras`` maps index to name, empty where the system does not tell.
    """

    microphones: tuple[str, ...] = ()
    cameras: tuple[tuple[int, str], ...] = ()
    problem: str = ""

    def microphone(self, name: str | None) -> str:
        """What the microphone that was asked for, None for the system's, is called."""
        if name is None:
            return self.microphones[0] if self.microphones else "the system's microphone"
        wanted = name.casefold()
        return next((m for m in self.microphones if wanted in m.casefold()), name)

    def camera(self, index: int | None) -> str:
        """What the camera with this number is called."""
        if index is None:
            return "no camera"
        unnamed = "the first camera" if index == 0 else f"camera {index}"
        return dict(self.cameras).get(index, unnamed)

    @property
    def offered_cameras(self) -> tuple[tuple[int, str], ...]:
        """Those to choose from."""
        return self.cameras or tuple((n, f"Camera {n}") for n in range(_NUMBERED))


def devices_here(*, again: bool = False) -> DevicesHere:
    """Look for them, which may take a second; with ``again`` also for such as were plugged in
    since the program started, while no microphone is open."""
    from app.device_checks import found_microphones  # noqa: PLC0415
    from live_features.sources.portaudio import (  # noqa: PLC0415
        load_portaudio,
        look_again,
        sentence,
    )
    from live_features.sources.webcam import system_cameras  # noqa: PLC0415

    problem, names = "", list[str]()
    try:
        if again:
            portaudio = load_portaudio()
            with suppress(portaudio.PortAudioError):
                look_again(portaudio)
        found = sorted(found_microphones(), key=lambda each: not each.is_default)
        # The same one may be there several times, once for every interface to it.
        names = list(dict.fromkeys(each.lasting_name for each in found))
        problem = "" if names else sentence("none")
    except UserFacingError as error:
        problem = str(error)
    cameras = tuple((n, name or f"Camera {n}") for n, name in system_cameras().items())
    return DevicesHere(tuple(names), cameras, problem)


def space_for_live(run: RunOptions) -> Space | None:
    """What recording this live session takes, None where it is not to be recorded."""
    if run.record is None or not isinstance(run.medium, LiveOptions):
        return None
    from live_features.sources.webcam import RATE, SIZE  # noqa: PLC0415

    info = MediaInfo(name=run.name, duration=None, channels=run.medium.channels)
    if run.medium.camera is not None:
        info = MediaInfo(
            name=run.name,
            duration=None,
            channels=run.medium.channels,
            width=SIZE[0],
            height=SIZE[1],
            frame_rate=RATE,
        )
    return space_for(info, run.record)
