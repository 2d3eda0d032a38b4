"""The conversation in words, newest at the bottom."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QContextMenuEvent, QFont, QFontMetricsF, QMouseEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
)

from app.state import LabelledUtterance, Snapshot
from app.ui.theme import Theme, blend, draw_face, scaled_font
from app.ui.views.painting import (
    badge_width,
    chip_width,
    clock,
    draw_badge,
    draw_chip,
    numbers_html,
    opinion,
    percent,
    speaker_name,
    students,
    verdict,
)

UTTERANCE_ROLE = Qt.ItemDataRole.UserRole
_Differences = dict[int, tuple[LabelledUtterance, LabelledUtterance]]
_Index = QModelIndex | QPersistentModelIndex
_NOWHERE = QModelIndex()
_WRAP = int(Qt.TextFlag.TextWordWrap | Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
_LINE = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
_PAD = 9.0
_NEAR_END = 4
_VEILED = 0.45


class TranscriptModel(QAbstractListModel):
    """Utterances as rows; a revision touches its own row only."""

    def __init__(self, theme: Theme, parent: QObject) -> None:
        super().__init__(parent)
        self.theme = theme
        self.speakers: tuple[str, ...] = ()
        self.looked: dict[int, float] = {}
        self.ahead = 0
        self.playhead: int | None = None
        self.elsewhere: _Differences = {}
        self._utterances: tuple[LabelledUtterance, ...] = ()

    def rowCount(self, parent: _Index = _NOWHERE) -> int:  # noqa: N802
        return 0 if parent.isValid() else len(self._utterances)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        utterance = self._utterances[index.row()]
        if role == UTTERANCE_ROLE:
            return utterance
        if role == Qt.ItemDataRole.ToolTipRole:
            return numbers_html(utterance, self._name(utterance), self.theme)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            looked = self.looked.get(index.row())
            share = "" if looked is None else f", looked at {percent(looked)}"
            other = self.difference(index.row())
            return f"{self._sentence(utterance)}{share}{f', {other}' if other else ''}"
        return None

    def show_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.speakers != self.speakers:
            self.speakers = snapshot.speakers
            self._changed(0, len(self._utterances) - 1)
        if snapshot.utterances is self._utterances:
            return
        count = len(snapshot.utterances)
        if count < len(self._utterances):
            self.beginRemoveRows(QModelIndex(), count, len(self._utterances) - 1)
            self._utterances = self._utterances[:count]
            self.endRemoveRows()
        known = len(self._utterances)
        before, self._utterances = self._utterances, snapshot.utterances[:known]
        for row, (old, new) in enumerate(zip(before, self._utterances, strict=True)):
            if old is not new:
                self._changed(row, row, resized=old.text != new.text)
        if count > known:
            self.beginInsertRows(QModelIndex(), known, count - 1)
            self._utterances = snapshot.utterances
            self.endInsertRows()

    def show_difference(self, elsewhere: _Differences) -> None:
        """What the older and the newer reading of the session make of rows."""
        self.elsewhere = elsewhere
        self._changed(0, len(self._utterances) - 1, resized=True)

    def difference(self, row: int) -> str:
        """How the label of a row was then and is now; empty where it is the same."""
        if row not in self.elsewhere:
            return ""
        then, now = self.elsewhere[row]
        return f"then {verdict(then)} · now {verdict(now)}"

    def show_looked(self, looked: dict[int, float]) -> None:
        """What shares the selected utterance looked at of those worth telling of."""
        if looked != self.looked:
            self.looked = looked
            self._changed(0, len(self._utterances) - 1)

    def utterance_name(self, row: int) -> str:
        """Who said it."""
        return self._name(self._utterances[row])

    def _changed(self, first: int, last: int, *, resized: bool = False) -> None:
        if last >= first:
            roles = [Qt.ItemDataRole.DisplayRole, UTTERANCE_ROLE]
            roles += [Qt.ItemDataRole.SizeHintRole] if resized else []
            self.dataChanged.emit(self.index(first), self.index(last), roles)

    def _name(self, utterance: LabelledUtterance) -> str:
        return speaker_name(self.speakers, utterance.speaker)

    def _sentence(self, utterance: LabelledUtterance) -> str:
        was = f", was {utterance.was}" if utterance.was else ""
        return (
            f"{clock(utterance.start)} {self._name(utterance)}: {utterance.text} "
            f"({verdict(utterance)}{was})"
        )


class TranscriptDelegate(QStyledItemDelegate):
    """Draws a row: when and who, the words, the emotion, and what the students think."""

    def __init__(self, theme: Theme, parent: QObject) -> None:
        super().__init__(parent)
        self.theme = theme
        self.use_font(QFont())

    def use_font(self, font: QFont) -> None:
        """Take over the list's font and forget every height measured with another."""
        self._body = scaled_font(font, 1.0)
        self._small = scaled_font(font, 0.87)
        self._bold = scaled_font(font, 0.9, bold=True)
        self._line = QFontMetricsF(self._body).height()
        self._small_line = QFontMetricsF(self._small).height()
        self._time = QFontMetricsF(self._small).horizontalAdvance("0:00:00") + 6
        self._chip = min(chip_width(self._bold, "Speaker 10"), 120.0)
        self._badge = badge_width(self._bold, f"surprise {percent(1)}")
        self._heights: dict[tuple[str, int, bool], int] = {}

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:  # noqa: N802
        utterance: LabelledUtterance = index.data(UTTERANCE_ROLE)
        view = self.parent()
        assert isinstance(view, QListView)
        width = view.viewport().width()
        model = index.model()
        assert isinstance(model, TranscriptModel)
        differs = index.row() in model.elsewhere
        key = (utterance.text, width, differs)
        if key not in self._heights:
            words = self._words(QRectF(0, 0, width, 0)).width()
            height = self._text_height(utterance.text, words) + self._small_line + 2 * _PAD + 4
            height += (self._small_line + 3) * differs
            self._heights[key] = round(max(height, 2 * self._line + 2 * _PAD + 10))
        return QSize(width, self._heights[key])

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        utterance: LabelledUtterance = index.data(UTTERANCE_ROLE)
        model = index.model()
        assert isinstance(model, TranscriptModel)
        box = QRectF(option.rect)
        theme = self.theme
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(box, blend(QColor(theme.accent), QColor(theme.panel), 0.12))
        if index.row() == model.playhead:
            painter.fillRect(box, blend(QColor(theme.accent), QColor(theme.panel), 0.10))
            painter.fillRect(
                QRectF(box.right() - 3, box.top() + 3, 3, box.height() - 7), QColor(theme.accent)
            )
        elif index.row() >= model.rowCount() - model.ahead:
            painter.setOpacity(_VEILED)
        rule = QRectF(box.left(), box.bottom() - 1, box.width(), 1)
        painter.fillRect(rule, QColor(theme.grid))
        band = QRectF(box.left() + 2, box.top() + 7, 4, box.height() - 15)
        colour = QColor(theme.muted) if utterance.unsure else theme.emotion(utterance.emotion)
        painter.fillRect(band, colour)
        self._draw_who(painter, box, utterance, model.speakers)

        words = self._words(box)
        height = self._text_height(utterance.text, words.width())
        painter.setFont(self._body)
        painter.setPen(QColor(theme.text))
        painter.drawText(
            QRectF(words.left(), words.top(), words.width(), height), _WRAP, utterance.text
        )
        self._draw_students(painter, words.adjusted(0, height + 4, 0, 0), utterance)
        if other := model.difference(index.row()):
            below = words.adjusted(0, height + self._small_line + 7, 0, 0)
            painter.setPen(QColor(theme.accent))
            painter.drawText(
                QRectF(below.left(), below.top(), below.width(), self._small_line), _LINE, other
            )

        badge = QRectF(
            box.right() - self._badge - _PAD, words.top() - 1, self._badge, self._line + 5
        )
        painter.setFont(self._bold)
        draw_badge(painter, badge, utterance, verdict(utterance), theme)
        if utterance.was is not None:
            below = QRectF(badge.left() + 8, badge.bottom() + 4, badge.width(), self._small_line)
            self._draw_was(painter, below, utterance.was)
        if index.row() in model.looked:
            most = max(model.looked.values())
            self._draw_looked(painter, box, model.looked[index.row()], most)
        painter.restore()

    def _words(self, box: QRectF) -> QRectF:
        """The column between speaker and badge; as high as the row, less the top margin."""
        left = box.left() + 14 + self._time + self._chip + 14
        right = box.right() - _PAD - self._badge - 14
        return QRectF(left, box.top() + _PAD, max(right - left, 80.0), box.height() - _PAD)

    def _text_height(self, text: str, width: float) -> float:
        metrics = QFontMetricsF(self._body)
        return metrics.boundingRect(QRectF(0, 0, width, 10_000), _WRAP, text).height()

    def chip(self, box: QRectF, name: str) -> QRectF:
        """Where the speaker's name stands in a row at ``box``."""
        width = min(self._chip, chip_width(self._bold, name))
        left = box.left() + 14 + self._time
        return QRectF(left, box.top() + _PAD - 1, width, self._line + 3)

    def words(self, box: QRectF) -> QRectF:
        """Where the words stand in a row at ``box``."""
        return self._words(box)

    def _draw_looked(self, painter: QPainter, box: QRectF, share: float, most: float) -> None:
        """How much the selected utterance looked here, below the time."""
        left, top = box.left() + 14, box.top() + _PAD + self._line + 4
        painter.setFont(self._small)
        painter.setPen(QColor(self.theme.accent))
        row = QRectF(left, top, self._time, self._small_line)
        painter.drawText(row, _LINE, percent(share))
        bar = QRectF(left, row.bottom() + 1, self._time - 8, 4)
        painter.fillRect(bar, QColor(self.theme.grid))
        bar.setWidth(max(2.0, bar.width() * share / most))
        painter.fillRect(bar, QColor(self.theme.accent))

    def _draw_who(
        self, painter: QPainter, box: QRectF, utterance: LabelledUtterance, names: tuple[str, ...]
    ) -> None:
        row = QRectF(box.left() + 14, box.top() + _PAD - 1, self._time, self._line + 3)
        painter.setFont(self._small)
        painter.setPen(QColor(self.theme.muted))
        painter.drawText(row, _LINE, clock(utterance.start))
        name = speaker_name(names, utterance.speaker)
        painter.setFont(self._bold)
        draw_chip(painter, self.chip(box, name), name, self.theme.speaker(utterance.speaker))

    def _draw_students(self, painter: QPainter, row: QRectF, utterance: LabelledUtterance) -> None:
        painter.setFont(self._small)
        metrics = QFontMetricsF(self._small)
        said = [(m, opinion(probabilities)) for m, probabilities in students(utterance.reading)]
        long = [f"{m} {o[0]} {percent(o[1])}" if o else f"{m} missing" for m, o in said]
        short = [f"{m} {o[0]}" if o else f"no {m}" for m, o in said]
        face = self._small_line - 2
        room = row.width() - len(said) * (face + 18)
        bare = [m if o else f"no {m}" for m, o in said]
        texts = next(
            (t for t in (long, short) if sum(map(metrics.horizontalAdvance, t)) <= room), bare
        )
        left = row.left()
        muted = QColor(self.theme.muted)
        for (_, heard), text in zip(said, texts, strict=True):
            painter.setPen(muted)
            if heard is not None:
                disc = QRectF(left, row.top() + 1, face, face)
                draw_face(painter, disc, heard[0], self.theme.emotion(heard[0]))
                left += face + 4
            else:
                painter.setPen(blend(muted, QColor(self.theme.panel), 0.7))
            width = metrics.horizontalAdvance(text)
            painter.drawText(QRectF(left, row.top(), width + 2, self._small_line), _LINE, text)
            left += width + 14

    def _draw_was(self, painter: QPainter, row: QRectF, was: str) -> None:
        painter.setFont(self._small)
        painter.setPen(QColor(self.theme.muted))
        painter.drawText(row, _LINE, "was")
        face = row.height() - 2
        left = row.left() + QFontMetricsF(self._small).horizontalAdvance("was ")
        draw_face(painter, QRectF(left, row.top() + 1, face, face), was, self.theme.emotion(was))
        painter.setPen(QColor(self.theme.muted))
        painter.drawText(row.translated(left - row.left() + face + 4, 0), _LINE, was)


