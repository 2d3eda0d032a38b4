"""The microphone on a fake sounddevice that plays through the real callback, with every fault."""

import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import soxr

from live_features.errors import UserFacingError
from live_features.media import SAMPLE_RATE, AudioBlock, DeviceNotice
from live_features.sources import capture, microphone, soundtrack
from live_features.sources.microphone import SENTENCES, Microphone, microphones
from live_features.sources.portaudio import sentence
from live_features.sources.system_default import default_input
from tests.fake_sounddevice import (
    DEVICE_UNAVAILABLE,
    INVALID_DEVICE,
    INVALID_SAMPLE_RATE,
    UNANTICIPATED_HOST_ERROR,
    FakeDevice,
    FakeSoundDevice,
)

_PATIENCE = 30.0


@pytest.fixture(autouse=True)
def quick_and_tidy(monkeypatch) -> Iterator[None]:
    """Shorter waits than a person's, and no thread left behind."""
    monkeypatch.setattr(microphone, "STALL_SECONDS", 0.4)
    monkeypatch.setattr(microphone, "FIRST_SOUND_SECONDS", 0.4)
    monkeypatch.setattr(microphone, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(microphone, "DEFAULT_SECONDS", 0.1)
    monkeypatch.setattr(microphone, "OPENING_SECONDS", 0.3)
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + _PATIENCE
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) - before == set()


