"""How an utterance reads, and why: probabilities, weights, where it looked, how long it took."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QScrollArea,
    QSizePolicy,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.corrections import SENSES, Attention
from app.state import LabelledUtterance, Snapshot
from app.ui.theme import Theme, blend, ink_on, scaled_font
from app.ui.views.emotions import EmotionsView, draw_share
from app.ui.views.painting import clock, draw_modality, percent, speaker_name, students, verdict
from live_features.emotions import MODALITIES

_LOOKED_AT = 6
_ROOM = 340  # pixels
_SHARE_ROLE = Qt.ItemDataRole.UserRole
_INDEX_ROLE = Qt.ItemDataRole.UserRole + 1
_MIDDLE = Qt.AlignmentFlag.AlignVCenter
_STAGES = {
    "endpoint": "speech is over",
    "transcription": "words",
    "features": "features",
    "emotion": "label",
}


class ReadingView(QWidget):
    """The newest utterance's emotions; of a selected one also what they come from.

    ``let_go`` asks for the newest again, ``chosen`` carries another utterance to go to.
    """

    let_go = Signal()
    chosen = Signal(int)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.utterance: LabelledUtterance | None = None
        self._attention: Attention | None = None
        self.setAccessibleName("How an utterance reads, and why")
        self.title = QLabel("Newest reading")
        self.title.setObjectName("title")
        self.back = QToolButton()
        self.back.setText("Newest")
        self.back.setToolTip("Show the newest reading again (Esc)")
        self.back.setAccessibleName("Show the newest reading again")
        self.back.clicked.connect(self.let_go)
        self.who = QLabel()
        self.who.setWordWrap(True)
        self.who.setTextFormat(Qt.TextFormat.RichText)
        self.emotions = EmotionsView(theme)
        self.weights = WeightsView(theme)
        self.pairs = QComboBox()
        self.pairs.setAccessibleName("Which of the nine encoders looked")
        self.pairs.setToolTip("Which encoder: from what, for what; or the mean of all nine")
        self.pairs.currentIndexChanged.connect(self._show_looks)
        self.looks = LooksList()
        self.looks.went.connect(self.chosen)
        self.caveat = QLabel("Where the model looked, which is not why it answered as it did.")
        self.caveat.setObjectName("muted")
        self.caveat.setWordWrap(True)
        self.delays = DelaysView(theme)
        self._why = (
            _section("What it weighed", self.weights),
            _section("Where it looked", self.pairs, self.looks, self.caveat),
            _section("How long it took", self.delays),
        )

        self._area = QScrollArea()
        self._lay_out()
        self._snapshot = Snapshot()
        self._selected: int | None = None
        self.select(None)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(2, 0, 0, 0)
        head.addWidget(self.title, 1)
        head.addWidget(self.back)
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 6, 0)
        column.setSpacing(10)
        column.addWidget(self.who)
        column.addWidget(self.emotions, 1)
        for section in self._why:
            column.addWidget(section)
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setWidget(inner)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(6)
        rows.addLayout(head)
        rows.addWidget(self._area, 1)

    def sizeHint(self) -> QSize:  # noqa: N802
        least = self.emotions.sizeHint()
        return QSize(least.width() + 20, least.height() + 40)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return self.sizeHint()

    @property
    def delays_section(self) -> QWidget:
        """The part that says how long it took."""
        return self._why[2]

    def select(self, index: int | None) -> None:
        """Show why this one reads as it does, or the newest without reasons."""
        self._selected = index
        self.back.setVisible(index is not None)
        self.who.setVisible(index is not None)
        for section in self._why:
            section.setVisible(index is not None)
        self.emotions.show_students(index is not None)
        # The picture makes room for the reasons.
        self.setMinimumHeight(0 if index is None else _ROOM)
        self._area.verticalScrollBar().setValue(0)
        self._show()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._show()

    def set_theme(self, theme: Theme) -> None:
        self._theme = theme
        for view in (self.emotions, self.weights, self.looks, self.delays):
            view.set_theme(theme)
        self._show_who()

    def _show(self) -> None:
        now = self._snapshot
        if self._selected is None:
            utterance = now.newest
        else:
            known = self._selected < len(now.utterances)
            utterance = now.utterances[self._selected] if known else None
        self.utterance = utterance
        name = speaker_name(now.speakers, utterance.speaker if utterance else None)
        self.emotions.show_utterance(utterance, name)
        if self._selected is None or utterance is None:
            self.title.setText("Newest reading")
            return
        unsure = utterance.unsure
        self.title.setText("Why unsure?" if unsure else f"Why {utterance.emotion}?")
        self._show_who()
        self.weights.show_utterance(utterance)
        self.delays.show_stages(utterance.stages)
        self.delays_section.setVisible(bool(utterance.stages))
        attention = now.attention
        if attention is not None and attention.index != self._selected:
            attention = None
        if attention is not self._attention:
            self._attention = attention
            self._name_pairs(attention)
        self._show_looks()

    def _show_who(self) -> None:
        u = self.utterance
        if u is None or self._selected is None:
            return
        name = escape(speaker_name(self._snapshot.speakers, u.speaker))
        was = ""
        if u.was is not None:
            before = percent(max(u.first.fused))
            was = f"<br>was {u.was} {before} when it was newest, now {verdict(u)}"
        colour = self._theme.speaker(u.speaker)
        said = (
            f"<span style='background:{colour.name()};color:{ink_on(colour).name()}'>"
            f"&nbsp;{name}&nbsp;</span> {clock(u.start)} – {clock(u.end)}"
            f"<br><i>{escape(u.text)}</i>{was}"
        )
        if said != self.who.text():
            self.who.setText(said)

    def _name_pairs(self, attention: Attention | None) -> None:
        pairs = () if attention is None else attention.pairs
        if self.pairs.count() == len(pairs) + 1:
            return
        self.pairs.blockSignals(True)
        self.pairs.clear()
        self.pairs.addItem("all nine encoders, averaged")
        for pair in pairs:
            source, target = pair.split("_to_")
            self.pairs.addItem(
                f"{SENSES[target]} alone"
                if source == target
                else f"{SENSES[source]}, for {SENSES[target]}"
            )
        self.pairs.blockSignals(False)

    def _show_looks(self) -> None:
        attention, now = self._attention, self._snapshot
        if attention is None:
            self.looks.show_shares((), now, None)
            return
        pair = self.pairs.currentIndex() - 1
        shares = attention.mean if pair < 0 else attention.weights[pair]
        self.looks.show_shares(shares[: len(now.utterances)], now, attention.index)


class WeightsView(QWidget):
    """Gate and contribution of each modality, side by side."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._utterance: LabelledUtterance | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(280, round((len(MODALITIES) + 1) * self._row))

    @property
    def _row(self) -> float:
        return QFontMetricsF(self.font()).height() + 6

    def set_theme(self, theme: Theme) -> None:
        self._theme = theme
        self.update()

    def show_utterance(self, utterance: LabelledUtterance) -> None:
        if utterance is self._utterance:
            return
        self._utterance = utterance
        said = [
            f"{modality}: gate {percent(gate)}, contribution {percent(contribution)}"
            f"{', missing' if heard is None else ''}"
            for (modality, heard), gate, contribution in zip(
                students(utterance.reading),
                utterance.reading.gates,
                utterance.reading.contributions,
                strict=True,
            )
        ]
        self.setAccessibleName("; ".join(said))
        self.setToolTip("\n".join(said))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        if self._utterance is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(scaled_font(self.font(), 0.92))
        metrics = QFontMetricsF(painter.font())
        names = metrics.horizontalAdvance("visual") + 34
        half = (self.width() - names) / 2
        number = metrics.horizontalAdvance(percent(1)) + 8
        painter.setPen(QColor(self._theme.muted))
        for column, word in enumerate(("gate", "contribution")):
            cell = QRectF(names + column * half, 0, half, self._row)
            painter.drawText(cell, _MIDDLE | Qt.AlignmentFlag.AlignLeft, word)
        reading = self._utterance.reading
        for row, (modality, heard) in enumerate(students(reading), start=1):
            top = row * self._row
            painter.setOpacity(0.4 if heard is None else 1.0)
            draw_modality(painter, QRectF(2, top, names, self._row), modality, self._theme)
            for column, shares in enumerate((reading.gates, reading.contributions)):
                share = shares[MODALITIES.index(modality)]
                left = names + column * half
                track = QRectF(left, top + self._row / 2 - 4, half - number - 8, 8)
                draw_share(painter, track, QColor(self._theme.grid), 1.0)
                draw_share(painter, track, self._theme.modality(modality), share)
                painter.setPen(QColor(self._theme.text))
                cell = QRectF(track.right() + 2, top, number, self._row)
                painter.drawText(cell, _MIDDLE | Qt.AlignmentFlag.AlignRight, percent(share))


