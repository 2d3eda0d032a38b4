"""A corpus measured by several processes, what is done kept, and put together as dialogues."""

from __future__ import annotations

import json
import math
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.assets import EXPRESSION_NETWORK, VOICE_NETWORK
from app.extraction import Measured
from app.extraction_process import begin, load_measured, measure, rows
from live_features import weights
from live_features.corpora import Corpus, CorpusDialogue, CorpusRecording
from live_features.errors import UserFacingError
from live_features.expression import EMBEDDING_SIZE, WEIGHTS_FILE
from live_features.voices import ACOUSTIC_SIZE
from sdt_model.corpora import held_out_dialogues
from sdt_model.dialogues import Dialogue

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Takes N texts, gives their embeddings (N, D)."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A recording that could not be read, and why."""

    recording: str
    reason: str


class MeasuredCorpus:
    """Voices and faces of a corpus, a file a recording in the folder ``work``.

    A file counts only for the very utterances, and the networks, that it was made with.
    """

    def __init__(self, corpus: Corpus, work: Path) -> None:
        self._corpus = corpus
        self._work = work
        networks = (EXPRESSION_NETWORK / WEIGHTS_FILE, VOICE_NETWORK)
        self._networks = [weights.sha256_of(network) for network in networks]

    def measure(self, processes: int, advance: Callable[[int], None]) -> list[Skipped]:
        """Measure what has not been, and say which recordings could not be read.

        ``advance`` hears how many recordings more are finished. When this is interrupted, what is
        finished stays, and the next call goes on.

        Raises:
            UserFacingError, SDTError: weights are missing, or the work cannot be stored.
        """
        recordings = self._corpus.recordings
        missing = [recording for recording in recordings if self._stored(recording) is None]
        advance(len(recordings) - len(missing))
        if not missing:
            return []
        for needed in (weights.SILERO, weights.MTCNN):
            weights.packaged(needed)  # what is wrong is told here, not by every process
        reasons: dict[str, str] = {}
        # Fresh interpreters everywhere, as on Windows and macOS: a forked one would inherit the
        # locks of libraries whose threads it does not have.
        pool = ProcessPoolExecutor(
            min(processes, len(missing)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=begin,
        )
        others = set(multiprocessing.active_children())
        try:
            tasks = {
                pool.submit(measure, recording, self._file(recording), self._made_of(recording)): (
                    recording.name
                )
                for recording in missing
            }
            for task in as_completed(tasks):
                if (reason := task.result()) is not None:
                    reasons[tasks[task]] = reason
                advance(1)
        except BrokenProcessPool as error:
            raise UserFacingError(
                "A process of the extraction ended, perhaps for want of memory: start it again, it "
                "goes on where it was, with a smaller number of --processes."
            ) from error
        except KeyboardInterrupt:
            # Files appear whole or not at all, so nothing is lost but what was being measured.
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        return [Skipped(r.name, reasons[r.name]) for r in missing if r.name in reasons]

    def dialogues(
        self, encode: Encode, advance: Callable[[int], None]
    ) -> dict[str, list[Dialogue]]:
        """The corpus's dialogues by split, ``train``, ``dev`` and ``test``.

        Recordings that could not be read are missing voice and face. Where the corpus has no dev
        split, a tenth of the training dialogues becomes it. ``advance`` hears of each dialogue.

        Raises:
            SDTError: there are too few dialogues.
        """
        splits: dict[str, list[Dialogue]] = {}
        for split, dialogues in self._corpus.splits.items():
            splits[split] = []
            for dialogue in dialogues:
                splits[split].append(self._dialogue(dialogue, encode))
                advance(1)
        if "dev" not in splits:
            splits["train"], splits["dev"] = held_out_dialogues(splits["train"])
        return splits

    def _dialogue(self, dialogue: CorpusDialogue, encode: Encode) -> Dialogue:
        utterances = dialogue.utterances
        measured: list[Measured] = []
        for recording in dialogue.recordings:
            nothing = (Measured(None, None),) * len(recording.utterances)
            measured += self._stored(recording) or nothing
        worded = np.array([bool(utterance.text) for utterance in utterances])
        text = embed_dialogue(encode, [utterance.text for utterance in utterances])
        return Dialogue(
            id=dialogue.name,
            text=np.where(worded[:, None], text, np.float32(0)),
            audio=rows([m.audio for m in measured], ACOUSTIC_SIZE),
            visual=rows([m.visual for m in measured], EMBEDDING_SIZE),
            present=np.stack(
                [
                    worded,
                    np.array([m.audio is not None for m in measured]),
                    np.array([m.visual is not None for m in measured]),
                ],
                axis=1,
            ),
            speakers=np.array([utterance.speaker for utterance in utterances], np.int64),
            labels=np.array([utterance.label for utterance in utterances], np.int64),
        )

    def _file(self, recording: CorpusRecording) -> Path:
        return self._work / f"{recording.name}.safetensors"

    def _made_of(self, recording: CorpusRecording) -> str:
        spans = [
            (u.name, u.speaker, u.start, None if math.isinf(u.end) else u.end)
            for u in recording.utterances
        ]
        # A clip that was cut off, and copied again since, is another one.
        sizes = [_size(path) for path in (recording.sound, recording.pictures)]
        return json.dumps({"networks": self._networks, "utterances": spans, "bytes": sizes})

    def _stored(self, recording: CorpusRecording) -> tuple[Measured, ...] | None:
        return load_measured(self._file(recording), self._made_of(recording))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def embed_dialogue(encode: Encode, texts: Sequence[str]) -> NDArray[np.float32]:
    """Embeddings (N, D) of a dialogue's N utterances, in the order in which they were said."""
    return encode(texts)
