"""SDT over a conversation that is still going on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdt_model.config import MODALITIES, SDTConfig
from sdt_model.dialogues import Dialogue, DialogueBatch, UtteranceFeatures, collate
from sdt_model.errors import SDTError
from sdt_model.incremental_cache import DialogueCache, StackedSDT
from sdt_model.model import SDT, SDTOutput


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
    """The last reading of every utterance of the conversation in order, the newest last."""

    utterances: tuple[UtteranceEmotion, ...]

    @property
    def newest(self) -> UtteranceEmotion:
        return self.utterances[-1]


class IncrementalSDT:
    """Reads a conversation utterance by utterance, each with all that was said before it.

    Features are standardised ones (``FeatureStatistics.standardise``) and speakers are numbers
    below ``config.speakers``. What is read equals ``SDT.forward`` over the conversation so far, to
    rounding: nothing is approximated. :meth:`append` reads the newest utterance alone and leaves
    the past as it was last read; :meth:`refresh` then reads the past anew. Both return the whole
    conversation.

    With a ``window`` at most that many utterances are read together: when it overflows, its oldest
    quarter leaves at once, and those utterances keep their last emotions. The positions of those
    that stay count from 0 again.

    A model of one layer is read from caches, see :mod:`sdt_model.incremental_cache`: a new
    utterance costs little more than one alone. It is prepared once, in a copy of its weights. With
    more layers ``cached`` is false, and every call that reads runs the model over the dialogue.

    ``bfloat16`` keeps the large matrices of that copy in half precision: half the memory, and less
    of it to read for every utterance. Attention, its caches and the classifiers stay in float32. No
    share then moves by more than 0.005 from the full model: the largest differences that ``uv run
    python -m tests.benchmarks.sdt`` found are 0.0004 at the paper's size with random weights and
    0.0008 with the weights that ship; they grow with how sure a model is of itself. It pays on
    processors that multiply in bfloat16 (AVX-512 BF16, AMX); on others reading the past takes two
    to three times as long as in float32.

    Raises :class:`SDTError` for a window below 1, and for ``bfloat16`` with more than one layer.
    """

    def __init__(self, model: SDT, window: int | None = None, *, bfloat16: bool = False) -> None:
        if window is not None and window < 1:
            raise SDTError(f"the context window is {window}: give at least 1 utterance, or none")
        if bfloat16 and model.config.layers > 1:
            raise SDTError(
                f"a model with {model.config.layers} layers an encoder is read in the precision it "
                "has: leave out bfloat16"
            )
        self._model = model.eval()
        self._device = next(model.parameters()).device
        self._window = window
        self._weights = StackedSDT(model, bfloat16) if model.config.layers == 1 else None
        self.reset()

    def __len__(self) -> int:
        return self._left + len(self._features)

    @property
    def config(self) -> SDTConfig:
        return self._model.config

    @property
    def cached(self) -> bool:
        """Whether appending costs less than reading the dialogue from its start."""
        return self._weights is not None

    def reset(self) -> None:
        """Forget the conversation and free what was kept of it."""
        self._left = 0  # utterances that have left the window
        self._features: list[UtteranceFeatures] = []
        self._speakers: list[int] = []
        self._emotions: list[UtteranceEmotion] = []
        self._current: list[UtteranceEmotion] | None = []  # of the window, once known
        self._cache = self._rebuilt([], [])

    def append(self, features: UtteranceFeatures, speaker: int) -> DialogueEmotions:
        """Add an utterance and read it; the past keeps its last reading until :meth:`refresh`.

        Raises :class:`SDTError` when the utterance does not fit the model.
        """
        self._check(features, speaker)
        leaving = self._leaving()
        if leaving:
            del self._features[:leaving], self._speakers[:leaving]
            self._left += leaving
            self._cache = self._rebuilt(self._features, self._speakers)
        self._features.append(features)
        self._speakers.append(speaker)
        if self._cache is None:
            self._current = self._read(self._features, self._speakers)
            newest = self._current[-1]
        else:
            self._current = None
            output = self._cache.append(self._batch([features], [speaker]))
            (newest,) = _emotions(output, [features], self.config)
        self._emotions.append(newest)
        return DialogueEmotions(tuple(self._emotions))

    def preview(self, features: UtteranceFeatures, speaker: int) -> UtteranceEmotion:
        """How an utterance would read if it ended now; nothing is kept."""
        self._check(features, speaker)
        leaving = self._leaving()
        context, speakers = self._features[leaving:], self._speakers[leaving:]
        cache = self._rebuilt(context, speakers) if leaving else self._cache
        if cache is None:
            return self._read([*context, features], [*speakers, speaker])[-1]
        output = cache.preview(self._batch([features], [speaker]))
        return _emotions(output, [features], self.config)[0]

    def refresh(self) -> DialogueEmotions:
        """Read the past again in the light of what has been said since."""
        if self._current is None:
            self._current = self._read_all()
        self._emotions[self._left :] = self._current
        return DialogueEmotions(tuple(self._emotions))

    def attention(self, index: int) -> NDArray[np.float32]:
        """Where utterance ``index`` looks: shares (9, N) of all utterances, each row summing to 1.

        Rows are the encoders in the order of :data:`~sdt_model.model.PAIRS`, their heads averaged,
        of the last layer (:meth:`SDT.attention <sdt_model.model.SDT.attention>`). What comes later
        is looked at as well, as :meth:`refresh` does; what has left the window is not.

        Raises :class:`SDTError` where there is no such utterance, or not any more.
        """
        row = index - self._left
        if not 0 <= row < len(self._features):
            raise SDTError(
                f"there is no utterance {index} in sight: those from {self._left} to "
                f"{len(self) - 1} are"
            )
        with torch.inference_mode():
            if self._cache is None:
                batch = self._batch(self._features, self._speakers)
                heads = self._model.attention(batch)[0, :, :, row]  # (9, h, N)
            else:
                heads = self._cache.attention(row)
            weights = _numpy(heads.mean(1))
        return np.pad(weights, ((0, 0), (self._left, 0)))

    def relabel(self, speakers: Sequence[int]) -> DialogueEmotions:
        """Say anew who spoke each utterance, and read the dialogue again."""
        self._check_speakers(speakers)
        self._speakers = list(speakers[self._left :])
        return self._read_anew()

    def rewrite(
        self, features: Sequence[UtteranceFeatures], speakers: Sequence[int]
    ) -> DialogueEmotions:
        """Replace the features and the speaker of every utterance, and read the dialogue again.

        Those that have left the window keep their last reading.
        """
        self._check_speakers(speakers)
        if len(features) != len(self):
            raise SDTError(
                f"features of {len(features)} utterances for {len(self)}: give them for each"
            )
        for utterance in features:
            utterance.check(self.config)
        self._features = list(features[self._left :])
        self._speakers = list(speakers[self._left :])
        return self._read_anew()

    def edit(self, index: int, features: UtteranceFeatures) -> DialogueEmotions:
        """Replace the features of utterance ``index``, and read the dialogue again.

        One that has left the window keeps its last reading.
        """
        if not 0 <= index < len(self):
            raise SDTError(f"there is no utterance {index}: the dialogue has {len(self)}")
        features.check(self.config)
        if index >= self._left:
            self._features[index - self._left] = features
        return self._read_anew()

    def _check(self, features: UtteranceFeatures, speaker: int) -> None:
        features.check(self.config)
        self._check_speaker(speaker)

    def _check_speakers(self, speakers: Sequence[int]) -> None:
        if len(speakers) != len(self):
            raise SDTError(
                f"{len(speakers)} speakers for {len(self)} utterances: give one for each"
            )
        for speaker in speakers:
            self._check_speaker(speaker)

    def _check_speaker(self, speaker: int) -> None:
        if not 0 <= speaker < self.config.speakers:
            raise SDTError(
                f"speaker number {speaker} is outside the model's {self.config.speakers} (0 to "
                f"{self.config.speakers - 1}): map people to fewer numbers or use a model with more"
            )

    def _leaving(self) -> int:
        """How many utterances make room in the window for one more."""
        if self._window is None or len(self._features) < self._window:
            return 0
        return max(1, self._window // 4)

    def _read_anew(self) -> DialogueEmotions:
        self._cache = self._rebuilt(self._features, self._speakers)
        self._current = None
        return self.refresh()

    def _read_all(self) -> list[UtteranceEmotion]:
        if self._cache is None:
            return self._read(self._features, self._speakers)
        emotions: list[UtteranceEmotion] = []
        for output in self._cache.read():
            emotions += _emotions(output, self._features[len(emotions) :], self.config)
        return emotions

    def _read(
        self, features: Sequence[UtteranceFeatures], speakers: Sequence[int]
    ) -> list[UtteranceEmotion]:
        """Run the whole model over a dialogue."""
        if not features:
            return []
        with torch.inference_mode():
            output = self._model(self._batch(features, speakers))
            return _emotions(output, features, self.config)

    def _rebuilt(
        self, features: Sequence[UtteranceFeatures], speakers: Sequence[int]
    ) -> DialogueCache | None:
        """The caches of a dialogue; None for a model that is not read from caches."""
        if self._weights is None:
            return None
        cache = DialogueCache(self._weights)
        if features:
            cache.extend(self._batch(features, speakers))
        return cache

    def _batch(
        self, features: Sequence[UtteranceFeatures], speakers: Sequence[int]
    ) -> DialogueBatch:
        dialogue = Dialogue.from_utterances("live", features, speakers, self.config)
        return collate([dialogue], self.config).to(self._device)


@torch.inference_mode()
def _emotions(
    output: SDTOutput, utterances: Sequence[UtteranceFeatures], config: SDTConfig
) -> list[UtteranceEmotion]:
    """The reading of each row of ``output`` (1, R, ...), which are the first R ``utterances``."""
    fused, *students = (
        _numpy(logits[0].softmax(-1)) for logits in (output.fused, *output.students)
    )  # (1, R, C) -> (R, C)
    gates = _numpy(output.gates[0].mean(-1))  # (1, R, 3, d) -> (R, 3)
    norms = (output.gates[0] * output.hidden[0]).norm(dim=-1)  # (1, R, 3, d) -> (R, 3)
    contributions = _numpy(norms / norms.sum(-1, keepdim=True))
    emotions = []
    for i, utterance in enumerate(utterances[: len(fused)]):
        text, audio, visual = (
            None if vector is None or modality not in config.modalities else probabilities[i]
            for modality, vector, probabilities in zip(
                MODALITIES, utterance.vectors, students, strict=True
            )
        )
        emotions.append(UtteranceEmotion(fused[i], text, audio, visual, gates[i], contributions[i]))
    return emotions


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.float().cpu().numpy()