class LooksList(QListWidget):
    """The utterances that were looked at most, each with its share; ``went`` carries one's index
    when it is clicked or Enter pressed on it."""

    went = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Utterances that were looked at most")
        self.setItemDelegate(_LookDelegate(self))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.itemClicked.connect(self._go)
        self.itemActivated.connect(self._go)
        self.theme: Theme | None = None
        self._shown: object = None

    def set_theme(self, theme: Theme) -> None:
        self.theme = theme
        self.viewport().update()

    def show_shares(self, shares: tuple[float, ...], now: Snapshot, looking: int | None) -> None:
        """The largest of ``shares`` of ``now``'s utterances, at which ``looking`` looked."""
        shown = (shares, now.utterances, now.speakers, looking)
        if shown == self._shown:
            return
        self._shown = shown
        self.clear()
        best = sorted(range(len(shares)), key=shares.__getitem__, reverse=True)[:_LOOKED_AT]
        for index in best:
            u = now.utterances[index]
            when = "itself" if index == looking else clock(u.start)
            later = " (later)" if looking is not None and index > looking else ""
            text = f"{when} {speaker_name(now.speakers, u.speaker)}: {u.text}{later}"
            item = QListWidgetItem(text)
            item.setData(_SHARE_ROLE, (shares[index], shares[best[0]]))
            item.setData(_INDEX_ROLE, index)
            item.setToolTip(f"{percent(shares[index])} of the attention: {text}")
            item.setData(Qt.ItemDataRole.AccessibleTextRole, item.toolTip())
            self.addItem(item)
        row = self.sizeHintForRow(0) if best else 0
        self.setFixedHeight(max(1, len(best)) * max(row, 1) + 2)

    def _go(self, item: QListWidgetItem) -> None:
        self.went.emit(item.data(_INDEX_ROLE))


