"""The settings: which devices, which models, where recordings go, which colours."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.options import BEST_WHISPER
from app.ui import places
from app.ui.devices import DevicesHere
from app.ui.preferences import (
    COLOURS,
    LANGUAGES,
    MOST_DELAY,
    MOST_PEOPLE,
    MOST_UNSURE,
    Preferences,
)
from app.ui.theme import scaled_font
from live_features.weights import DEFAULT_TEXT_ENCODER, DEFAULT_WHISPER

_WIDTH = 640
_COMPUTE = {
    "auto": "Whatever is best",
    "cpu": "Processor",
    "mps": "Apple's GPU (mps)",
    "cuda": "NVIDIA's GPU (cuda)",
}


class SettingsDialog(QDialog):
    """Edits preferences; :attr:`chosen` are those that it shows. ``look_again`` asks for devices
    that were plugged in since."""

    look_again = Signal()

    def __init__(
        self,
        parent: QWidget,
        preferences: Preferences,
        *,
        devices: DevicesHere,
        sizes: Sequence[str] = (DEFAULT_WHISPER,),
        typed: Sequence[str] = (),
        may_look: bool = True,
    ) -> None:
        """``sizes`` are the Whisper sizes on this machine, ``typed`` the options of the command
        line that hold instead."""
        super().__init__(parent)
        self.setWindowTitle("Settings")
        self.setModal(True)

        self.microphone = _combo("Microphone")
        self.camera = _combo("Camera")
        self.camera_delay = QDoubleSpinBox()
        self.camera_delay.setRange(-MOST_DELAY, MOST_DELAY)
        self.camera_delay.setSingleStep(0.05)
        self.camera_delay.setSuffix(" s")
        self.camera_delay.setToolTip("How much later pictures come than the sound they belong to")
        self.two_channels = QCheckBox("&Two people, one on each channel of the microphone")
        self.speakers = QSpinBox()
        self.speakers.setRange(0, MOST_PEOPLE)
        self.speakers.setSpecialValueText("not known")
        self.speakers.setToolTip("How many people talk in live sessions, where that is known")
        self.whisper = _combo("Speech recogniser")
        self.whisper.setEditable(True)
        self.whisper.setToolTip(
            "A faster-whisper size, Hugging Face name or folder; what is not here is fetched once"
        )
        self.language = _combo("Language")
        self.language.setToolTip("For Whisper models that know several languages")
        self.device = _combo("Compute on")
        self.text_encoder = QLineEdit()
        self.text_encoder.setPlaceholderText(DEFAULT_TEXT_ENCODER)
        self.text_encoder.setToolTip(
            "A Hugging Face text encoder or its folder; the checkpoint must be trained on it"
        )
        self.checkpoint = _Folder("The one that ships", "Choose the folder of an SDT checkpoint")
        self.record = QCheckBox("&Record live sessions")
        self.recordings = _Folder(
            str(places.recordings_folder()), "Choose where sessions are recorded to"
        )
        self.colours = _combo("Colours")
        self.unsure_below = QSpinBox()
        self.unsure_below.setRange(-1, MOST_UNSURE)
        self.unsure_below.setSuffix(" %")
        self.unsure_below.setSpecialValueText("as the model was made to")
        self.unsure_below.setToolTip(
            "Less likely answers are called unsure, in the window and in exports; it holds at "
            "once, but for what was made of a recorded session when it was recorded"
        )
        self._look = QPushButton("&Look again")
        self._look.setToolTip("Look for devices that were plugged in since")
        self._look.setEnabled(may_look)
        self._look.clicked.connect(self._ask_again)
        self.trouble = QLabel()
        self.trouble.setObjectName("warning")
        self.trouble.setWordWrap(True)
        self.trouble.hide()
        self._buttons = self._make_buttons()
        self._lay_out(typed)
        self._fill_lists()
        self.show_sizes(sizes)
        self.show_devices(devices)
        self._show(preferences)

    def _make_buttons(self) -> QDialogButtonBox:
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok
            | QDialogButtonBox.StandardButton.Cancel
            | QDialogButtonBox.StandardButton.RestoreDefaults
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        defaults = buttons.button(QDialogButtonBox.StandardButton.RestoreDefaults)
        defaults.setText("&Defaults")
        for button in buttons.buttons():
            button.setIcon(QIcon())
        defaults.clicked.connect(lambda: self._show(Preferences()))
        return buttons

    def _fill_lists(self) -> None:
        for code, name in LANGUAGES.items():
            self.language.addItem(name, code)
        for name in COLOURS:
            self.colours.addItem({"system": "As the system"}.get(name, name.capitalize()), name)
        for name, text in _COMPUTE.items():
            apple = sys.platform == "darwin"
            if name not in ("mps", "cuda") or (name == "mps") == apple:
                self.device.addItem(text, name)

    @property
    def chosen(self) -> Preferences:
        return Preferences(
            microphone=self.microphone.currentData(),
            camera=self.camera.currentData(),
            camera_delay=round(self.camera_delay.value(), 2),
            two_channels=self.two_channels.isChecked(),
            speakers=self.speakers.value(),
            whisper=self._chosen_whisper(),
            language=self.language.currentData(),
            device=self.device.currentData(),
            text_encoder=self.text_encoder.text().strip() or DEFAULT_TEXT_ENCODER,
            checkpoint=self.checkpoint.text(),
            record=self.record.isChecked(),
            recordings=self.recordings.text(),
            colours=self.colours.currentData(),
            unsure_below=self.unsure_below.value(),
        )

    def show_devices(self, devices: DevicesHere) -> None:
        """Offer these, and keep what is chosen."""
        microphone, camera = self.microphone.currentData(), self.camera.currentData()
        self.microphone.clear()
        default = f" ({devices.microphones[0]})" if devices.microphones else ""
        self.microphone.addItem(f"The system's{default}", "")
        for name in devices.microphones:
            self.microphone.addItem(name, name)
        self.camera.clear()
        self.camera.addItem("None", -1)
        for index, name in devices.offered_cameras:
            self.camera.addItem(name, index)
        self.trouble.setText(devices.problem)
        self.trouble.setVisible(bool(devices.problem))
        self._look.setText("&Look again")
        if microphone is not None:
            self._choose_devices(microphone, camera)

    def show_sizes(self, sizes: Sequence[str]) -> None:
        """Offer these Whisper sizes, and keep what is chosen."""
        chosen = self._chosen_whisper() if self.whisper.count() else None
        self.whisper.clear()
        self.whisper.addItem(f"Largest that keeps up live, {DEFAULT_WHISPER} for recordings", "")
        self.whisper.addItem("Largest that keeps up, always", BEST_WHISPER)
        for size in sizes:
            self.whisper.addItem(size, size)
        if chosen is not None:
            self._choose_whisper(chosen)

    def _show(self, preferences: Preferences) -> None:
        self._choose_devices(preferences.microphone, preferences.camera)
        self.camera_delay.setValue(preferences.camera_delay)
        self.two_channels.setChecked(preferences.two_channels)
        self.speakers.setValue(preferences.speakers)
        self._choose_whisper(preferences.whisper)
        _choose(self.language, preferences.language, preferences.language)
        _choose(self.device, preferences.device, preferences.device)
        encoder = preferences.text_encoder
        self.text_encoder.setText("" if encoder == DEFAULT_TEXT_ENCODER else encoder)
        self.checkpoint.set_text(preferences.checkpoint)
        self.record.setChecked(preferences.record)
        self.recordings.set_text(preferences.recordings)
        _choose(self.colours, preferences.colours, preferences.colours)
        self.unsure_below.setValue(preferences.unsure_below)

    def _choose_devices(self, microphone: str, camera: int) -> None:
        _choose(self.microphone, microphone, f"{microphone} (not there now)")
        _choose(self.camera, camera, f"Camera {camera} (not there now)")

    def _choose_whisper(self, name: str) -> None:
        _choose(self.whisper, name, name)

    def _chosen_whisper(self) -> str:
        """An entry of the list, or what was typed."""
        text = self.whisper.currentText().strip()
        index = self.whisper.findText(text)
        return str(self.whisper.itemData(index)) if index >= 0 else text

    def _ask_again(self) -> None:
        self._look.setText("Looking …")
        self.look_again.emit()

    def _lay_out(self, typed: Sequence[str]) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 18, 24, 16)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        form.setHorizontalSpacing(14)
        form.setVerticalSpacing(8)
        form.addRow(self._title("Live sessions"))
        microphone = QHBoxLayout()
        microphone.setSpacing(8)
        microphone.addWidget(self.microphone, 1)
        microphone.addWidget(self._look)
        self._row(form, "&Microphone", microphone, self.microphone)
        form.addRow("", self.trouble)
        form.addRow("", self.two_channels)
        self._row(form, "&Camera", self.camera)
        self._row(form, "Camera &delay", self.camera_delay)
        self._row(form, "&People", self.speakers)
        form.addRow("", self.record)
        self._row(form, "Recordings &in", self.recordings, self.recordings.edit)
        form.addRow(self._title("Models"))
        self._row(form, "&Whisper", self.whisper)
        self._row(form, "La&nguage", self.language)
        self._row(form, "C&ompute on", self.device)
        self._row(form, "Te&xt encoder", self.text_encoder)
        self._row(form, "Chec&kpoint", self.checkpoint, self.checkpoint.edit)
        form.addRow(self._title("What is shown"))
        self._row(form, "Un&sure below", self.unsure_below)
        self._row(form, "Colo&urs", self.colours)
        column.addLayout(form)
        note = "Devices and models hold for the next session, the rest at once."
        if typed:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in typed)
            note += f" What was typed when the program was started holds instead: {options}."
        words = QLabel(note)
        words.setObjectName("muted")
        words.setWordWrap(True)
        column.addSpacing(6)
        column.addWidget(words)
        column.addWidget(self._buttons)
        self.setMinimumWidth(_WIDTH)

    def _title(self, text: str) -> QLabel:
        title = QLabel(text)
        title.setFont(scaled_font(self.font(), 1.15, bold=True))
        title.setContentsMargins(0, 6, 0, 0)
        return title

    @staticmethod
    def _row(
        form: QFormLayout, name: str, field: QWidget | QHBoxLayout, buddy: QWidget | None = None
    ) -> None:
        label = QLabel(name)
        target = buddy or field
        assert isinstance(target, QWidget)
        label.setBuddy(target)
        target.setAccessibleName(name.replace("&", ""))
        form.addRow(label, field)


class _Folder(QWidget):
    """A folder, empty for the usual one, with a button to look for it."""

    def __init__(self, usual: str, caption: str) -> None:
        super().__init__()
        self._caption = caption
        self.edit = QLineEdit()
        self.edit.setPlaceholderText(usual)
        self.edit.setClearButtonEnabled(True)
        browse = QPushButton("Browse …")
        browse.setToolTip(caption)
        browse.setAccessibleName(caption)
        browse.clicked.connect(self._browse)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self.edit, 1)
        row.addWidget(browse)

    def text(self) -> str:
        return self.edit.text().strip()

    def set_text(self, text: str) -> None:
        self.edit.setText(text)

    def _browse(self) -> None:
        start = self.text() or self.edit.placeholderText()
        dialog = QFileDialog(self, self._caption, start if Path(start).is_dir() else "")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.set_text)
        dialog.open()


def _combo(name: str) -> QComboBox:
    combo = QComboBox()
    combo.setAccessibleName(name)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return combo


def _choose(combo: QComboBox, data: object, otherwise: str) -> None:
    """Select the entry with ``data``, which is added as ``otherwise`` where it is not there."""
    index = combo.findData(data)
    if index < 0:
        combo.addItem(otherwise, data)
        index = combo.count() - 1
    combo.setCurrentIndex(index)