def _noise(seconds: float, rate: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Float32 (n, channels) without a single zero, so that silence put in between shows."""
    rng = np.random.default_rng(seed)
    shape = (round(seconds * rate), channels)
    return (rng.uniform(0.05, 0.5, shape) * rng.choice([-1, 1], shape)).astype(np.float32)


class _Session:
    """Reads a microphone as a source does, and checks on the way what always has to hold."""

    def __init__(self, name: str | None = None, *, fake: FakeSoundDevice, channels: int = 1):
        self.microphone = Microphone(
            name, channels=channels, portaudio=fake, system_default=fake.system_default
        )
        self.blocks: list[AudioBlock] = []
        self.notices: list[DeviceNotice] = []

    def __enter__(self) -> "_Session":
        self.microphone.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.microphone.stop()
        while self._read(0.0):
            pass

    def until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not reached():
            assert time.monotonic() < deadline, self.notices
            self._read(0.02)

    def until_told(self, code: str, times: int = 1) -> DeviceNotice:
        self.until(lambda: self.codes.count(code) >= times)
        return [notice for notice in self.notices if notice.code == code][times - 1]

    def until_heard(self, device: FakeDevice, seconds: float) -> None:
        """Until ``device`` has handed over so much more."""
        enough = len(device.handed) + seconds / 0.01
        self.until(lambda: len(device.handed) >= enough)

    @property
    def codes(self) -> list[str]:
        return [notice.code for notice in self.notices]

    @property
    def sound(self) -> np.ndarray:
        return np.concatenate([block.samples for block in self.blocks])

    def _read(self, timeout: float) -> bool:
        items = self.microphone.read(timeout)
        for item in items:
            end = self.blocks[-1].end if self.blocks else 0.0
            if isinstance(item, AudioBlock):
                assert item.start == pytest.approx(end, abs=1e-9)
                assert item.samples.shape == (len(item.samples), self.microphone.channels)
                assert item.samples.dtype == np.float32
                assert 0 < len(item.samples) <= SAMPLE_RATE
                self.blocks.append(item)
            else:
                assert item.device == "microphone"
                assert item.time == pytest.approx(end, abs=1e-9)
                assert item.code in SENTENCES
                self.notices.append(item)
        return bool(items)


def _without_zeros(samples: np.ndarray) -> np.ndarray:
    return samples[(samples != 0).any(axis=1)]


def _assert_nothing_heard_is_lost(session: _Session, *devices: FakeDevice) -> None:
    """Bit for bit, apart from the silence that was put in; for devices at 16 kHz."""
    heard = np.concatenate([device.heard for device in devices])
    assert np.array_equal(_without_zeros(session.sound), _without_zeros(heard))


# --- Well ----------------------------------------------------------------------------------------


def test_at_16_khz_every_sample_arrives_as_it_was_to_the_last():
    device = FakeDevice("Desk mic", _noise(1, 16_000), rate=16_000)
    with _Session(fake=FakeSoundDevice([device], pace=4)) as session:
        assert session.microphone.description == "Desk mic"
        session.until(device.exhausted.is_set)
    assert np.array_equal(session.sound, device.heard)
    assert session.notices == []


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000, 96_000])
def test_other_rates_are_resampled_as_if_in_one_piece(rate):
    device = FakeDevice("Desk mic", _noise(0.5, rate), rate=rate)
    with _Session(fake=FakeSoundDevice([device], pace=4)) as session:
        session.until(device.exhausted.is_set)
    expected = soxr.resample(device.heard, rate, SAMPLE_RATE)
    assert session.sound == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("counts", [(1, 2), (2,)])
def test_one_channel_is_made_of_what_the_device_can_be_opened_with(counts):
    samples = _noise(0.3, 16_000, channels=2)
    device = FakeDevice("Stereo mic", samples, rate=16_000, counts=counts)
    with _Session(fake=FakeSoundDevice([device], pace=4)) as session:
        session.until(device.exhausted.is_set)
    one = device.heard[:, :1] if 1 in counts else device.heard.mean(axis=1, keepdims=True)
    assert np.array_equal(session.sound, one)


@pytest.mark.parametrize("counts", [(2,), (4,)])
def test_two_channels_stay_apart(counts):
    device = FakeDevice("Interface", _noise(0.3, 16_000, channels=4), rate=16_000, counts=counts)
    with _Session(fake=FakeSoundDevice([device], pace=4), channels=2) as session:
        session.until(device.exhausted.is_set)
    assert np.array_equal(session.sound, device.heard[:, :2])


def test_names_numbers_and_the_default():
    first = FakeDevice("Built-in mic", _noise(9, 16_000), rate=16_000)
    second = FakeDevice("USB Conference Mic", _noise(9, 16_000), rate=16_000)
    fake = FakeSoundDevice([first, second], default="USB Conference Mic")
    for name, expected in [
        (None, second),
        ("built", first),
        ("CONFERENCE", second),
        ("0", first),
        ("1", second),
    ]:
        with _Session(name, fake=fake) as session:
            assert session.microphone.description == expected.name


def test_the_list_of_microphones():
    fake = FakeSoundDevice(
        [
            FakeDevice("Built-in mic", _noise(0.1, 44_100, channels=2), rate=44_100),
            FakeDevice("Speakers", np.zeros((0, 0), np.float32)),
            FakeDevice("USB mic", _noise(0.1, 48_000), host_api="Other"),
        ],
        default="USB mic",
    )
    found = [(m.number, m.name, m.host_api, m.channels, m.rate) for m in microphones(fake)]
    assert found == [(0, "Built-in mic", "Fake", 2, 44_100), (2, "USB mic", "Other", 1, 48_000)]
    assert [m.is_default for m in microphones(fake)] == [False, True]


def test_the_clock_never_goes_back_and_is_never_behind_the_sound():
    device = FakeDevice("Desk mic", _noise(9, 16_000), rate=16_000)
    fake = FakeSoundDevice([device])
    session = _Session(fake=fake)
    assert session.microphone.now == 0
    times = []

    def heard(seconds: float) -> bool:
        times.append(session.microphone.now)
        assert not session.blocks or session.blocks[-1].end <= times[-1] + 1e-3
        return bool(session.blocks) and session.blocks[-1].end >= seconds

    with session:
        session.until(lambda: heard(0.2))
        fake.pull_out("Desk mic")
        session.until_told("lost")
        session.until(lambda: heard(0.6))
        fake.plug_in("Desk mic")
        session.until_told("returned")
        end = session.blocks[-1].end
        session.until(lambda: heard(end + 0.2))
    stopped = session.microphone.now
    times.append(stopped)
    assert times == sorted(times)
    assert session.microphone.now == stopped


def test_stopping_ends_a_read_that_waits_and_may_be_done_twice():
    device = FakeDevice("Desk mic", _noise(1, 16_000), rate=16_000)
    fake = FakeSoundDevice([device])
    session = _Session(fake=fake)
    with session:
        fake.stall("Desk mic")
        stopper = threading.Timer(0.1, session.microphone.stop)
        stopper.start()
        session.until(lambda: not stopper.is_alive())
    session.stop()
    assert session.microphone.read(_PATIENCE) == []


def test_a_microphone_that_was_never_started_has_nothing_to_say():
    device = FakeDevice("Desk mic", _noise(1, 16_000))
    never = Microphone(portaudio=FakeSoundDevice([device]))
    assert (never.description, never.now, never.read(0.0)) == ("microphone", 0.0, [])
    never.stop()
    with pytest.raises(ValueError, match="1 or 2"):
        Microphone(channels=3)


# --- Faults at the start -------------------------------------------------------------------------


def _refusal(fake: FakeSoundDevice, name: str | None = None, channels: int = 1) -> str:
    with pytest.raises(UserFacingError) as refused, _Session(name, fake=fake, channels=channels):
        pass
    return str(refused.value)


@pytest.mark.parametrize(
    ("number", "host", "code"),
    [
        (DEVICE_UNAVAILABLE, None, "busy"),
        (UNANTICIPATED_HOST_ERROR, (-16, "Device or resource busy"), "busy"),
        (UNANTICIPATED_HOST_ERROR, (-2147024891, "Zugriff verweigert"), "denied"),
        (UNANTICIPATED_HOST_ERROR, (-13, "Permission denied"), "denied"),
        (INVALID_SAMPLE_RATE, None, "rate"),
    ],
)
def test_refused_with_a_reason(number, host, code):
    fake = FakeSoundDevice([FakeDevice("Desk mic", _noise(1, 48_000))])
    fake.refuse("Desk mic", number, host)
    assert _refusal(fake) == sentence(code, name="Desk mic")


@pytest.mark.parametrize(
    ("number", "host", "detail"),
    [
        (INVALID_DEVICE, None, "Invalid device"),
        (UNANTICIPATED_HOST_ERROR, (-5, "Input/output error"), "Input/output error"),
        (UNANTICIPATED_HOST_ERROR, (1, "Undefined external error."), "Undefined external error"),
    ],
)
def test_refused_without_one_that_could_be_told(number, host, detail):
    fake = FakeSoundDevice([FakeDevice("Desk mic", _noise(1, 48_000))])
    fake.refuse("Desk mic", number, host)
    assert _refusal(fake) == sentence("host", name="Desk mic", detail=detail)


def test_no_microphone_at_all():
    assert _refusal(FakeSoundDevice([])) == sentence("none")


def test_no_microphone_of_that_name_or_number():
    fake = FakeSoundDevice([FakeDevice("B", _noise(1, 48_000)), FakeDevice("A", _noise(1, 48_000))])
    known = '"A" and "B"'
    assert _refusal(fake, "Lapel") == sentence("not_found", name="Lapel", known=known)
    assert _refusal(fake, "7") == sentence("not_found", name="7", known=known)


def test_too_few_channels():
    fake = FakeSoundDevice([FakeDevice("Desk mic", _noise(1, 48_000))])
    assert _refusal(fake, channels=2) == sentence("channels", name="Desk mic")


def test_opening_that_hangs():
    fake = FakeSoundDevice([FakeDevice("Desk mic", _noise(1, 48_000))])
    fake.hang("Desk mic")
    try:
        expected = sentence("hung", name="default", seconds=microphone.OPENING_SECONDS)
        assert _refusal(fake) == expected
    finally:
        fake.let_go("Desk mic")


def test_portaudio_missing(tmp_path, monkeypatch):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(UserFacingError) as refused:
        microphones()
    assert str(refused.value) == sentence("portaudio")
    with pytest.raises(UserFacingError, match="PortAudio"):
        Microphone().start()


def test_another_interface_to_the_same_microphone_is_tried():
    long_name = "Microphone (Conference Speakerphone 2000)"
    short = FakeDevice(long_name[:31], _noise(1, 16_000), rate=16_000, host_api="MME")
    full = FakeDevice(long_name, _noise(1, 16_000), rate=16_000, host_api="WASAPI")
    fake = FakeSoundDevice([short, full])
    fake.refuse(short.name, UNANTICIPATED_HOST_ERROR, (1, "Undefined external error."))
    with _Session(fake=fake) as session:
        session.until_heard(full, 0.1)
        assert session.microphone.description == long_name


# --- Faults on the way ---------------------------------------------------------------------------


def test_sound_that_overflows_leaves_silence_in_its_place_and_is_told_once_a_second():
    device = FakeDevice("Desk mic", _noise(9, 16_000), rate=16_000)
    fake = FakeSoundDevice([device])
    with _Session(fake=fake) as session:
        session.until_heard(device, 0.1)
        for _ in range(3):
            fake.overflow("Desk mic", 0.1)
            session.until_heard(device, 0.05)
    assert 0 < len(session.notices) <= 2
    assert {notice.message for notice in session.notices} == {sentence("overflow", name="Desk mic")}
    _assert_nothing_heard_is_lost(session, device)
    silence = len(session.sound) - len(_without_zeros(session.sound))
    assert silence > 0
    assert sum(notice.lost for notice in session.notices) == pytest.approx(silence / SAMPLE_RATE)
    assert sum(len(b.samples) for b in session.blocks if b.overflowed) == silence


def test_a_machine_that_does_not_keep_up_overflows():
    device = FakeDevice("Desk mic", _noise(9, 16_000), rate=16_000)
    fake = FakeSoundDevice([device], buffer=0.05)
    hear = capture.Capture.hear
    with pytest.MonkeyPatch.context() as patch:

        def hear_late(self, *arguments):
            if len(device.handed) == 10:
                time.sleep(0.2)
            hear(self, *arguments)

        patch.setattr(capture.Capture, "hear", hear_late)
        with _Session(fake=fake) as session:
            session.until_told("overflow")
    _assert_nothing_heard_is_lost(session, device)


def test_sound_that_nobody_reads_in_time_keeps_its_place(monkeypatch):
    monkeypatch.setattr(capture, "RING_SECONDS", 0.3)
    device = FakeDevice("Desk mic", _noise(2, 16_000), rate=16_000)
    with _Session(fake=FakeSoundDevice([device], pace=4)) as session:
        while device.played < 1:
            time.sleep(0.01)
        session.until(device.exhausted.is_set)
    notice = session.until_told("overflow")
    assert notice.message == sentence("overflow", name="Desk mic")
    sound, heard = session.sound, device.heard
    assert len(sound) == len(heard)
    kept = sound != 0
    assert np.array_equal(sound[kept], heard[kept])
    assert kept[: round(0.3 * SAMPLE_RATE)].all()
    lost = sum(notice.lost for notice in session.notices)
    assert lost == pytest.approx((~kept & (heard != 0)).sum() / SAMPLE_RATE)


@pytest.mark.parametrize("listed", [False, True])
def test_unplugged_and_plugged_in_again(listed):
    device = FakeDevice("Desk mic", _noise(9, 48_000), rate=48_000)
    fake = FakeSoundDevice([device])
    with _Session(fake=fake) as session:
        session.until_heard(device, 0.3)
        fake.pull_out("Desk mic", listed=listed)
        lost = session.until_told("lost")
        until_then = len(device.handed)
        # Silence comes while nothing is there, so that an open utterance can end.
        session.until(lambda: session.blocks[-1].end > lost.time + 0.2)
        fake.plug_in("Desk mic")
        returned = session.until_told("returned")
        session.until_heard(device, 0.3)
    assert session.codes == ["lost", "returned"]
    assert lost.message == sentence("lost", name="Desk mic")
    assert returned.message == sentence("returned", name="Desk mic")
    before = soxr.resample(np.concatenate(device.handed[:until_then]), 48_000, SAMPLE_RATE)
    after = soxr.resample(np.concatenate(device.handed[until_then:]), 48_000, SAMPLE_RATE)
    sound = session.sound
    silence = len(sound) - len(before) - len(after)
    assert sound[: len(before)] == pytest.approx(before, abs=1e-6)
    assert not sound[len(before) : len(before) + silence].any()
    assert sound[len(before) + silence :] == pytest.approx(after, abs=1e-6)
    assert returned.lost == pytest.approx(silence / SAMPLE_RATE, abs=2 / SAMPLE_RATE)


@pytest.mark.parametrize("name", ["usb mic: audio", "1"])
def test_one_asked_for_by_name_is_waited_for_and_not_replaced(name):
    wanted = FakeDevice("USB mic: Audio (hw:1,0)", _noise(9, 16_000), rate=16_000)
    other = FakeDevice("USB mic of the webcam (hw:2,0)", _noise(9, 16_000), rate=16_000)
    back = FakeDevice("USB mic: Audio (hw:3,0)", _noise(9, 16_000, seed=1), rate=16_000)
    fake = FakeSoundDevice([other, wanted])
    with _Session(name, fake=fake) as session:
        session.until_heard(wanted, 0.1)
        fake.pull_out(wanted.name)
        fake.make_default(other.name)
        lost = session.until_told("lost")
        session.until(lambda: session.blocks[-1].end > lost.time + 0.2)
        fake.add(back)
        returned = session.until_told("returned")
        session.until_heard(back, 0.1)
    assert session.codes == ["lost", "returned"]
    assert lost.message == sentence("lost", name=wanted.name)
    assert returned.message == sentence("returned", name=back.name)
    assert other.handed == []
    _assert_nothing_heard_is_lost(session, wanted, back)


def test_where_the_default_is_unplugged_the_next_default_goes_on():
    headset = FakeDevice("Headset", _noise(9, 16_000), rate=16_000)
    built_in = FakeDevice("Built-in mic", _noise(9, 48_000), rate=48_000)
    fake = FakeSoundDevice([built_in, headset], default="Headset")
    with _Session(fake=fake) as session:
        session.until_heard(headset, 0.1)
        fake.make_default("Built-in mic")
        fake.pull_out("Headset")
        changed = session.until_told("default_changed")
        session.until_heard(built_in, 0.1)
        assert session.microphone.description == "Built-in mic"
    assert changed.message == sentence("default_changed", name="Built-in mic")
    start = len(headset.heard)
    assert np.array_equal(session.sound[:start], headset.heard)


def test_another_default_is_followed():
    first = FakeDevice("Built-in mic", _noise(9, 16_000), rate=16_000)
    second = FakeDevice("Headset", _noise(9, 16_000, seed=1), rate=16_000)
    fake = FakeSoundDevice([first, second])
    with _Session(fake=fake) as session:
        session.until_heard(first, 0.1)
        fake.make_default("Headset")
        changed = session.until_told("default_changed")
        session.until_heard(second, 0.1)
    assert session.codes == ["default_changed"]
    assert changed.message == sentence("default_changed", name="Headset")
    assert changed.lost > 0
    _assert_nothing_heard_is_lost(session, first, second)


def test_a_stall_is_noticed_and_the_microphone_opened_again():
    device = FakeDevice("Desk mic", _noise(9, 16_000), rate=16_000)
    fake = FakeSoundDevice([device])
    with _Session(fake=fake) as session:
        session.until_heard(device, 0.1)
        fake.stall("Desk mic")
        stalled = session.until_told("stalled")
        returned = session.until_told("returned")
        session.until_heard(device, 0.1)
    assert session.codes == ["stalled", "returned"]
    assert stalled.message == sentence("stalled", name="Desk mic")
    assert returned.lost > 0
    _assert_nothing_heard_is_lost(session, device)


def test_one_that_never_delivers_is_told_of_once():
    device = FakeDevice("Desk mic", _noise(9, 16_000), rate=16_000)
    fake = FakeSoundDevice([device])
    session = _Session(fake=fake)
    fake.never_sound("Desk mic")
    with session:
        session.until_told("stalled")
        session.until(lambda: session.blocks and session.blocks[-1].end > 0.6)
        fake.never_sound("Desk mic", False)
        session.until_told("returned")
        session.until_heard(device, 0.1)
    assert session.codes == ["stalled", "returned"]
    _assert_nothing_heard_is_lost(session, device)


def test_a_callback_that_raises_costs_a_moment():
    device = FakeDevice("Desk mic", _noise(9, 16_000), rate=16_000)
    fake = FakeSoundDevice([device])
    with _Session(fake=fake) as session:
        session.until_heard(device, 0.1)
        fake.break_callback("Desk mic")
        session.until_told("returned")
        session.until_heard(device, 0.1)
    assert session.codes == ["lost", "returned"]
    _assert_nothing_heard_is_lost(session, device)


@pytest.mark.parametrize(
    ("number", "host", "code"),
    [
        (DEVICE_UNAVAILABLE, None, "busy"),
        (UNANTICIPATED_HOST_ERROR, (-2147024891, "Access is denied"), "denied"),
    ],
)
def test_refused_when_it_is_back_is_told_once_until_it_is_not(number, host, code):
    device = FakeDevice("Desk mic", _noise(9, 16_000), rate=16_000)
    fake = FakeSoundDevice([device])
    with _Session(fake=fake) as session:
        session.until_heard(device, 0.1)
        fake.refuse("Desk mic", number, host)
        fake.pull_out("Desk mic")
        session.until_told("lost")
        fake.plug_in("Desk mic")
        refused = session.until_told(code)
        session.until(lambda: session.blocks[-1].end > refused.time + 0.2)
        fake.allow("Desk mic")
        session.until_told("returned")
    assert session.codes == ["lost", code, "returned"]
    assert refused.message == sentence(code, name="Desk mic")
    _assert_nothing_heard_is_lost(session, device)


def test_nothing_but_zeros_is_told_and_their_end_too():
    device = FakeDevice("Desk mic", _noise(99, 16_000), rate=16_000)
    fake = FakeSoundDevice([device], pace=20)
    fake.mute("Desk mic")
    with _Session(fake=fake) as session:
        silent = session.until_told("silent")
        fake.mute("Desk mic", False)
        session.until_told("returned")
        # A noise gate is silent, too, now and then.
        fake.mute("Desk mic")
        end = session.blocks[-1].end
        session.until(lambda: session.blocks[-1].end > end + 2 * soundtrack.ZERO_SECONDS)
    assert session.codes == ["silent", "returned"]
    assert silent.message == sentence("silent", name="Desk mic")
    assert silent.time >= soundtrack.ZERO_SECONDS
    assert np.array_equal(session.sound, device.heard)


def test_a_rate_other_than_promised_is_put_right(monkeypatch):
    monkeypatch.setattr(soundtrack, "RATE_INTERVAL", 0.12)
    device = FakeDevice("Desk mic", _noise(60, 48_000), rate=48_000, really=44_100)
    with _Session(fake=FakeSoundDevice([device])) as session:
        wrong = session.until_told("wrong_rate")
        heard, delivered = len(device.handed), len(session.sound)
        session.until_heard(device, 1.0)
    assert session.codes == ["wrong_rate"]
    expected = sentence("wrong_rate", name="Desk mic", rate=44_100, promised=48_000)
    assert wrong.message == expected
    seconds = sum(map(len, device.handed[heard:])) / 44_100
    assert (len(session.sound) - delivered) / SAMPLE_RATE == pytest.approx(seconds, rel=0.05)


def test_a_clock_that_drifts_is_nothing_to_tell(monkeypatch):
    monkeypatch.setattr(soundtrack, "RATE_INTERVAL", 0.1)
    device = FakeDevice("Desk mic", _noise(9, 16_000), rate=16_000, really=16_000 * 1.005)
    with _Session(fake=FakeSoundDevice([device])) as session:
        session.until_heard(device, 1.0)
    assert session.notices == []
    assert np.array_equal(session.sound, device.heard)


# --- The system ----------------------------------------------------------------------------------


def test_the_system_itself_is_asked_for_its_default():
    """On Windows and macOS it has one where it has a microphone; Linux is not asked."""
    if sys.platform.startswith("linux"):
        assert default_input() is None
    else:
        assert default_input() == default_input()
