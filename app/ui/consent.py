"""The card before the first live session: what is captured, and what it may not be used for."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from app.ui.theme import scaled_font

_WIDTH = 620

LAW = "Regulation (EU) 2024/1689 (AI Act), Article 5(1)(f)"

POINTS = (
    (
        "What is captured",
        "The sound of {microphone} and {camera}, from when the session begins until it ends. "
        "Tell everybody who can be heard or seen.",
    ),
    (
        "Where it goes",
        "Nowhere. Everything is computed on this machine and nothing is sent; nothing is kept "
        "unless you record or export it.",
    ),
    (
        "What a label is",
        "An expression is not a feeling. A label says how people tend to call such words, such a "
        "voice and such a face, and it is often wrong. Decide nothing about a person by it.",
    ),
    (
        "What is prohibited",
        "In the European Union it is prohibited to infer the emotions of employees at work or of "
        f"pupils and students in education, but for medical or safety reasons: {LAW}.",
    ),
)


class ConsentCard(QDialog):
    """Accepted once a person says that they understand; nothing has been captured by then."""

    def __init__(self, parent: QWidget, *, microphone: str, camera: str) -> None:
        super().__init__(parent)
        self.setWindowTitle("Before you talk")
        self.setModal(True)
        title = QLabel("Before you talk")
        title.setFont(scaled_font(self.font(), 1.6, bold=True))
        points = QGridLayout()
        points.setHorizontalSpacing(20)
        points.setVerticalSpacing(14)
        points.setColumnStretch(1, 1)
        for row, (name, words) in enumerate(POINTS):
            head = QLabel(name)
            head.setObjectName("title")
            text = QLabel(words.format(microphone=microphone, camera=camera))
            text.setTextFormat(Qt.TextFormat.PlainText)
            text.setWordWrap(True)
            top = Qt.AlignmentFlag.AlignTop
            points.addWidget(head, row, 0, alignment=top)
            points.addWidget(text, row, 1, alignment=top)
        buttons = QDialogButtonBox()
        self.agree = buttons.addButton("I &understand", QDialogButtonBox.ButtonRole.AcceptRole)
        self.refuse = buttons.addButton("&Cancel", QDialogButtonBox.ButtonRole.RejectRole)
        self.agree.setObjectName("primary")
        self.agree.setToolTip("Go on; this card is not shown again")
        self.refuse.setToolTip("Go back; nothing is captured (Esc)")
        self.refuse.setDefault(True)
        self.refuse.setFocus()
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(28, 24, 28, 20)
        column.setSpacing(18)
        column.addWidget(title)
        column.addLayout(points)
        column.addWidget(buttons)
        # Wrapped text knows its height only once it knows its width.
        self.setFixedSize(_WIDTH, column.totalHeightForWidth(_WIDTH))
        self.setAccessibleDescription(
            " ".join(words.format(microphone=microphone, camera=camera) for _, words in POINTS)
        )
