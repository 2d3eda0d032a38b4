"""What can be done around a session: begin one, end it, go on to another, take results along."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QFileDialog, QLabel, QMenu, QMessageBox, QToolButton

from app.assets import DEMO_MEDIA
from app.conversation import Conversation
from app.options import CommandLine, LiveOptions, RunOptions
from app.session.card import SUFFIX
from app.session.logged import LoggedSession
from app.session.space import Space
from app.state import Snapshot
from app.ui.background import Background
from app.ui.consent import ConsentCard
from app.ui.devices import DevicesHere, devices_here, space_for_live
from app.ui.exporting import Exporter
from app.ui.help import HelpMenu
from app.ui.main_window import MainWindow
from app.ui.preferences import Preferences, Settings, new_session_folder, still_there
from app.ui.settings_dialog import SettingsDialog
from app.ui.start_page import StartPage
from live_features import weights

_PERIOD_MS = 50
_SAID_MS = 10_000
_PAUSE, _RESUME = "&Pause live session", "&Resume live session"
_UNTYPED = frozenset({"path", "replay", "demo", "speed", "export", "record", "enrol"})


class Shell(QObject):
    """Owns the conversations of a window, one at a time, and everything that leads to them.

    No conversation begins before the last one has ended, because devices belong to one only.
    """

    def __init__(self, window: MainWindow, line: CommandLine, settings: Settings) -> None:
        super().__init__(window)
        self.window = window
        self.exit_code = 0
        self._quits = False
        self._line = line
        self._settings = settings
        self.devices = DevicesHere()
        self._looking: Background[DevicesHere] | None = None
        self._ending: list[Conversation] = []
        self._then: Callable[[], None] | None = None
        self._again: Callable[[], None] | None = None
        self._settings_dialog: SettingsDialog | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(_PERIOD_MS)
        self._timer.timeout.connect(self._go_on)

        self._recording = QLabel()
        self._recording.setObjectName("recording")
        self._recording.hide()
        window.status.addPermanentWidget(self._recording)
        self._pause = QToolButton()
        self._pause.hide()
        window.status.addPermanentWidget(self._pause)
        self._end = QToolButton()
        self._end.hide()
        window.status.addPermanentWidget(self._end)
        self._make_actions()
        self.start_page = StartPage(
            window.theme, live=self.live_action, open_=self.open_action, demo=self.demo_action
        )
        window.set_start_page(self.start_page)
        self.start_page.recent_chosen.connect(self.open_path)
        self.start_page.record_toggled.connect(self._set_record)
        window.path_dropped.connect(self.open_path)
        window.colours_chosen.connect(lambda name: self._prefer(colours=name))
        window.message_page.left.connect(self.leave)
        window.message_page.again.connect(self._try_again)
        window.bridge.session_changed.connect(self._follow)
        window.may_close = self._may_close
        window.use_colours(self._preferences.colours)

    # --- Beginning and ending ----------------------------------------------------------------

    def show_start(self) -> None:
        """The page to begin from; a session that is shown is left."""
        self._then = None
        self.window.show_start()
        recent = self._settings.recent
        Background(lambda: still_there(recent), self.start_page.show_recent, self.say, self)
        self._show_choices()
        self._look_for_devices()
        self._follow(Snapshot())

    def start_live(self) -> None:
        """Begin a live session, once it is clear what that means."""
        self._after_consent(lambda: self._after_this(self._begin_live))

    def watch_demo(self) -> None:
        self._after_this(lambda: self._begin_recording(DEMO_MEDIA))

    def ask_for_recording(self) -> None:
        """Let a person choose a file; sessions are folders and have an entry of their own."""
        self._ask_for("Open a recording", QFileDialog.FileMode.ExistingFile)

    def ask_for_session(self) -> None:
        self._ask_for(f"Open a session (a folder NAME{SUFFIX})", QFileDialog.FileMode.Directory)

    def open_path(self, path: Path) -> None:
        self._settings.remember(path)
        self._after_this(lambda: self._begin_recording(path))

    def show(self, conversation: Conversation) -> None:
        """Show one that was made elsewhere of what was typed; it begins with :meth:`begin`."""
        self._take_line()
        self._again = lambda: self._begin(Conversation(_once_more(conversation.options)))
        conversation.doubt(self._preferences.doubt)
        self.window.show_conversation(conversation)
        self._show_recording(conversation.options)

    def begin(self) -> None:
        """Begin the conversation that is shown."""
        if self.window.conversation is not None:
            self.window.conversation.begin()

    def pause(self) -> None:
        """Pause a live session, or go on with it."""
        if (conversation := self.window.conversation) is not None:
            conversation.pause(not conversation.paused)

    def end(self) -> None:
        """End the session; what was heard is labelled and stays in sight."""
        if self.window.conversation is not None:
            self.window.conversation.end()

    def leave(self) -> None:
        """Go back to the start page, ending the session in order."""
        self._leave_for(self.show_start)

    def close_session(self) -> None:
        """The same, unless somebody wants to keep what would be lost."""
        self._after_this(self.show_start)

    def quit(self) -> None:
        """Close the window, and ask nothing."""
        self._quits = True
        self.window.close()

    def close(self) -> None:
        """End everything, because the window has closed."""
        self._timer.stop()
        self._then = None
        if (conversation := self.window.conversation) is not None:
            conversation.close()
            self._ending.append(conversation)

    def join(self, seconds: float) -> bool:
        """Whether all conversations are over after at most so many seconds."""
        deadline = time.monotonic() + seconds
        for conversation in self._ending:
            if not conversation.join(max(0.0, deadline - time.monotonic())):
                return False
            self.exit_code = conversation.exit_code
        return True

    def _after_this(self, then: Callable[[], None]) -> None:
        """Leave what is shown, and go on with ``then``; ask first where something would be lost."""
        if self._would_lose_something:
            self._ask_first(lambda: self._leave_for(then))
        else:
            self._leave_for(then)

    def _may_close(self) -> bool:
        if self._quits or not self._would_lose_something:
            return True
        self._ask_first(self.quit)
        return False

    @property
    def _would_lose_something(self) -> bool:
        conversation = self.window.conversation
        return conversation is not None and _would_be_lost(conversation)

    def _ask_first(self, leave: Callable[[], None]) -> None:
        question = QMessageBox(self.window)
        question.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        question.setWindowTitle("Leave this session?")
        question.setText("This conversation was not recorded.")
        question.setInformativeText(
            "Once you leave it, its words and labels are gone. Export it first if you want them."
        )
        agree = question.addButton("&Leave", QMessageBox.ButtonRole.AcceptRole)
        question.addButton("&Stay", QMessageBox.ButtonRole.RejectRole)
        agree.clicked.connect(leave)
        question.open()

    def _leave_for(self, then: Callable[[], None]) -> None:
        conversation = self.window.conversation
        self._then = then
        if conversation is not None:
            self.window.end_conversation()
            self._ending.append(conversation)
        self._recording.hide()
        self._go_on()
        if self._then is not None:
            self.window.show_message("Finishing", "What was heard is still being labelled.")
            self._timer.start()

    def _go_on(self) -> None:
        """Do what is next as soon as nothing stands in the way."""
        for conversation in [c for c in self._ending if c.join(0.0)]:
            self._ending.remove(conversation)
            self.exit_code = conversation.exit_code
        if self._ending:
            return
        self._timer.stop()
        then, self._then = self._then, None
        if then is not None:
            then()

    def _begin_live(self, again: CommandLine | None = None) -> None:
        if self._looking is not None:  # at the devices, which one at a time may do
            self._then = lambda: self._begin_live(again)
            self.window.show_message("Getting ready", "Looking for microphones and cameras.")
            self._timer.start()
            return
        line = again or self._take_line()
        self._again = lambda: self._begin_live(line)
        run = self._preferences.live(line)
        if again:
            run = _once_more(run)
        if run.record is not None:
            self._settings.remember(run.record)
        self._begin(Conversation(run))

    def _begin_recording(self, path: Path, again: CommandLine | None = None) -> None:
        line = again or self._take_line()
        self._again = lambda: self._begin_recording(path, line)
        run = self._preferences.recording(path, line)
        self._begin(Conversation(_once_more(run) if again else run))

    def _take_line(self) -> CommandLine:
        """What was typed, for one session: the next introduces nobody and keeps nothing by it."""
        line = self._line
        after = replace(line.run, enrol=(), export=None, record=None)
        self._line = replace(line, run=after)
        return line

    def _begin(self, conversation: Conversation) -> None:
        conversation.doubt(self._preferences.doubt)
        self.window.show_conversation(conversation)
        self._show_recording(conversation.options)
        conversation.begin()

    def _try_again(self) -> None:
        if self._again is not None:
            self._leave_for(self._again)

    def _after_consent(self, then: Callable[[], None]) -> None:
        if self._settings.understood:
            then()
            return
        live = self._live_options
        card = ConsentCard(
            self.window,
            microphone=self.devices.microphone(live.microphone),
            camera="no picture"
            if live.camera is None
            else f"the picture of {self.devices.camera(live.camera)}",
        )
        card.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)

        def agree() -> None:
            self._settings.understand()
            then()

        card.accepted.connect(agree)
        card.open()

    # --- Choices -----------------------------------------------------------------------------

    @property
    def _preferences(self) -> Preferences:
        return self._settings.preferences

    @property
    def _live_options(self) -> LiveOptions:
        medium = self._preferences.live(self._line).medium
        assert isinstance(medium, LiveOptions)
        return medium

    def _prefer(self, **changes: object) -> None:
        self._settings.save(self._preferences.but(**changes))

    def _set_record(self, on: bool) -> None:
        if on != self._preferences.record:
            self._prefer(record=on)
        self._show_choices()

    def _show_choices(self) -> None:
        live, preferences = self._live_options, self._preferences
        devices = self.devices
        self.start_page.show_devices(
            devices.microphone(live.microphone), devices.camera(live.camera), devices.problem
        )
        self.record_action.setChecked(preferences.record)
        where = "They are gone when you leave them, unless you export them."
        if preferences.record:
            where = f"in {preferences.recordings_folder}"
            run = preferences.live(self._line)
            Background(
                lambda: space_for_live(run),
                lambda needed: self._show_needed(where, needed),
                self.say,
                self,
            )
        self._show_room(where)

    def _show_needed(self, where: str, needed: Space | None) -> None:
        if self._preferences.record:  # still
            self._show_room(f"{where}: {needed}")

    def _show_room(self, where: str) -> None:
        """Say where recordings go, or what becomes of sessions that are not recorded."""
        self.start_page.show_recording(on=self._preferences.record, where=where)
        self.record_action.setStatusTip(where[:1].upper() + where[1:])

    def _look_for_devices(self, *, again: bool = False) -> None:
        if self._looking is None:
            self._looking = Background(
                lambda: devices_here(again=again), self.show_devices, self._show_trouble, self
            )

    def _show_trouble(self, sentence: str) -> None:
        self.show_devices(DevicesHere(problem=sentence))

    def show_devices(self, devices: DevicesHere) -> None:
        """Offer these from now on."""
        self._looking = None
        self.devices = devices
        self._show_choices()
        if self._settings_dialog is not None:
            self._settings_dialog.show_devices(devices)

    def show_settings(self) -> None:
        dialog = SettingsDialog(
            self.window,
            self._preferences,
            devices=self.devices,
            typed=sorted(self._line.given - _UNTYPED),
            may_look=self.window.conversation is None,
        )
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._settings_dialog = dialog

        def finish(accepted: int) -> None:
            self._settings_dialog = None
            if accepted:
                self._settings.save(dialog.chosen)
                self.window.use_colours(dialog.chosen.colours)
                if (conversation := self.window.conversation) is not None:
                    conversation.doubt(dialog.chosen.doubt)
                self._show_choices()

        dialog.finished.connect(finish)
        dialog.look_again.connect(lambda: self._look_for_devices(again=True))
        Background(weights.whisper_sizes_here, dialog.show_sizes, lambda _: None, dialog)
        dialog.open()

    # --- Menus -------------------------------------------------------------------------------

    def _make_actions(self) -> None:
        menu = self.window.session_menu
        add = self._adder(menu.actions()[0])
        self.live_action = add("&New live session", "Ctrl+N", self.start_live)
        self.live_action.setStatusTip("Listen to the microphone and look through the camera")
        self.open_action = add("&Open recording …", "Ctrl+O", self.ask_for_recording)
        self.open_action.setStatusTip("Read any file with sound or pictures")
        session = add(f"Open &session ({SUFFIX}) …", "Ctrl+Shift+O", self.ask_for_session)
        session.setStatusTip("Read a session that was recorded, once more")
        self.demo_action = add("Watch the &demo", "Ctrl+D", self.watch_demo)
        self.demo_action.setStatusTip("A short conversation of two people who do not exist")
        add(None)
        self.record_action = add("&Record live sessions", "Ctrl+R", None)
        self.record_action.setCheckable(True)
        self.record_action.toggled.connect(self._set_record)
        self.pause_action = add(_PAUSE, "Ctrl+Shift+P", self.pause)
        self.pause_action.setIconText("Pause")
        self._pause.setDefaultAction(self.pause_action)
        self.pause_action.setStatusTip("Nothing is heard, seen or recorded until you resume")
        self.end_action = add("&End live session", "Ctrl+E", self.end)
        self._end.setDefaultAction(self.end_action)
        self._end.setText("End session")
        self.end_action.setStatusTip("What was heard is labelled and stays in sight")
        add(None)
        self.export_menu = QMenu("E&xport", menu)
        menu.insertMenu(menu.actions()[-1], self.export_menu)
        self.exporter = Exporter(self.window, self.export_menu, self._logged, self.say)
        picture = add("Save &picture of the window …", "Ctrl+P", self.ask_for_picture)
        picture.setStatusTip("As PNG, as it looks now")
        add(None)
        settings = add("Se&ttings …", "Ctrl+,", self.show_settings)
        settings.setStatusTip("Devices, models, recordings and colours")
        settings.setMenuRole(QAction.MenuRole.PreferencesRole)
        self.close_action = add("&Close session", "Ctrl+W", self.close_session)
        self.close_action.setStatusTip("Back to the start page; what was heard is labelled first")
        self.help_menu = HelpMenu(
            self.window, lambda: self._preferences.live(self._line), self._after_consent
        )
        self._follow(Snapshot())

    def _adder(self, before: QAction) -> Callable[..., QAction]:
        menu = self.window.session_menu

        def add(text: str | None, key: str = "", do: Callable[[], None] | None = None) -> QAction:
            action = QAction(text or "", menu)
            if text is None:
                action.setSeparator(True)
            if key:
                action.setShortcut(QKeySequence(key))
                action.setToolTip(f"{text} ({key})".replace("&", ""))
            if do is not None:
                # Qt would hand on whether it is checked.
                action.triggered.connect(lambda: do())  # noqa: PLW0108
            menu.insertAction(before, action)
            return action

        return add

    def say(self, sentence: str) -> None:
        """Show a sentence for a while."""
        self.window.status.showMessage(sentence, _SAID_MS)

    def ask_for_picture(self) -> None:
        picture = self.window.grab()
        dialog = QFileDialog(self.window, "Save a picture of the window")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilters(["*.png"])
        dialog.setDefaultSuffix("png")
        dialog.selectFile("sdt-live.png")

        def save(path: str) -> None:
            saved = picture.save(path)
            self.say(f"Wrote {path}" if saved else f"{path} cannot be written; choose another.")

        dialog.fileSelected.connect(save)
        dialog.open()

    def _ask_for(self, caption: str, mode: QFileDialog.FileMode) -> None:
        dialog = QFileDialog(self.window, caption)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(mode)
        dialog.fileSelected.connect(lambda path: self.open_path(Path(path)))
        dialog.open()

    def _logged(self) -> LoggedSession | None:
        conversation = self.window.conversation
        return None if conversation is None else conversation.logged

    def _show_recording(self, run: RunOptions) -> None:
        self._recording.setVisible(run.record is not None)
        if run.record is not None:
            self._recording.setToolTip(f"Recorded to {run.record}")

    def _follow(self, snapshot: Snapshot) -> None:
        """Offer what makes sense now."""
        conversation = self.window.conversation
        there = conversation is not None
        goes_on = snapshot.phase in ("loading", "running")
        listens = conversation is not None and conversation.is_live and goes_on
        self.pause_action.setEnabled(listens and snapshot.phase == "running")
        _name(self.pause_action, _RESUME if snapshot.paused else _PAUSE)
        self._pause.setVisible(self.pause_action.isEnabled())
        if conversation is not None and conversation.options.record is not None:
            mark = "Ⅱ" if snapshot.paused else "●"
            self._recording.setText(f"{mark} {conversation.options.record.name}")
        self.end_action.setEnabled(listens)
        self._end.setVisible(listens)
        self.close_action.setEnabled(there)
        self.export_menu.setEnabled(
            conversation is not None and bool(conversation.newest.utterances)
        )
        self.help_menu.doctor_action.setEnabled(not there)


def _name(action: QAction, text: str) -> None:
    if action.text() != text:
        action.setText(text)
        verb = text.replace("&", "").removesuffix(" live session")
        action.setIconText(verb)
        action.setToolTip(f"{verb} ({action.shortcut().toString()})")


def _once_more(run: RunOptions) -> RunOptions:
    """The same for another try, recorded beside what the last one may have left."""
    if run.record is None or not still_there([run.record]):
        return run
    return replace(run, record=new_session_folder(run.record.parent))


def _would_be_lost(conversation: Conversation) -> bool:
    run = conversation.options
    kept = run.record is not None or run.export is not None
    return conversation.is_live and not kept and bool(conversation.state.snapshot().utterances)
