"""The picture with its faces, and what was said last."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QImage,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPixmap,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.events import FaceSeen
from app.state import LabelledUtterance, OpenUtterance, Snapshot
from app.ui.theme import Theme, draw_face, ink_on, scaled_font
from app.ui.views.painting import (
    badge_width,
    chip_width,
    draw_badge,
    draw_chip,
    opinion,
    percent,
    speaker_name,
    verdict,
)
from live_features.media import VideoFrame

_STALE_AFTER = 1.0  # seconds; a box older than this no longer says where the face is
_LEFT_MIDDLE = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft


class VideoView(QWidget):
    """The newest frame, upright and undistorted, with a box around every face."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setAccessibleName("Video with the faces that were found")
        self._theme = theme
        self._image: QImage | None = None
        self._pixels: object = None
        self.faces: tuple[FaceSeen, ...] = ()
        self._speakers: tuple[str, ...] = ()
        self._has_video = self._paused = False
        self._boxes = QPixmap()
        self._boxes_look: tuple[object, ...] = ()
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setMinimumSize(260, 96)
        # Whatever is below would be painted again for every picture.
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        if not self._has_video:
            return 112
        if self._image is None:
            return width * 9 // 16
        return round(width * min(1.0, self._image.height() / self._image.width()))

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(480, self.heightForWidth(480))

    def show_frame(self, frame: VideoFrame) -> None:
        pixels = frame.image if frame.image.flags.c_contiguous else frame.image.copy()
        height, width, _ = pixels.shape
        known = self._image
        self._pixels = pixels  # QImage borrows the memory
        self._image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        if known is None or known.size() != self._image.size():
            self.updateGeometry()
        self.update()

    def reset(self) -> None:
        """Forget the picture."""
        self._image = self._pixels = None
        self.updateGeometry()
        self.update()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.has_video != self._has_video:
            self._has_video = snapshot.has_video
            self.updateGeometry()
            self.update()
        if snapshot.paused != self._paused:
            self._paused = snapshot.paused
            self.update()
        fresh = snapshot.position - snapshot.faces_at <= _STALE_AFTER
        faces = snapshot.faces if fresh and not snapshot.paused else ()
        if faces is not self.faces or snapshot.speakers is not self._speakers:
            self.faces = faces
            self._speakers = snapshot.speakers
            self.update()

    def set_theme(self, theme: Theme) -> None:
        self._theme = theme
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(self.rect(), QColor(self._theme.panel))  # seen in the corners
        stage = QPainterPath()
        stage.addRoundedRect(QRectF(self.rect()), 8, 8)
        painter.setClipPath(stage)
        if self._image is None or self._paused:
            self._draw_placeholder(painter)
            return
        painter.fillRect(self.rect(), QColor("#07090C"))
        place = self._place(self._image)
        painter.drawImage(place, self._image)
        if self.faces:
            painter.drawPixmap(QPointF(0, 0), self._drawn_faces(place))

    def _drawn_faces(self, place: QRectF) -> QPixmap:
        """All boxes with their tags; they change less often than the picture below them."""
        ratio = self.devicePixelRatioF()
        look = (self.faces, self._theme, self._speakers, place, self.size(), ratio, self.font())
        if look != self._boxes_look:
            self._boxes_look = look
            self._boxes = QPixmap(self.size() * ratio)
            self._boxes.setDevicePixelRatio(ratio)
            self._boxes.fill(Qt.GlobalColor.transparent)
            painter = QPainter(self._boxes)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            for face in self.faces:
                self._draw_face_box(painter, place, face)
            painter.end()
        return self._boxes

    def _place(self, image: QImage) -> QRectF:
        """Where the frame lies, centred, with its own aspect ratio."""
        scale = min(self.width() / image.width(), self.height() / image.height())
        width, height = image.width() * scale, image.height() * scale
        return QRectF((self.width() - width) / 2, (self.height() - height) / 2, width, height)

    def _draw_placeholder(self, painter: QPainter) -> None:
        painter.fillRect(self.rect(), QColor(self._theme.well))
        title, words = (
            ("Paused", "Nothing is heard, seen or recorded.")
            if self._paused
            else ("The picture is on its way", "The first frame has not come yet.")
            if self._has_video
            else (
                "Sound only",
                "This recording has no picture; words and voice are read all the same.",
            )
        )
        middle = QRectF(self.rect()).adjusted(18, 0, -18, 0)
        painter.setPen(QColor(self._theme.text))
        painter.setFont(scaled_font(self.font(), 1.1, bold=True))
        line = QFontMetricsF(painter.font()).height()
        top = middle.center().y() - 1.3 * line
        painter.drawText(
            QRectF(middle.left(), top, middle.width(), line), Qt.AlignmentFlag.AlignCenter, title
        )
        painter.setPen(QColor(self._theme.muted))
        painter.setFont(scaled_font(self.font(), 0.95))
        flags = int(
            Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
        )
        rest = QRectF(middle.left(), top + line + 4, middle.width(), middle.bottom() - top - line)
        painter.drawText(rest, flags, words)

    def _draw_face_box(self, painter: QPainter, place: QRectF, face: FaceSeen) -> None:
        left, top, width, height = face.box
        box = QRectF(
            place.left() + left * place.width(),
            place.top() + top * place.height(),
            width * place.width(),
            height * place.height(),
        )
        colour = self._theme.speaker(face.speaker)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(0, 0, 0, 130), 5))
        painter.drawRoundedRect(box, 6, 6)
        painter.setPen(QPen(colour, 2.5))
        painter.drawRoundedRect(box, 6, 6)
        said = opinion(face.expression) if face.expression else None
        if said is not None:
            self._draw_expression(painter, place, box, face, said)

    def _draw_expression(
        self, painter: QPainter, place: QRectF, box: QRectF, face: FaceSeen, said: tuple[str, float]
    ) -> None:
        """A small tag on the box: whose face, and the strongest expression in this frame."""
        colour = self._theme.speaker(face.speaker)
        painter.setFont(scaled_font(self.font(), 0.88, bold=True))
        metrics = QFontMetricsF(painter.font())
        height = metrics.height() + 4
        text = f"{said[0]} {percent(said[1])}"
        width = metrics.horizontalAdvance(text) + height + 8
        top = box.top() - height - 3
        if top < place.top() + 2:
            top = box.bottom() + 3
        left = min(max(box.left() - 1, place.left() + 2), place.right() - width - 2)
        top = min(top, place.bottom() - height - 2)
        tag = QRectF(left, top, width, height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawRoundedRect(tag, 5, 5)
        disc = QRectF(tag.left() + 2, tag.top() + 2, height - 4, height - 4)
        draw_face(painter, disc, said[0], self._theme.emotion(said[0]))
        painter.setPen(ink_on(colour))
        painter.drawText(tag.adjusted(height + 2, 0, 0, 0), _LEFT_MIDDLE, text)


class CaptionView(QWidget):
    """What is being said, or was said last, and how it reads; and whether somebody is speaking."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setAccessibleName("Live caption")
        self._theme = theme
        self._utterance: LabelledUtterance | OpenUtterance | None = None
        self._speakers: tuple[str, ...] = ()
        self._speaking: float | None = None
        self._running = False
        self.setMinimumHeight(104)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def speaking(self) -> str:
        """What the speaking indicator says; empty when nobody speaks."""
        return "" if self._speaking is None else f"speaking  {self._speaking:.0f} s"

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(360, round(QFontMetricsF(self.font()).height() * 6.2))

    def show_snapshot(self, snapshot: Snapshot) -> None:
        newest = snapshot.provisional or snapshot.newest
        speaking = (
            None
            if snapshot.speaking_since is None
            else float(int(max(0.0, snapshot.position - snapshot.speaking_since)))
        )
        running = snapshot.phase == "running"
        shown = (self._utterance, self._speakers, self._speaking, self._running)
        if (newest, snapshot.speakers, speaking, running) == shown:
            return
        self._utterance, self._speakers = newest, snapshot.speakers
        self._speaking, self._running = speaking, running
        self.setAccessibleDescription(newest.text if newest else "")
        self.update()

    def set_theme(self, theme: Theme) -> None:
        self._theme = theme
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(2, 4, -2, -2)
        painter.setFont(scaled_font(self.font(), 0.95, bold=True))
        height = QFontMetricsF(painter.font()).height() + 5
        row = QRectF(box.left(), box.top(), box.width(), height)
        self._draw_speaking(painter, row)
        words = QRectF(box.left(), row.bottom() + 8, box.width(), box.bottom() - row.bottom() - 8)
        flags = int(
            Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
        )
        utterance = self._utterance
        if utterance is None:
            painter.setPen(QColor(self._theme.muted))
            painter.setFont(scaled_font(self.font(), 1.1))
            waiting = "Listening for the first words" if self._running else "Nothing was said."
            painter.drawText(words, flags, waiting)
            return
        still_open = isinstance(utterance, OpenUtterance)
        name = speaker_name(self._speakers, utterance.speaker)
        width = min(chip_width(painter.font(), name), row.width() / 3)
        chip = QRectF(row.left(), row.top(), width, height)
        draw_chip(painter, chip, name, self._theme.speaker(utterance.speaker))
        label = f"{verdict(utterance)}{'?' if still_open else ''}"
        badge = QRectF(chip.right() + 8, row.top(), badge_width(painter.font(), label), height)
        draw_badge(painter, badge, utterance, label, self._theme)
        text = f"{utterance.text} …" if still_open else utterance.text
        painter.setPen(QColor(self._theme.muted if still_open else self._theme.text))
        painter.setFont(scaled_font(self.font(), 1.25))
        if QFontMetricsF(painter.font()).boundingRect(words, flags, text).height() > words.height():
            painter.setFont(scaled_font(self.font(), 1.0))
        painter.drawText(words, flags, text)

    def _draw_speaking(self, painter: QPainter, row: QRectF) -> None:
        if not self.speaking:
            return
        painter.save()
        painter.setFont(scaled_font(self.font(), 0.92))
        width = QFontMetricsF(painter.font()).horizontalAdvance(self.speaking)
        accent = QColor(self._theme.accent)
        painter.setPen(accent)
        text = QRectF(row.right() - width - 2, row.top(), width + 2, row.height())
        painter.drawText(text, _LEFT_MIDDLE, self.speaking)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(accent)
        centre = QPointF(text.left() - 11, row.center().y())
        painter.drawEllipse(centre, 4, 4)
        accent.setAlphaF(0.3)
        painter.setBrush(accent)
        painter.drawEllipse(centre, 7, 7)
        painter.restore()
