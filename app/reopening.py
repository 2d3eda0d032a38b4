"""Corrections to a recorded session that is shown as it was, without its media and without Whisper.

What was measured of its utterances is in the session's folder, so the dialogue can be read again by
the checkpoint that read it first. Corrections are appended to what the folder holds: nothing of it
is lost, and they are there when the session is opened again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from app.corrections import Attention, LookBack, Request
from app.dialogue import Facts, Line, LiveDialogue, Marker, Person, RefusedError
from app.events import CUT_OFF, CorrectionRefused, Event, ProblemOccurred, SessionEnded
from app.narrator import Narrator
from app.options import ModelOptions
from app.session.features import FeatureLog, Vectors, fit
from app.session.files import open_to_append
from app.session.log import EventLog
from app.session.reader import RecordedSession
from app.state import Snapshot
from live_features.errors import UserFacingError
from live_features.weights import sha256_of
from sdt_model.checkpoints import WEIGHTS, load_checkpoint
from sdt_model.dialogues import UtteranceFeatures
from sdt_model.errors import SDTError


class Reopened:
    """A recorded session in which a person may put things right; for one thread.

    Models are loaded when the first thing is asked for. Use it in a ``with`` statement, which
    closes the folder's files.
    """

    def __init__(
        self,
        session: RecordedSession,
        now: Snapshot,
        tell: Callable[[Event], None],
        *,
        models: ModelOptions,
        answer: Callable[[Attention], None] | None = None,
    ) -> None:
        """``now`` is what the session's events come to; ``tell`` hears of what becomes of it."""
        self._session = session
        self._now = now
        self._tell = Narrator([self._keep, tell])
        self._tell.begin(now.utterances[-1].end if now.utterances else 0.0)
        self._show = tell
        self._models = models
        self._answer = answer
        self._dialogue: LiveDialogue | None = None
        self._encoder: Callable[[Sequence[str]], NDArray[np.float32]] | None = None
        self._log: EventLog | None = None
        self._features: FeatureLog | None = None
        self._may_write = True

    def __enter__(self) -> Reopened:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._log, self._features):
            if file is not None:
                file.close()
        self._log = self._features = None

    def __call__(self, request: Request) -> None:
        """Do what was asked; what cannot be done is told as an event."""
        if self._dialogue is None:
            try:
                self._dialogue = self._read()
            except UserFacingError as error:
                if not isinstance(request, LookBack):
                    self._show(CorrectionRefused(media_time=self._end, message=str(error)))
                return
        self._dialogue(request)

    @property
    def _end(self) -> float:
        return self._now.utterances[-1].end if self._now.utterances else 0.0

    def _read(self) -> LiveDialogue:
        name, card = self._session.name, self._session.card
        folder = self._models.checkpoint
        features = self._session.features(len(self._now.utterances))
        if len(features) < len(self._now.utterances):
            raise UserFacingError(self._session.lacks_features)
        try:
            checkpoint = load_checkpoint(folder)
        except SDTError as error:
            raise UserFacingError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
        sizes = checkpoint.config.feature_sizes
        same = sha256_of(folder / WEIGHTS) == card.checkpoint_sha256
        if not same or not all(fit(vectors, sizes) for vectors in features.values()):
            raise UserFacingError(
                f"{name} was read by another checkpoint, so this one would read all of it "
                "otherwise; give --checkpoint that of then, or read the session again."
            )
        dialogue = LiveDialogue(
            checkpoint,
            self._tell,
            encode_text=self._encode,
            answer=self._answer,
            keep=self._keep_features,
        )
        dialogue.restore(_facts(self._now, features))
        return dialogue

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        name = self._session.card.models.get("text_encoder", "")
        if name != self._models.text_encoder:
            raise RefusedError(
                f"The words were read by the text encoder {name}; give it as --text-encoder to "
                "correct them."
            )
        if self._encoder is None:
            # Transformers takes seconds to import, and only corrected words need it.
            from app.models import load_text_encoder, resolve_device  # noqa: PLC0415

            try:
                device = resolve_device(self._models.device)
                self._encoder = load_text_encoder(self._models, device)
            except UserFacingError as error:
                raise RefusedError(str(error)) from error
        return self._encoder(texts)

    def _keep(self, event: Event) -> None:
        if isinstance(event, CorrectionRefused) or not self._may_write:
            return
        try:
            if self._log is None:
                self._log = EventLog(self._session.folder, open_file=open_to_append)
                if self._now.phase != "ended":
                    # After the end corrections hold at every moment, before it from theirs on.
                    self._log(
                        SessionEnded(
                            media_time=self._end,
                            emitted_at=self._end,
                            reason=CUT_OFF,
                            utterances=len(self._now.utterances),
                        )
                    )
            self._log(event)
        except OSError as error:
            self._give_up(error)

    def _keep_features(self, index: int, features: UtteranceFeatures) -> None:
        if not self._may_write:
            return
        try:
            if self._features is None:
                self._features = FeatureLog(self._session.folder, open_file=open_to_append)
            self._features.add(index, features.vectors)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._may_write = False
        self._show(
            ProblemOccurred(
                media_time=self._end,
                message=f"{self._session.name} cannot be written ({error.strerror}), so what you "
                "correct is not kept in it; export it instead.",
            )
        )


def _facts(now: Snapshot, features: dict[int, Vectors]) -> Facts:
    people = tuple(
        Person(name, colour, here=speaker not in now.left)
        for speaker, (name, colour) in enumerate(zip(now.speakers, now.colours, strict=True))
    )
    markers = [Marker(0.0, "", here=False)] * max((m.number + 1 for m in now.marks), default=0)
    for mark in now.marks:
        markers[mark.number] = Marker(mark.time, mark.note)
    return Facts(
        people=people,
        voices={f"speaker {number}": number for number in range(len(people))},
        lines=tuple(
            Line(
                start=u.start,
                end=u.end,
                voice=f"speaker {u.speaker}",
                face=None,
                speaker=u.speaker,
                text=u.text,
                features=UtteranceFeatures(*features[u.index]),
                reading=u.reading,
            )
            for u in now.utterances
        ),
        on=now.on,
        markers=tuple(markers),
    )
