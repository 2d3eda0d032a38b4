"""One line about the session: where it stands, how far behind, on what machine."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QProgressBar, QStatusBar, QWidget

from app.state import Snapshot
from app.ui.views.painting import clock

_PHASES = {
    "loading": "Getting ready",
    "ended": "Ended",
    "failed": "Failed",
}
_PLAYING = {"playing": "Playing", "paused": "Paused", "waiting": "Still being read"}
_WORRYING_BACKLOG = 2.0
_SENSES = ("words", "voice", "face")


class StatusView(QStatusBar):
    """Phase, position, counts, backlog, latency, problems and device."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Session status")
        self.setSizeGripEnabled(False)
        self.setContentsMargins(10, 0, 10, 4)
        self.phase = QLabel()
        self.position = QLabel()
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedSize(150, 6)
        self.progress.setRange(0, 1000)
        self.progress.setAccessibleName("Progress through the recording")
        self.utterances = QLabel()
        self.backlog = QLabel()
        self.dropped = QLabel()
        self.problem = ElidedLabel()
        self.problem.setObjectName("warning")
        self.shift = QLabel()
        self.latency = QLabel()
        self.device = QLabel()
        self._usual: tuple[QWidget, ...] = (
            *(self.phase, self.progress, self.position, self.utterances, self.backlog),
            *(self.dropped, self.problem),
        )
        for widget in self._usual[:-1]:
            self.addWidget(widget)
        self.addWidget(self.problem, 1)
        for widget in (self.shift, self.latency, self.device):
            self.addPermanentWidget(widget)
        for label in self.findChildren(QLabel):
            label.hide()
        self.progress.hide()
        self._newest: Snapshot | None = None
        self.messageChanged.connect(self._show_again)

    def _show_again(self, message: str) -> None:
        if not message and self._newest is not None:
            self.show_snapshot(self._newest)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self._newest = snapshot
        if self.currentMessage():
            for widget in self._usual:
                widget.hide()  # what is said stands in their place
            return
        _say(self.phase, _doing(snapshot))
        started = snapshot.phase in ("running", "ended")
        known = started and snapshot.duration is not None
        self.progress.setVisible(known)
        if snapshot.duration:
            share = 1.0 if snapshot.phase == "ended" else snapshot.position / snapshot.duration
            self.progress.setValue(round(1000 * min(max(share, 0.0), 1.0)))
        total = f" / {clock(snapshot.duration)}" if snapshot.duration is not None else ""
        _say(self.position, f"{clock(snapshot.position)}{total}" if started else "")
        count = len(snapshot.utterances) - snapshot.ahead
        _say(self.utterances, f"{count} utterance{'' if count == 1 else 's'}" if started else "")
        self._show_backlog(snapshot.backlog)
        self._show_dropped(snapshot.dropped)
        self._show_shift(snapshot.shift)
        self._show_latency(dict(snapshot.latency))
        self._show_problems(snapshot)
        _say(self.device, snapshot.device)

    def _show_backlog(self, seconds: float) -> None:
        _say(
            self.backlog,
            f"{seconds:.1f} s behind" if seconds >= 0.05 else "",
            "Speech that waits for the recogniser",
        )
        name = "warning" if seconds > _WORRYING_BACKLOG else ""
        if self.backlog.objectName() != name:
            self.backlog.setObjectName(name)
            self.backlog.style().polish(self.backlog)

    def _show_problems(self, snapshot: Snapshot) -> None:
        """What matters now: a device that is away, what is left out, or what went wrong last."""
        left_out = f"Too slow for this machine: without {', '.join(snapshot.without)}"
        now = [message for _, message in snapshot.devices]
        now += [left_out] if snapshot.without else []
        now += snapshot.problems[-1:]
        _say(self.problem, f"! {now[0]}" if now else "", "\n".join([*now, *snapshot.problems]))

    def _show_dropped(self, dropped: tuple[tuple[str, int], ...]) -> None:
        count = sum(number for _, number in dropped)
        reasons = "\n".join(f"{number} × {reason.replace('_', ' ')}" for reason, number in dropped)
        _say(self.dropped, f"{count} dropped" if count else "", reasons)

    def _show_shift(self, shift: tuple[float | None, ...]) -> None:
        measured = {
            sense: distance
            for sense, distance in zip(_SENSES, shift, strict=True)
            if distance is not None
        }
        far = [sense for sense, distance in measured.items() if distance > 1.0]
        numbers = "\n".join(f"{sense}: {distance:.1f}" for sense, distance in measured.items())
        text = f"unlike training: {', '.join(far)}" if far else "like training"
        _say(
            self.shift,
            text if measured else "",
            "How far the last utterances lie from what the model was trained on.\n"
            "0 is like training, 1 as far as its oddest hundredth; beyond, trust labels less.\n"
            f"{numbers}",
        )

    def _show_latency(self, latency: dict[str, tuple[float, float]]) -> None:
        if not latency:
            _say(self.latency, "")
            return
        median, slow = max(latency.values())
        stages = "\n".join(
            f"{stage}: {p50:.2f} / {p95:.2f} s" for stage, (p50, p95) in latency.items()
        )
        _say(
            self.latency,
            f"label after {median:.2f} s (p95 {slow:.2f} s)",
            f"Seconds after the end of speech, p50 / p95\n{stages}",
        )


class ElidedLabel(QLabel):
    """A label that takes the room it gets and cuts its text with an ellipsis."""

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return QSize(60, super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        painter = QPainter(self)
        box = self.contentsRect().adjusted(7, 0, -7, 0)
        text = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, box.width())
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)


def _doing(snapshot: Snapshot) -> str:
    doing = _PHASES.get(snapshot.phase, "")
    if snapshot.phase == "running":
        doing = "Paused" if snapshot.paused else _PLAYING.get(snapshot.playing, "Listening")
    return f"{doing}, {snapshot.busy}" if snapshot.busy else doing


def _say(label: QLabel, text: str, tooltip: str = "") -> None:
    """Set only what changed, and let an empty label take no room."""
    if label.text() != text:
        label.setText(text)
    if label.isHidden() == bool(text):
        label.setVisible(bool(text))
    if label.toolTip() != tooltip:
        label.setToolTip(tooltip)
