"""A dialogue over a small model, and a conversation that lets it be corrected without any media."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from app.conversation import Conversation
from app.dialogue import LiveDialogue
from app.events import SessionEnded, SessionStarted, StageFinished
from live_features.emotions import EMOTIONS
from sdt_model.checkpoints import Checkpoint
from sdt_model.config import SDTConfig
from sdt_model.dialogues import FeatureStatistics, UtteranceFeatures
from sdt_model.model import SDT

SIZES = (5, 6, 4)


def small_checkpoint(speakers: int = 4) -> Checkpoint:
    torch.manual_seed(3)
    text, audio, visual = SIZES
    config = SDTConfig(
        text_dim=text,
        audio_dim=audio,
        visual_dim=visual,
        hidden=16,
        heads=2,
        classes=EMOTIONS,
        speakers=speakers,
    )
    model = SDT(config).eval()
    for vector in model.missing.values():
        torch.nn.init.normal_(vector)
    plain = FeatureStatistics(
        tuple(np.zeros(size, np.float32) for size in SIZES),
        tuple(np.ones(size, np.float32) for size in SIZES),
    )
    return Checkpoint(model, plain, {}, unsure_below=0.2)


def of_words(texts: Sequence[str]) -> NDArray[np.float32]:
    rows = [np.random.default_rng(len(text)).normal(size=SIZES[0]) for text in texts]
    return np.array(rows, np.float32)


def small_features(seed: int) -> UtteranceFeatures:
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=size).astype(np.float32) for size in SIZES)
    return UtteranceFeatures(*(v if rng.random() < 0.85 else None for v in vectors))


def talk(utterances: int = 8) -> Callable[[Conversation], None]:
    """The work of a conversation in which two people take turns, and which is over at once."""

    def work(conversation: Conversation) -> None:
        state = conversation.state
        dialogue = LiveDialogue(
            small_checkpoint(),
            state,
            encode_text=of_words,
            answer=lambda attention: state.show(attention=attention),
        )
        state(
            SessionStarted(
                media_time=0.0,
                source="talk",
                duration=None,
                has_audio=True,
                has_video=False,
                device="CPU",
                weights={},
                speed=1.0,
            )
        )
        for index in range(utterances):
            start = 4.0 * index
            voice = f"voice {index % 2}"
            dialogue.meet(voice, start)
            dialogue.append(start, start + 3.0, voice, f"Sentence {index}", small_features(index))
            for stage, after in (("transcription", 0.31), ("features", 0.35), ("emotion", 0.6)):
                at = start + 3.0 + after
                state(
                    StageFinished(media_time=start + 3.0, emitted_at=at, index=index, stage=stage)
                )
            dialogue.revise()
        state.show(position=4.0 * utterances)
        end = 4.0 * utterances
        state(SessionEnded(media_time=end, reason="end_of_media", utterances=utterances))
        while not conversation.stopping.is_set():
            conversation.requests.wait(0.02)
            while (request := conversation.requests.take()) is not None:
                dialogue(request)

    return work
