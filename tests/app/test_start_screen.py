"""The window around sessions: the start page, consent, settings, menus, and going on to another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_session import UTTERANCES, events, session

from app.cli import main
from app.conversation import Conversation
from app.options import BEST_WHISPER, CommandLine, LiveOptions, ModelOptions, RunOptions
from app.session.exports import FORMATS
from app.state import SessionState
from app.ui.availability import qt_unavailable
from live_features.weights import DEFAULT_WHISPER
from tests.fake_sounddevice import FakeDevice, FakeSoundDevice
from tests.stand_in_hub import StandInHub

if _MISSING := qt_unavailable():
    pytest.skip(_MISSING, allow_module_level=True)

from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QDialog, QMessageBox, QWidget

from app.ui import places
from app.ui.consent import ConsentCard
from app.ui.main_window import MainWindow
from app.ui.preferences import Preferences, Settings, still_there
from app.ui.settings_dialog import SettingsDialog
from app.ui.shell import Shell

pytestmark = pytest.mark.usefixtures("nothing_left_alive")

SOON = 20_000  # ms


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[FakeDevice]:
    silence = np.zeros(480, np.float32)
    there = [FakeDevice("Desk mic", silence), FakeDevice("Headset", silence)]
    fake = FakeSoundDevice(there)
    monkeypatch.setattr("live_features.sources.portaudio.load_portaudio", lambda: fake)
    monkeypatch.setattr("live_features.sources.microphone.load_portaudio", lambda: fake)
    monkeypatch.setattr(
        "live_features.sources.webcam.system_cameras", lambda: {0: "Lid camera", 2: "Desk camera"}
    )
    return there


@pytest.fixture
def open_shell(qtbot: Any, devices: list[FakeDevice]) -> Iterator[Callable[..., Shell]]:
    opened: list[Shell] = []

    def open_(line: CommandLine | None = None) -> Shell:
        window = MainWindow(on_close=lambda: None)
        qtbot.addWidget(window)
        line = line or CommandLine(
            RunOptions(LiveOptions(), models=ModelOptions(checkpoint=Path("nowhere"))),
            frozenset({"checkpoint"}),
        )
        shell = Shell(window, line, Settings())
        opened.append(shell)
        shell.show_start()
        with qtbot.waitActive(window):
            window.show()
            window.activateWindow()
        qtbot.waitUntil(lambda: bool(shell.devices.microphones), timeout=SOON)
        return shell

    yield open_
    for shell in opened:
        shell.quit()
        shell.close()
        assert shell.join(30.0)
    opened.clear()
    for thread in threading.enumerate():
        if thread.name == "beside the window":
            thread.join(30.0)


def held(state: SessionState, options: RunOptions | None = None) -> Conversation:
    """A conversation that goes on until it is closed."""
    conversation = Conversation(
        options or RunOptions(Path("made-up.mp4")), lambda c: c.stopping.wait(30.0) and None
    )
    conversation.state = state
    return conversation


def dialog_of(window: MainWindow, kind: type[QWidget]) -> Any:
    found = [child for child in window.findChildren(kind) if child.isVisible()]
    assert len(found) == 1
    return found[0]


def test_the_start_page_names_the_devices_that_would_be_used(
    open_shell: Callable[..., Shell], qtbot: Any
) -> None:
    shell = open_shell()
    assert shell.window.pages.currentWidget() is shell.start_page
    assert shell.start_page.live.accessibleDescription() == "Desk mic\nLid camera"
    assert not shell.export_menu.isEnabled()
    assert not shell.close_action.isEnabled()

    typed = RunOptions(LiveOptions(microphone="head", camera=None))
    other = open_shell(CommandLine(typed, frozenset({"microphone", "camera"})))
    qtbot.waitUntil(lambda: "Headset" in other.start_page.live.accessibleDescription())
    assert other.start_page.live.accessibleDescription() == "Headset\nno camera"


def test_nothing_is_opened_before_consent_and_cancelling_captures_nothing(
    open_shell: Callable[..., Shell], qtbot: Any, devices: list[FakeDevice]
) -> None:
    shell = open_shell()
    qtbot.mouseClick(shell.start_page.live, Qt.MouseButton.LeftButton)
    card: ConsentCard = dialog_of(shell.window, ConsentCard)
    said = card.accessibleDescription()
    assert "Desk mic" in said
    assert "Lid camera" in said
    assert "An expression is not a feeling" in said
    assert "Article 5(1)(f)" in said

    qtbot.keyClick(card, Qt.Key.Key_Escape)

    assert shell.window.conversation is None
    assert shell.window.pages.currentWidget() is shell.start_page
    assert not Settings().understood
    assert not any(device.handed for device in devices)


def test_consent_is_asked_for_once(open_shell: Callable[..., Shell], qtbot: Any) -> None:
    shell = open_shell()
    shell.live_action.trigger()
    card: ConsentCard = dialog_of(shell.window, ConsentCard)
    qtbot.mouseClick(card.agree, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: shell.window.conversation is not None)
    first = shell.window.conversation
    assert first is not None
    assert first.is_live
    shell.close_session()
    qtbot.waitUntil(
        lambda: shell.window.pages.currentWidget() is shell.start_page, timeout=3 * SOON
    )
    assert first.join(0.0)
    assert Settings().understood

    shell.live_action.trigger()
    assert not any(card.isVisible() for card in shell.window.findChildren(ConsentCard))
    qtbot.waitUntil(lambda: shell.window.conversation is not None, timeout=SOON)


def test_a_path_that_is_wrong_is_told_on_the_page_with_a_way_back(
    open_shell: Callable[..., Shell], qtbot: Any, tmp_path: Path
) -> None:
    shell = open_shell()
    page = shell.window.message_page
    shell.open_path(tmp_path / "talk.mp4")
    qtbot.waitUntil(lambda: "There is no file" in page.message.text(), timeout=SOON)
    assert shell.window.pages.currentWidget() is page

    failed = shell.window.conversation
    qtbot.mouseClick(page.retry, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: shell.window.conversation not in (None, failed), timeout=SOON)
    qtbot.waitUntil(page.retry.isVisible, timeout=SOON)
    qtbot.mouseClick(page.back, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: shell.window.pages.currentWidget() is shell.start_page)
    assert shell.window.conversation is None
    assert shell.exit_code == 2


def next_that_failed(shell: Shell, qtbot: Any, before: Conversation | None) -> Conversation:
    qtbot.waitUntil(lambda: shell.window.conversation not in (None, before), timeout=SOON)
    conversation = shell.window.conversation
    assert conversation is not None
    qtbot.waitUntil(lambda: conversation.state.snapshot().phase == "failed", timeout=SOON)
    return conversation


def test_what_was_typed_to_be_kept_is_of_one_recording(
    open_shell: Callable[..., Shell], qtbot: Any, tmp_path: Path
) -> None:
    typed = RunOptions(
        tmp_path / "a.wav",
        enrol=("Ada",),
        export=tmp_path / "out",
        record=tmp_path / "talk.sdt",
        models=ModelOptions(checkpoint=Path("nowhere")),
    )
    shell = open_shell(CommandLine(typed, frozenset({"path", "checkpoint", "export", "record"})))
    shell.show(Conversation(typed))
    shell.begin()
    first = next_that_failed(shell, qtbot, None)
    qtbot.waitUntil(shell.window.message_page.retry.isVisible, timeout=SOON)
    shell.window.message_page.retry.click()
    again = next_that_failed(shell, qtbot, first)
    assert again.options == typed

    shell.open_path(tmp_path / "b.wav")
    run = next_that_failed(shell, qtbot, again).options
    assert (run.enrol, run.export, run.record) == ((), None, None)
    assert run.models == typed.models


def test_a_recording_begun_in_the_window_is_the_one_that_is_kept(
    open_shell: Callable[..., Shell], qtbot: Any, tmp_path: Path
) -> None:
    typed = RunOptions(LiveOptions(), export=tmp_path / "out")
    shell = open_shell(CommandLine(typed, frozenset({"export"})))
    shell.open_path(tmp_path / "a.wav")
    first = next_that_failed(shell, qtbot, None)
    assert first.options.export == typed.export
    shell.open_path(tmp_path / "b.wav")
    assert next_that_failed(shell, qtbot, first).options.export is None


def test_a_model_that_is_fetched_shows_how_far_it_is_and_can_be_cancelled(
    open_shell: Callable[..., Shell], qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = StandInHub(tmp_path, {"model.safetensors": 8_000_000}, monkeypatch)
    models = ModelOptions(text_encoder="somebody/encoder")
    shell = open_shell(
        CommandLine(RunOptions(LiveOptions(), models=models), frozenset({"text_encoder"}))
    )
    page = shell.window.message_page
    shell.watch_demo()
    qtbot.waitUntil(lambda: "4 of 8 MB" in page.message.text(), timeout=3 * SOON)
    assert page.headline.text() == "Fetching a model"
    assert page.progress.value() == page.progress.maximum() // 2
    fetching = shell.window.conversation
    assert fetching is not None
    page.back.click()
    qtbot.waitUntil(lambda: shell.window.pages.currentWidget() is shell.start_page, timeout=SOON)
    assert fetching.join(0.0)

    hub.offline = True
    shell.watch_demo()
    qtbot.waitUntil(page.retry.isVisible, timeout=SOON)
    assert "check the name and the network" in page.message.text()
    hub.offline = False
    page.retry.click()
    qtbot.waitUntil(lambda: "4 of 8 MB" in page.message.text(), timeout=SOON)


def test_a_file_dropped_on_the_window_is_opened_and_remembered(
    open_shell: Callable[..., Shell], qtbot: Any, tmp_path: Path
) -> None:
    shell = open_shell()
    file = tmp_path / "notes.txt"
    file.write_text("no media", encoding="utf-8")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(file))])
    whole = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton)
    modifier = Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(shell.window, QDragEnterEvent(QPoint(5, 5), *whole, modifier))
    QApplication.sendEvent(shell.window, QDropEvent(QPointF(5, 5), *whole, modifier))
    qtbot.waitUntil(lambda: "notes.txt" in shell.window.message_page.message.text(), timeout=SOON)
    assert Settings().recent == (file,)
    shell.leave()
    qtbot.waitUntil(lambda: shell.window.pages.currentWidget() is shell.start_page)
    qtbot.waitUntil(lambda: bool(shell.start_page.recent_buttons), timeout=SOON)
    assert "notes" in shell.start_page.recent_buttons[0].accessibleName()


@pytest.mark.parametrize("taken", [False, True])
def test_trying_again_live_keeps_what_was_typed(
    open_shell: Callable[..., Shell], qtbot: Any, tmp_path: Path, taken: bool
) -> None:
    record = tmp_path / "talk.sdt"
    if taken:
        record.mkdir()
        (record / "session.json").touch()
    typed = RunOptions(
        LiveOptions(camera=None),
        enrol=("Ada",),
        export=tmp_path / "out",
        record=record,
        models=ModelOptions(checkpoint=Path("nowhere")),
    )
    given = frozenset({"camera", "checkpoint", "enrol", "export", "record"})
    Settings().understand()
    shell = open_shell(CommandLine(typed, given))
    shell.start_live()
    last = next_that_failed(shell, qtbot, None)
    assert last.options.record == record
    for _ in range(2):
        qtbot.waitUntil(shell.window.message_page.retry.isVisible, timeout=SOON)
        shell.window.message_page.retry.click()
        last = next_that_failed(shell, qtbot, last)
        run = last.options
        assert (run.enrol, run.export) == (typed.enrol, typed.export)
        assert run.record is not None
        assert (run.record == record) is not taken
        assert run.record.parent == record.parent


def test_a_recent_recording_is_shown_by_its_whole_name(
    open_shell: Callable[..., Shell], tmp_path: Path
) -> None:
    page = open_shell().start_page
    page.show_recent([tmp_path / "R&D.mp4"])
    assert page.recent_buttons[0].text().startswith("R&&D ")
    assert page.recent_buttons[0].shortcut().isEmpty()


def test_another_session_begins_only_when_the_one_before_has_ended(
    open_shell: Callable[..., Shell], qtbot: Any, tmp_path: Path
) -> None:
    shell = open_shell()
    may_end = threading.Event()
    slow = Conversation(RunOptions(Path("slow.mp4")), lambda c: may_end.wait(30.0) and None)
    shell.show(slow)
    shell.begin()
    shell.open_path(tmp_path / "next.mp4")

    assert slow.stopping.is_set()
    assert shell.window.conversation is None
    assert shell.window.message_page.headline.text() == "Finishing"
    may_end.set()
    qtbot.waitUntil(lambda: shell.window.conversation is not None, timeout=SOON)
    assert slow.join(0.0)


def live_unrecorded(open_shell: Callable[..., Shell]) -> tuple[Shell, Conversation]:
    shell = open_shell()
    conversation = held(session(until=40.0), RunOptions(LiveOptions()))
    shell.show(conversation)
    shell.begin()
    return shell, conversation


def answer(shell: Shell, button: str) -> None:
    question: QMessageBox = dialog_of(shell.window, QMessageBox)
    next(b for b in question.buttons() if b.text() == button).click()


def test_a_live_conversation_is_not_thrown_away_unasked(
    open_shell: Callable[..., Shell], qtbot: Any
) -> None:
    shell, conversation = live_unrecorded(open_shell)
    shell.close_action.trigger()
    answer(shell, "&Stay")
    assert shell.window.conversation is conversation
    assert not conversation.stopping.is_set()

    shell.close_action.trigger()
    answer(shell, "&Leave")
    qtbot.waitUntil(lambda: shell.window.pages.currentWidget() is shell.start_page)
    assert conversation.stopping.is_set()


def test_closing_the_window_does_not_throw_a_live_conversation_away_unasked(
    open_shell: Callable[..., Shell], qtbot: Any
) -> None:
    shell, conversation = live_unrecorded(open_shell)
    for button in ("&Stay", "&Leave"):
        qtbot.keyClick(shell.window, Qt.Key.Key_Q, Qt.KeyboardModifier.ControlModifier)
        assert shell.window.isVisible()
        assert not conversation.stopping.is_set()
        answer(shell, button)
    assert not shell.window.isVisible()
    assert conversation.stopping.is_set()


@pytest.mark.parametrize("kept", [True, False])
def test_what_is_kept_anyway_and_whoever_interrupts_close_the_window_at_once(
    open_shell: Callable[..., Shell], tmp_path: Path, kept: bool
) -> None:
    shell = open_shell()
    run = RunOptions(LiveOptions(), export=tmp_path if kept else None)
    conversation = held(session(until=40.0), run)
    shell.show(conversation)
    shell.begin()
    if kept:
        shell.window.close()
    else:
        shell.quit()
    assert not shell.window.isVisible()
    assert conversation.stopping.is_set()


def test_ending_a_session_leaves_its_results_in_sight(
    open_shell: Callable[..., Shell], qtbot: Any
) -> None:
    shell = open_shell()
    shell.show(held(session(until=40.0)))
    assert not shell.end_action.isEnabled(), "a recording is paused by its player"
    conversation = held(session(until=40.0), RunOptions(LiveOptions()))
    shell.show(conversation)
    shell.begin()
    assert shell.end_action.isEnabled()
    qtbot.keyClick(shell.window, Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    assert conversation.ending.is_set()
    assert not conversation.stopping.is_set()
    assert shell.window.conversation is conversation
    assert shell.window.transcript.model().rowCount() > 0


@pytest.mark.parametrize("redact", [False, True])
def test_everything_is_exported_in_the_middle_of_a_session(
    open_shell: Callable[..., Shell], qtbot: Any, tmp_path: Path, redact: bool
) -> None:
    shell = open_shell()
    conversation = held(session(until=40.0))
    for event in events(40.0):
        conversation.notes(event)
    shell.show(conversation)
    shell.begin()
    assert shell.export_menu.isEnabled()
    out = tmp_path / "out"
    shell.exporter.write("all", out, redact=redact)
    qtbot.waitUntil(lambda: "Wrote" in shell.window.status.currentMessage(), timeout=SOON)
    assert {file.name for file in out.iterdir()} == {name for name, _ in FORMATS.values()}
    subtitles = (out / "transcript.srt").read_text(encoding="utf-8")
    assert (UTTERANCES[0][3] in subtitles) is not redact

    alone = tmp_path / "named.csv"
    shell.exporter.write("csv", alone, redact=redact)
    qtbot.waitUntil(lambda: str(alone) in shell.window.status.currentMessage(), timeout=SOON)
    assert alone.read_bytes() == (out / "emotions.csv").read_bytes()


def test_an_export_that_cannot_be_written_is_told(
    open_shell: Callable[..., Shell], qtbot: Any, tmp_path: Path
) -> None:
    shell = open_shell()
    conversation = held(session(until=40.0))
    for event in events(40.0):
        conversation.notes(event)
    shell.show(conversation)
    shell.begin()
    shell.exporter.write("csv", tmp_path / "nowhere" / "x.csv", redact=False)
    qtbot.waitUntil(lambda: "cannot be written" in shell.window.status.currentMessage())


def test_a_lost_microphone_is_a_banner_until_it_is_back(open_shell: Callable[..., Shell]) -> None:
    from app.events import DeviceChanged  # noqa: PLC0415

    shell = open_shell()
    state = session(until=40.0)
    shell.show(held(state))
    shell.begin()
    gone = "The microphone is gone; plug it in again."
    state(DeviceChanged(media_time=40.0, device="microphone", code="lost", message=gone))
    shell.window.bridge.poll()
    assert shell.window.banner.isVisible()
    assert shell.window.banner.text() == gone
    back = DeviceChanged(media_time=42.0, device="microphone", code="returned", message="Back.")
    state(back)
    shell.window.bridge.poll()
    assert not shell.window.banner.isVisible()


def test_settings_are_kept_and_used(open_shell: Callable[..., Shell], qtbot: Any) -> None:
    shell = open_shell()
    shell.show_settings()
    dialog: SettingsDialog = dialog_of(shell.window, SettingsDialog)
    assert "Desk mic" in dialog.microphone.itemText(0)
    dialog.microphone.setCurrentIndex(dialog.microphone.findData("Headset"))
    dialog.camera.setCurrentIndex(dialog.camera.findData(2))
    dialog.camera_delay.setValue(0.25)
    dialog.speakers.setValue(3)
    dialog.whisper.setEditText("small.en")
    dialog.record.setChecked(True)
    dialog.colours.setCurrentIndex(dialog.colours.findData("dark"))
    dialog.unsure_below.setValue(55)
    dialog.accept()

    kept = Settings().preferences
    assert kept == Preferences(
        microphone="Headset",
        camera=2,
        camera_delay=0.25,
        speakers=3,
        whisper="small.en",
        record=True,
        colours="dark",
        unsure_below=55,
    )
    assert kept.doubt == 0.55
    assert shell.window.theme.name == "dark"
    assert shell.start_page.live.accessibleDescription() == "Headset\nDesk camera"
    qtbot.waitUntil(lambda: "MB a minute" in shell.start_page.space.text(), timeout=SOON)
    assert shell.record_action.isChecked()
    shell.start_page.record.setChecked(False)
    assert not Settings().preferences.record


def test_settings_that_were_cancelled_change_nothing(open_shell: Callable[..., Shell]) -> None:
    shell = open_shell()
    shell.show_settings()
    dialog: SettingsDialog = dialog_of(shell.window, SettingsDialog)
    dialog.speakers.setValue(3)
    dialog.reject()
    assert Settings().preferences == Preferences()


def test_a_presentation_shows_lanes_weights_and_a_large_caption_alone(
    open_shell: Callable[..., Shell], qtbot: Any
) -> None:
    shell = open_shell()
    window = shell.window
    shell.show(held(session(until=40.0)))
    shell.begin()
    usual = window.lanes.font().pointSizeF()
    window.corrector.select(3)  # which Esc takes back where there is no presentation to leave
    for enter, leave in ((Qt.Key.Key_P, Qt.Key.Key_Escape), (Qt.Key.Key_F11, Qt.Key.Key_F11)):
        qtbot.keyClick(window, enter)
        assert window.isFullScreen()
        assert window.lanes.isVisible()
        assert window.gates.isVisible()
        for hidden in (window.transcript, window.video, window.status):
            assert not hidden.isVisible()
        assert window.menuBar().height() == 0
        assert window.lanes.font().pointSizeF() > 1.5 * usual
        qtbot.keyClick(window, Qt.Key.Key_G)  # the keys of the menus go on to work
        assert window.contribution_action.isChecked() == window.gates.contributions

        qtbot.keyClick(window, leave)
        assert not window.isFullScreen()
        for shown in (window.transcript, window.video, window.status):
            assert shown.isVisible()
        assert window.menuBar().height() > 0
        assert window.lanes.font().pointSizeF() == usual
    assert not window.contribution_action.isChecked()
    assert window.corrector.index == 3
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    assert window.corrector.index is None


def test_help_tells_version_licences_log_and_keys(open_shell: Callable[..., Shell]) -> None:
    from app.ui.help import about_text, keys_of, licence_text  # noqa: PLC0415

    shell = open_shell()
    assert "sdt-live.log" in about_text()
    assert "MIT License" in licence_text()
    keys = dict(keys_of(shell.window))
    assert {"Ctrl+N", "Ctrl+O", "Ctrl+D", "Ctrl+W", "Ctrl+Q", "F", "G", "F1"} <= set(keys)
    assert len(keys) == len(keys_of(shell.window)), "a key means one thing"
    for show in (shell.help_menu.show_about, shell.help_menu.show_keys):
        show()
        dialog_of(shell.window, QDialog).reject()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.mark.parametrize(
    ("typed", "asks"),
    [([], False), (["--whisper", "tiny.en"], False), (["--camera", "none"], True)],
)
def test_who_types_live_options_goes_straight_to_a_live_session(
    qapp: Any, devices: list[FakeDevice], typed: list[str], asks: bool
) -> None:
    pages: list[str] = []
    cards: list[bool] = []

    def look() -> None:
        for widget in QApplication.topLevelWidgets():
            if isinstance(widget, MainWindow) and widget.isVisible():
                pages.append(widget.pages.currentWidget().accessibleName())
                cards.append(any(c.isVisible() for c in widget.findChildren(ConsentCard)))
                widget.close()

    timer = QTimer(interval=200)
    timer.timeout.connect(look)
    timer.start()
    assert main(typed) == 0
    timer.stop()
    assert pages == ["Start page"]
    assert cards == [asks]
    assert not any(device.handed for device in devices)
    for thread in threading.enumerate():
        if thread.name == "beside the window":
            thread.join(30.0)


# --- Preferences ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("qapp")
def test_preferences_are_read_back_as_they_were_saved() -> None:
    wanted = Preferences(
        microphone="Desk, the left one",
        camera=-1,
        camera_delay=-0.4,
        two_channels=True,
        speakers=2,
        whisper="small",
        language="de",
        device="cpu",
        text_encoder="somebody/encoder",
        checkpoint="/models/Ä b",
        record=True,
        recordings="/recordings/Ä b",
        colours="light",
        unsure_below=0,
    )
    Settings().save(wanted)
    assert Settings().preferences == wanted
    Settings().save(Preferences())
    assert Settings().preferences == Preferences()


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize(
    "broken",
    [
        "",
        "camera=front\nspeakers=-3\ncolours=pink\nunsure_below=300\ncamera_delay=nan\ndevice=toaster\n"
        "two_channels=perhaps\nlanguage=xx\ntext_encoder=\nrecord=2\n",
        "[General\ncamera=1=2\n\x00\x01",
        "[General]\ncamera=@Variant(\\0\\0\\0\\x7f)\nspeakers=@Rect(1 2 3 4)\nmicrophone=a, b\n"
        "recent=@Invalid()\nunderstood=maybe\n",
        "record=a, b\ntwo_channels=true, true\nunderstood=true, true\n",
    ],
)
def test_a_broken_settings_file_gives_defaults(broken: str) -> None:
    places.settings_file().write_text(broken, encoding="utf-8")
    settings = Settings()
    assert settings.preferences == Preferences()
    assert settings.recent == ()
    assert not settings.understood


def test_what_was_typed_comes_before_what_was_chosen() -> None:
    chosen = Preferences(microphone="Headset", camera=2, speakers=3, whisper="small", device="cpu")
    typed = RunOptions(
        LiveOptions(microphone="Desk", camera=0), models=ModelOptions(whisper="base", device="auto")
    )
    run = chosen.live(CommandLine(typed, frozenset({"microphone", "camera", "whisper"})))
    assert run.medium == LiveOptions(microphone="Desk", camera=0)
    assert run.speakers == 3
    assert (run.models.whisper, run.models.device) == ("base", "cpu")
    assert run.record is None

    nothing_typed = CommandLine(RunOptions(LiveOptions()))
    assert Preferences().live(nothing_typed).models.whisper == BEST_WHISPER
    recording = Preferences(speakers=3).recording(Path("talk.mp4"), nothing_typed)
    assert recording.models.whisper == DEFAULT_WHISPER
    assert recording.speakers is None
    kept = Preferences(record=True, recordings="kept").live(nothing_typed).record
    assert kept is not None
    assert kept.parent == Path("kept")
    assert kept.suffix == ".sdt"


def test_a_tilde_stands_for_the_home_folder() -> None:
    chosen = Preferences(recordings="~/talks", checkpoint="~/models/sdt")
    assert chosen.recordings_folder == Path.home() / "talks"
    run = chosen.live(CommandLine(RunOptions(LiveOptions())))
    assert run.models.checkpoint == Path.home() / "models" / "sdt"
    assert Preferences(recordings="~no-one/x").recordings_folder == Path("~no-one/x")


@pytest.mark.usefixtures("qapp")
def test_what_was_opened_last_is_remembered_and_what_is_gone_left_out(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.wav" for n in range(12)]
    for file in files:
        file.touch()
        Settings().remember(file)
    assert Settings().recent == tuple(reversed(files))[:8]
    Settings().remember(files[-3])
    assert Settings().recent[:2] == (files[-3], files[-1])
    files[-3].unlink()
    assert still_there(Settings().recent)[:2] == (files[-1], files[-2])
