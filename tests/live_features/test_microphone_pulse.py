"""The microphone on the real PortAudio: PulseAudio's null sink is a sound card without hardware.

What is played into the sink is what its monitor records; unloading the sink unplugs the device. The
server is a private one, and so are the settings of ALSA and PulseAudio.

Run as a program, this file is the session: PortAudio reads the environment when it is loaded.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from live_features.media import SAMPLE_RATE, AudioBlock, DeviceNotice
from live_features.sources.microphone import Microphone, microphones
from live_features.sources.portaudio import MicrophoneError, sentence

_APT_LINE = "sudo apt install pulseaudio pulseaudio-utils libasound2-plugins libportaudio2"
_SINK = ("module-null-sink", "sink_name=demo")
_PLAYED = "played.wav"
_RESULT = "result.npz"


def _missing() -> str | None:
    """Why the real thing cannot be had here."""
    if not sys.platform.startswith("linux"):
        return "PulseAudio's null sink is a sound card on Linux only"
    programs = [name for name in ("pulseaudio", "pactl", "paplay") if shutil.which(name) is None]
    if programs:
        return f"{', '.join(programs)} missing: {_APT_LINE}"
    if not any(Path("/usr/lib").glob("**/alsa-lib/libasound_module_pcm_pulse.so")):
        return f"ALSA's plugin for PulseAudio missing: {_APT_LINE}"
    try:
        microphones()
    except MicrophoneError as error:
        return str(error)
    return None


def _sweep() -> np.ndarray:
    """Float32 (n,), half a second from 300 to 3000 Hz."""
    times = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    return (0.5 * np.sin(2 * np.pi * (300 + 2700 * times) * times)).astype(np.float32)


def _places(sound: np.ndarray, sweep: np.ndarray) -> list[float]:
    """The times in seconds at which ``sweep`` begins in ``sound``."""
    size = 1 << (len(sound) + len(sweep)).bit_length()
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(sweep, size))
    likeness = np.fft.irfft(spectrum, size)[: len(sound) - len(sweep)]
    energy = np.concatenate([[0], np.cumsum(sound.astype(np.float64) ** 2)])
    energy = energy[len(sweep) :][: len(likeness)] - energy[: len(likeness)]
    likeness /= np.sqrt((sweep @ sweep) * np.maximum(energy, 1e-3))
    places = []
    while likeness.max() > 0.9:
        best = int(likeness.argmax())
        places.append(best / SAMPLE_RATE)
        likeness[max(0, best - len(sweep)) : best + len(sweep)] = 0
    return sorted(places)


@contextmanager
def _sound_server(folder: Path) -> Iterator[dict[str, str]]:
    """A PulseAudio of our own; the environment that leads to it and to nothing else."""
    # A socket's path may not be long.
    with tempfile.TemporaryDirectory(prefix="pulse-") as runtime:
        (folder / ".asoundrc").write_text("pcm.!default {type pulse}\nctl.!default {type pulse}\n")
        socket = Path(runtime) / "native"
        environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": runtime,
            "PULSE_RUNTIME_PATH": runtime,
            "PULSE_SERVER": f"unix:{socket}",
            "PULSE_SOURCE": "demo.monitor",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        command = [
            *("pulseaudio", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"),
            *("-n", "-L", " ".join(_SINK), "-L", f"module-native-protocol-unix socket={socket}"),
        ]
        with (folder / "pulseaudio.log").open("w") as log:
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            while not socket.exists():
                assert server.poll() is None, (folder / "pulseaudio.log").read_text()
                time.sleep(0.02)
            yield environment
        finally:
            server.terminate()
            server.wait()


@pytest.mark.skipif(_missing() is not None, reason=str(_missing()))
def test_a_sound_card_is_heard_lost_and_heard_again(tmp_path):
    sweep = _sweep()
    with wave.open(str(tmp_path / _PLAYED), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((sweep * 32767).astype(np.int16).tobytes())
    with _sound_server(tmp_path) as environment:
        session = subprocess.run(
            [sys.executable, __file__, str(tmp_path)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert session.returncode == 0, session.stderr
    result = np.load(tmp_path / _RESULT)
    lost, returned = json.loads(str(result["notices"]))
    assert (lost["code"], returned["code"]) == ("lost", "returned")
    assert lost["message"] == sentence("lost", name="default")
    assert returned["message"] == sentence("returned", name="default")
    first, second = _places(result["sound"], sweep)
    assert first < lost["time"] < returned["time"] < second
    away = result["sound"][
        round(lost["time"] * SAMPLE_RATE) : round(returned["time"] * SAMPLE_RATE)
    ]
    assert not away.any()
    assert returned["lost"] == pytest.approx(len(away) / SAMPLE_RATE, abs=0.001)


def _session(folder: Path) -> None:
    """Hear a sweep, lose the card, get it back, hear a sweep."""
    microphone = Microphone()
    blocks: list[AudioBlock] = []
    notices: list[DeviceNotice] = []

    def listen_until(reached: Callable[[], object]) -> None:
        while not reached():
            for item in microphone.read(0.1):
                if isinstance(item, AudioBlock):
                    blocks.append(item)
                elif item.code != "silent":
                    notices.append(item)

    def listen(seconds: float) -> None:
        enough = microphone.now + seconds
        listen_until(lambda: blocks and blocks[-1].end >= enough)

    def hear_a_sweep() -> None:
        subprocess.run(["paplay", "-d", "demo", folder / _PLAYED], check=True)
        listen(0.5)

    microphone.start()
    # The monitor is on its way two seconds after it was opened.
    listen(0.1)
    hear_a_sweep()
    subprocess.run(["pactl", "unload-module", _SINK[0]], check=True)
    listen_until(lambda: notices)
    subprocess.run(["pactl", "load-module", *_SINK], check=True, stdout=subprocess.DEVNULL)
    listen_until(lambda: len(notices) == 2)
    hear_a_sweep()
    microphone.stop()
    while items := microphone.read(0.0):
        blocks.extend(item for item in items if isinstance(item, AudioBlock))
    told = [{"code": n.code, "message": n.message, "time": n.time, "lost": n.lost} for n in notices]
    sound = np.concatenate([block.samples[:, 0] for block in blocks])
    np.savez(folder / _RESULT, sound=sound, notices=json.dumps(told))


if __name__ == "__main__":
    _session(Path(sys.argv[1]))
