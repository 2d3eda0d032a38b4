"""Ties the player of a recording to the window: keys, the bar below the picture, clicks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QMenu, QWidget

from app.conversation import Conversation
from app.session.player import SPEEDS
from app.session.replay import Reading, Replay
from app.state import LabelledUtterance, Snapshot
from app.ui.theme import Theme
from app.ui.views.gates import GatesView
from app.ui.views.lanes import LanesView
from app.ui.views.transcript import TranscriptView
from app.ui.views.transport import Transport

_STEP = 5.0  # seconds
_BEGUN = 1.0
"""Seconds into an utterance from which on "previous" leads to its own beginning."""


class Playing(QObject):
    """What can be done with a recording while it plays; nothing of it is there for live input.

    ``said`` carries a sentence that a person should read once. Nothing here waits: what is asked
    for is seen in a later snapshot.
    """

    said = Signal(str)

    def __init__(
        self,
        window: QWidget,
        theme: Theme,
        *,
        lanes: LanesView,
        gates: GatesView,
        transcript: TranscriptView,
    ) -> None:
        super().__init__(window)
        self._window = window
        self._lanes = lanes
        self._transcript = transcript
        self._conversation: Conversation | None = None
        self._replay: Replay | None = None
        self._utterances: tuple[LabelledUtterance, ...] = ()
        self._starts: list[float] = []
        self._make_actions()
        self.transport = Transport(
            theme,
            earlier=self.earlier_action,
            play=self.play_action,
            later=self.later_action,
            loop=self.loop_action,
            readings=tuple(self.reading_actions.values()),
            read_anew=self.anew_action,
        )
        self.transport.speed_chosen.connect(self._set_speed)
        self.transport.slider.sought.connect(self.seek)
        self.transport.slider.looped.connect(self._loop_between)
        for signal in (
            lanes.utterance_clicked,
            gates.utterance_clicked,
            transcript.utterance_chosen,
        ):
            signal.connect(self.go_to)
        self.watch(None)

    @property
    def replay(self) -> Replay | None:
        """What is played, None for live input."""
        return self._replay

    def watch(self, conversation: Conversation | None) -> None:
        """Play this one from now on, if it is a recording."""
        self._conversation = conversation
        self._replay = None if conversation is None else conversation.replay
        there = self._replay is not None
        self.transport.setVisible(there)
        self.menu_action_enabled(there)
        self._utterances, self._starts = (), []
        self._said = ""
        self._transcript.show_playhead(None)

    def menu_action_enabled(self, there: bool) -> None:
        for action in self._actions:
            action.setEnabled(there)

    def fill_menu(self, menu: QMenu) -> None:
        """Everything that can be done, for the menu bar."""
        menu.addActions([self.play_action, self.loop_action])
        menu.addSeparator()
        menu.addActions([self.earlier_action, self.later_action])
        menu.addActions([self.back_action, self.on_action])
        menu.addSeparator()
        menu.addActions([self.slower_action, self.faster_action])
        menu.addSeparator()
        menu.addActions(list(self.reading_actions.values()))
        menu.addAction(self.anew_action)

    def set_theme(self, theme: Theme) -> None:
        self.transport.set_theme(theme)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        replay, conversation = self._replay, self._conversation
        if replay is None or conversation is None or replay.player is None:
            return
        player = replay.player
        known = replay.utterances
        if known is not self._utterances:
            self._utterances = known
            self._starts = [utterance.start for utterance in known]
        bar = self.transport
        bar.slider.show_utterances(known, snapshot.speakers)
        read = replay.duration if replay.is_complete else replay.read_until
        bar.slider.show_time(snapshot.position, replay.duration, read, player.loop)
        bar.show_time(snapshot.position, replay.duration, waiting=player.waiting)
        bar.show_speed(player.speed)
        bar.show_playing(player.playing)
        self.loop_action.setChecked(player.loop is not None)
        if player.silence != self._said:
            self._said = player.silence
            self.said.emit(player.silence)
        self._show_readings(replay, conversation, snapshot)
        self._show_playhead(snapshot)

    def go_to(self, index: int) -> None:
        """Play from the beginning of an utterance."""
        if self._replay is not None and 0 <= index < len(self._utterances):
            self.seek(self._utterances[index].start)

    def seek(self, time: float) -> None:
        if self._replay is not None:
            self._replay.seek(time)

    # --- What is shown -----------------------------------------------------------------------

    def _show_playhead(self, snapshot: Snapshot) -> None:
        row = bisect_right(self._starts, snapshot.position + 1e-3) - 1
        shown = min(row, len(snapshot.utterances) - 1)
        self._transcript.show_playhead(shown if shown >= 0 else None)

    def _show_readings(
        self, replay: Replay, conversation: Conversation, snapshot: Snapshot
    ) -> None:
        readings = replay.readings
        both = len(readings) > 1
        is_session = Reading.AS_IT_WAS in readings
        share = "" if not both or replay.share_read >= 1 else f" {replay.share_read:.0%}"
        self.reading_actions[Reading.ANEW].setText(f"Re-analysed{share}")
        for reading, action in self.reading_actions.items():
            action.setEnabled(both)
            action.setVisible(is_session)
            if reading is replay.showing and not action.isChecked():
                action.setChecked(True)
        self.anew_action.setEnabled(conversation.can_be_read_anew)
        self.anew_action.setVisible(is_session)
        self._transcript.show_difference(
            {index: (then, now) for index, then, now in snapshot.elsewhere}
        )
        differences = ""
        if both:
            count, total = len(snapshot.elsewhere), len(self._utterances)
            differences = f"{count} of {total} read otherwise"
        self.transport.show_session(is_one=is_session, both=both, differences=differences)

    # --- What is done ------------------------------------------------------------------------

    def _toggle(self) -> None:
        if self._replay is not None:
            self._replay.toggle()

    def _step(self, by: float) -> None:
        if self._replay is not None and self._replay.player is not None:
            self.seek(self._replay.player.position + by)

    def _neighbour(self, by: int) -> None:
        if self._replay is None or self._replay.player is None or not self._starts:
            return
        here = self._replay.player.position
        row = bisect_right(self._starts, here + 1e-3) - 1
        if by > 0:
            row += 1
        elif row >= 0 and here - self._starts[row] < _BEGUN:
            row -= 1
        if row < 0:
            self.seek(0.0)
        elif row < len(self._starts):
            self.seek(self._starts[row])

    def _change_speed(self, by: int) -> None:
        if self._replay is None or self._replay.player is None:
            return
        speed = self._replay.player.speed
        if by > 0:
            self._set_speed(next((s for s in SPEEDS if s > speed), speed))
        else:
            self._set_speed(next((s for s in reversed(SPEEDS) if s < speed), speed))

    def _set_speed(self, speed: float) -> None:
        if self._replay is not None:
            self._replay.set_speed(speed)

    def _loop_between(self, first: float, last: float) -> None:
        if self._replay is not None:
            self._replay.set_loop((first, last))

    def _loop(self) -> None:
        """The selected utterances, else that at the playhead, over and over; or no more."""
        if self._replay is None or self._replay.player is None:
            return
        if self._replay.player.loop is not None:
            self._replay.set_loop(None)
        else:
            self._replay.set_loop(self._what_to_loop(self._replay.player.position))
        # Pressing it has checked it, also where there is nothing to loop.
        self.loop_action.setChecked(self._replay.player.loop is not None)

    def _what_to_loop(self, here: float) -> tuple[float, float] | None:
        rows = self._transcript.selected_rows()
        chosen = [self._utterances[row] for row in rows if row < len(self._utterances)]
        if not chosen:
            row = bisect_right(self._starts, here + 1e-3) - 1
            chosen = list(self._utterances[max(row, 0) : max(row, 0) + 1])
        if not chosen:
            return None
        return min(u.start for u in chosen), max(u.end for u in chosen)

    def _show_reading(self, reading: Reading) -> None:
        if self._replay is not None:
            self._replay.show_reading(reading)

    def _swap_readings(self) -> None:
        if self._replay is not None and len(self._replay.readings) > 1:
            was = self._replay.showing is Reading.AS_IT_WAS
            self._show_reading(Reading.ANEW if was else Reading.AS_IT_WAS)

    def _read_anew(self) -> None:
        if self._conversation is not None and self._conversation.can_be_read_anew:
            self._conversation.read_anew()

    def _make_actions(self) -> None:
        self._actions: list[QAction] = []
        self.play_action = self._action("Play", ("Space",), self._toggle)
        self.loop_action = self._action(
            "Loop", ("L",), self._loop, tip="Play the selected utterances over and over"
        )
        self.loop_action.setCheckable(True)
        self.earlier_action = self._action(
            "Previous utterance", ("Left", "J"), lambda: self._neighbour(-1)
        )
        self.later_action = self._action(
            "Next utterance", ("Right", "K"), lambda: self._neighbour(1)
        )
        self.back_action = self._action(
            "5 seconds back", ("Shift+Left",), lambda: self._step(-_STEP)
        )
        self.on_action = self._action("5 seconds on", ("Shift+Right",), lambda: self._step(_STEP))
        self.slower_action = self._action("Slower", ("[",), lambda: self._change_speed(-1))
        self.faster_action = self._action("Faster", ("]",), lambda: self._change_speed(1))
        choices = QActionGroup(self)
        self.reading_actions = {}
        for reading, text in ((Reading.AS_IT_WAS, "As it was"), (Reading.ANEW, "Re-analysed")):
            show = partial(self._show_reading, reading)
            action = self._action(text, (), show, tip=_TIPS[reading])
            action.setCheckable(True)
            choices.addAction(action)
            self.reading_actions[reading] = action
        swap = self._action("Swap readings", ("R",), self._swap_readings)
        self._window.addAction(swap)
        self.anew_action = self._action(
            "Read it again",
            ("Ctrl+Shift+R",),
            self._read_anew,
            tip="Read sound and pictures of this session with the models of today",
        )

    def _action(
        self, text: str, keys: tuple[str, ...], do: Callable[[], object], *, tip: str = ""
    ) -> QAction:
        action = QAction(text, self._window)
        action.setShortcuts([QKeySequence(key) for key in keys])
        by_key = f" ({' or '.join(keys)})" if keys else ""
        action.setToolTip(f"{tip or text}{by_key}")
        action.setStatusTip(tip or text)
        action.triggered.connect(lambda _=False: do())
        self._actions.append(action)
        return action


_TIPS = {
    Reading.AS_IT_WAS: "What was made of the session when it was recorded (R swaps)",
    Reading.ANEW: "What the models of today make of it (R swaps)",
}
