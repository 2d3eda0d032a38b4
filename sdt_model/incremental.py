"""SDT over a conversation that is still going on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdt_model.config import SDTConfig
from sdt_model.dialogues import Dialogue, UtteranceFeatures, collate
from sdt_model.errors import SDTError
from sdt_model.model import SDT


@dataclass(frozen=True, slots=True, eq=False)
class UtteranceEmotion:
    """What SDT makes of one utterance.

    ``fused`` (C,) are probabilities; ``text``, ``audio``, ``visual`` (C,) those of the students,
    None where the modality is missing. ``gates`` (3,) is the multimodal gate's mean over the hidden
    dimensions and ``contributions`` (3,) are the shares of ‖g_m ⊙ H_m‖; both sum to 1 over text,
    audio, visual. A mean gate sits near 1/3; a contribution shows what the gate let through.
    """

    fused: NDArray[np.float32]
    text: NDArray[np.float32] | None
    audio: NDArray[np.float32] | None
    visual: NDArray[np.float32] | None
    gates: NDArray[np.float32]
    contributions: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DialogueEmotions:
    """Every utterance of the conversation in order, the newest last."""

    utterances: tuple[UtteranceEmotion, ...]

    @property
    def newest(self) -> UtteranceEmotion:
        return self.utterances[-1]


class IncrementalSDT:
    """Reads a conversation utterance by utterance, each with all that was said before it.

    Features are standardised ones (``FeatureStatistics.standardise``) and speakers are numbers
    below ``config.speakers``. Every call that returns :class:`DialogueEmotions` covers the whole
    conversation; the newest utterance is always exact, and after :meth:`refresh` so is the past.

    With a ``window`` at most that many utterances are read together: when it overflows, its oldest
    quarter leaves at once, and those utterances keep their last emotions.

    The full model runs again over the dialogue at every call, so a call costs a forward pass.
    """

    def __init__(self, model: SDT, window: int | None = None) -> None:
        if window is not None and window < 1:
            raise SDTError(f"the context window is {window}: give at least 1 utterance, or none")
        self._model = model.eval()
        self._window = window
        self.reset()

    def __len__(self) -> int:
        return len(self._features)

    @property
    def config(self) -> SDTConfig:
        return self._model.config

    def reset(self) -> None:
        """Forget the conversation."""
        self._features: list[UtteranceFeatures] = []
        self._speakers: list[int] = []
        self._emotions: list[UtteranceEmotion] = []

    def append(self, features: UtteranceFeatures, speaker: int) -> DialogueEmotions:
        """Add an utterance; raises :class:`SDTError` when it does not fit the model."""
        self._check(features, speaker)
        self._features.append(features)
        self._speakers.append(speaker)
        return self.refresh()

    def preview(self, features: UtteranceFeatures, speaker: int) -> UtteranceEmotion:
        """How an utterance would read if it ended now; nothing is kept."""
        self._check(features, speaker)
        return self._read([*self._features, features], [*self._speakers, speaker])[-1]

    def refresh(self) -> DialogueEmotions:
        """Read the past again in the light of what has been said since."""
        if self._features:
            emotions = self._read(self._features, self._speakers)
            self._emotions[len(self._features) - len(emotions) :] = emotions
        return DialogueEmotions(tuple(self._emotions))

    def relabel(self, speakers: Sequence[int]) -> DialogueEmotions:
        """Say anew who spoke each utterance, and read the dialogue again."""
        if len(speakers) != len(self):
            raise SDTError(
                f"{len(speakers)} speakers for {len(self)} utterances: give one for each"
            )
        for speaker in speakers:
            self._check_speaker(speaker)
        self._speakers = list(speakers)
        return self.refresh()

    def edit(self, index: int, features: UtteranceFeatures) -> DialogueEmotions:
        """Replace the features of utterance ``index``, and read the dialogue again."""
        if not 0 <= index < len(self):
            raise SDTError(f"there is no utterance {index}: the dialogue has {len(self)}")
        features.check(self.config)
        self._features[index] = features
        return self.refresh()

    def _check(self, features: UtteranceFeatures, speaker: int) -> None:
        features.check(self.config)
        self._check_speaker(speaker)

    def _check_speaker(self, speaker: int) -> None:
        if not 0 <= speaker < self.config.speakers:
            raise SDTError(
                f"speaker number {speaker} is outside the model's {self.config.speakers} (0 to "
                f"{self.config.speakers - 1}): map people to fewer numbers or use a model with more"
            )

    def _start(self, count: int) -> int:
        """The first of ``count`` utterances that is still read."""
        if self._window is None or count <= self._window:
            return 0
        block = max(1, self._window // 4)
        return -(-(count - self._window) // block) * block

    @torch.inference_mode()
    def _read(
        self, features: Sequence[UtteranceFeatures], speakers: Sequence[int]
    ) -> list[UtteranceEmotion]:
        start = self._start(len(features))
        context = features[start:]
        dialogue = Dialogue.from_utterances("live", context, speakers[start:], self.config)
        device = next(self._model.parameters()).device
        output = self._model(collate([dialogue], self.config).to(device))

        fused, *students = (
            _numpy(logits[0].softmax(-1)) for logits in (output.fused, *output.students)
        )  # (1, N, C) -> (N, C)
        gates = _numpy(output.gates[0].mean(-1))  # (1, N, 3, d) -> (N, 3)
        norms = (output.gates[0] * output.hidden[0]).norm(dim=-1)  # (1, N, 3, d) -> (N, 3)
        contributions = _numpy(norms / norms.sum(-1, keepdim=True))
        emotions = []
        for i, utterance in enumerate(context):
            text, audio, visual = (
                None if vector is None else probabilities[i]
                for vector, probabilities in zip(utterance.vectors, students, strict=True)
            )
            emotions.append(
                UtteranceEmotion(fused[i], text, audio, visual, gates[i], contributions[i])
            )
        return emotions


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.float().cpu().numpy()