class _LookDelegate(QStyledItemDelegate):
    """A share, as a number and as a bar behind the words."""

    def sizeHint(  # noqa: N802
        self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        return QSize(200, round(option.fontMetrics.height() + 8))

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        view = self.parent()
        assert isinstance(view, LooksList)
        theme = view.theme
        if theme is None:
            return
        share, most = index.data(_SHARE_ROLE)
        row = QRectF(option.rect).adjusted(0, 1, 0, -1)
        bar = QRectF(row)
        bar.setWidth(max(3.0, row.width() * share / most))
        painter.fillRect(bar, blend(QColor(theme.accent), QColor(theme.panel), 0.22))
        metrics = QFontMetricsF(option.font)
        number = metrics.horizontalAdvance(percent(1)) + 10
        painter.setFont(option.font)
        painter.setPen(QColor(theme.text))
        cell = QRectF(row.left(), row.top(), number - 4, row.height())
        painter.drawText(cell, _MIDDLE | Qt.AlignmentFlag.AlignRight, percent(share))
        words = row.adjusted(number + 4, 0, -4, 0)
        text = metrics.elidedText(str(index.data()), Qt.TextElideMode.ElideRight, words.width())
        painter.drawText(words, _MIDDLE | Qt.AlignmentFlag.AlignLeft, text)
        if view.hasFocus() and view.currentIndex() == index:
            painter.setPen(QColor(theme.accent))
            painter.drawRect(row.adjusted(0, 0, -1, -1))


class DelaysView(QWidget):
    """What was done to an utterance, one below the other on one small axis from its end on."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._stages: tuple[tuple[str, float], ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(280, round((len(self._stages) + 1) * self._row))

    @property
    def _row(self) -> float:
        return QFontMetricsF(self.font()).height() + 4

    def set_theme(self, theme: Theme) -> None:
        self._theme = theme
        self.update()

    def show_stages(self, stages: tuple[tuple[str, float], ...]) -> None:
        """Stages by name, and when each was done in seconds after the end of speech."""
        if stages == self._stages:
            return
        self._stages = stages
        said = ", ".join(f"{_STAGES.get(name, name)} after {at:.2f} s" for name, at in stages)
        self.setAccessibleName(f"After the end of speech: {said}")
        self.setToolTip(
            "Seconds after the last word. Words and features are made ahead, while it is waited "
            f"whether the speaker goes on.\n{said}"
        )
        self.updateGeometry()
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        if not self._stages:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(scaled_font(self.font(), 0.92))
        metrics = QFontMetricsF(painter.font())
        theme = self._theme
        names = max(metrics.horizontalAdvance(w) for w in _STAGES.values()) + 14
        number = metrics.horizontalAdvance("0.00 s") + 8
        room = self.width() - names - number
        latest = max(0.1, *(at for _, at in self._stages))
        before = 0.0
        for row, (name, at) in enumerate(self._stages):
            top = row * self._row
            painter.setPen(QColor(theme.text))
            cell = QRectF(2, top, names, self._row)
            painter.drawText(cell, _MIDDLE | Qt.AlignmentFlag.AlignLeft, _STAGES.get(name, name))
            left = names + room * max(before, 0.0) / latest
            right = names + room * max(at, 0.0) / latest
            bar = QRectF(left, top + self._row / 2 - 4, max(2.0, right - left), 8)
            painter.fillRect(bar, QColor(theme.accent))
            cell = QRectF(bar.right() + 4, top, number, self._row)
            painter.drawText(cell, _MIDDLE | Qt.AlignmentFlag.AlignLeft, f"{at:.2f} s")
            before = at
        painter.setPen(QColor(theme.muted))
        axis = len(self._stages) * self._row
        painter.drawLine(round(names), round(axis), round(names + room), round(axis))
        cell = QRectF(names, axis, room + number, self._row)
        painter.drawText(cell, _MIDDLE | Qt.AlignmentFlag.AlignLeft, "after the last word")


def _section(title: str, *parts: QWidget) -> QWidget:
    section = QWidget()
    column = QVBoxLayout(section)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(4)
    heading = QLabel(title)
    heading.setObjectName("title")
    column.addWidget(heading)
    for part in parts:
        column.addWidget(part)
    return section