class TranscriptView(QListView):
    """The list of utterances; stays at the newest unless the user has scrolled up.

    ``followed`` tells whether it does. ``utterance_chosen`` carries the index of a row that was
    clicked or gone to by keyboard, ``speaker_clicked`` of one whose speaker's name was clicked,
    ``words_clicked`` of one whose words were clicked twice, and ``utterance_menu`` one and where on
    the screen a menu was asked for.
    """

    followed = Signal(bool)
    utterance_chosen = Signal(int)
    speaker_clicked = Signal(int)
    words_clicked = Signal(int)
    utterance_menu = Signal(int, object)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setAccessibleName("Transcript with the emotion of each utterance")
        self.setModel(TranscriptModel(theme, self))
        self.setItemDelegate(TranscriptDelegate(theme, self))
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMinimumHeight(110)
        self.following = True
        bar = self.verticalScrollBar()
        bar.setSingleStep(24)
        bar.rangeChanged.connect(self._stay)
        bar.valueChanged.connect(self._scrolled)
        self._selecting = self._scrolling = False
        self.doubleClicked.connect(lambda index: self.words_clicked.emit(index.row()))

    def select(self, index: int | None) -> None:
        """Show this row as selected, in sight unless the newest is followed."""
        self._selecting = True
        if index is None or index >= self._rows().rowCount():
            self.setCurrentIndex(QModelIndex())
            self.clearSelection()
        elif index != self.currentIndex().row():
            self.setCurrentIndex(self._rows().index(index))
        self._selecting = False

    def dataChanged(  # noqa: N802
        self, first: _Index, last: _Index, roles: Sequence[int] = ()
    ) -> None:
        # A list view would measure every row again, which takes as long as there are rows.
        QAbstractItemView.dataChanged(self, first, last, list(roles))
        if Qt.ItemDataRole.SizeHintRole in roles:
            self.scheduleDelayedItemsLayout()

    def selected_rows(self) -> list[int]:
        """The rows that are selected, from top to bottom."""
        return sorted(index.row() for index in self.selectedIndexes())

    def show_playhead(self, row: int | None) -> None:
        """Mark the row that is playing, and keep it in sight while following; None for none."""
        model = self._rows()
        if row != model.playhead:
            model.playhead = row
            self.viewport().update()
            self._stay()

    def show_difference(self, elsewhere: _Differences) -> None:
        """Say in its rows what two readings make of these utterances."""
        model = self._rows()
        if elsewhere != model.elsewhere:
            model.show_difference(elsewhere)

    def show_looked(self, looked: dict[int, float]) -> None:
        """Mark the rows that the selected utterance looked at, with their shares."""
        self._rows().show_looked(looked)

    def show_row(self, index: int) -> None:
        """Scroll so far that this row is in sight."""
        self.scrollTo(self._rows().index(index))

    def chip_box(self, index: int) -> QRect | None:
        """Where the speaker's name of a row stands in the viewport; None out of sight."""
        box = self._box(index)
        if box is None:
            return None
        return self._delegate().chip(box, self._rows().utterance_name(index)).toRect()

    def words_box(self, index: int) -> QRect | None:
        """Where the words of a row stand in the viewport; None out of sight."""
        box = self._box(index)
        if box is None:
            return None
        words = self._delegate().words(box).toRect()
        words.setHeight(min(words.height(), 30))
        return words

    def currentChanged(self, current: _Index, previous: _Index) -> None:  # noqa: N802
        super().currentChanged(current, previous)
        if current.isValid() and not self._selecting:
            self.utterance_chosen.emit(current.row())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        super().mouseReleaseEvent(event)
        if event.button() != Qt.MouseButton.LeftButton:
            return
        place = event.position().toPoint()
        row = self.indexAt(place).row()
        if row < 0:
            return
        chip = self.chip_box(row)
        if chip is not None and chip.contains(place):
            self.speaker_clicked.emit(row)
        else:
            # Also a row that is current already: what is selected may have been let go meanwhile.
            self.utterance_chosen.emit(row)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: N802
        by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
        index = self.currentIndex() if by_key else self.indexAt(event.pos())
        if index.isValid():
            place = self.visualRect(index).center() if by_key else event.pos()
            self.utterance_menu.emit(index.row(), self.viewport().mapToGlobal(place))

    def show_snapshot(self, snapshot: Snapshot) -> None:
        model = self._rows()
        if self.currentIndex().row() >= len(snapshot.utterances):
            # Otherwise Qt would choose another row.
            self.select(None)
        model.show_snapshot(snapshot)
        if snapshot.ahead != model.ahead:
            model.ahead = snapshot.ahead
            self.viewport().update()

    def follow(self) -> None:
        """Go to the newest utterance and stay with it."""
        self._set_following(True)
        self._stay()

    def set_theme(self, theme: Theme) -> None:
        self._rows().theme = theme
        self._delegate().theme = theme
        self.viewport().update()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange and self.model() is not None:
            self._delegate().use_font(self.font())
            self.scheduleDelayedItemsLayout()

    def _box(self, index: int) -> QRectF | None:
        if not 0 <= index < self._rows().rowCount():
            return None
        box = self.visualRect(self._rows().index(index))
        return QRectF(box) if self.viewport().rect().intersects(box) else None

    def _rows(self) -> TranscriptModel:
        model = self.model()
        assert isinstance(model, TranscriptModel)
        return model

    def _delegate(self) -> TranscriptDelegate:
        delegate = self.itemDelegate()
        assert isinstance(delegate, TranscriptDelegate)
        return delegate

    def _stay(self) -> None:
        if not self.following:
            return
        self._scrolling = True
        row = self._rows().playhead
        if row is None or row + 1 >= self._rows().rowCount():
            bar = self.verticalScrollBar()
            bar.setValue(bar.maximum())
        else:
            self.scrollTo(self._rows().index(row), QListView.ScrollHint.PositionAtCenter)
        self._scrolling = False

    def _scrolled(self, value: int) -> None:
        if self._scrolling:
            return
        row = self._rows().playhead
        if row is None:
            self._set_following(value >= self.verticalScrollBar().maximum() - _NEAR_END)
        else:
            self._set_following(self._box(row) is not None)

    def _set_following(self, following: bool) -> None:
        if following != self.following:
            self.following = following
            self.followed.emit(following)
