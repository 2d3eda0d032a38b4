"""Make the shipped demo conversation again, or measure the one that is there.

    uv run --group demo python assets/demo/make_demo.py           demo.mp4, reference.json, .rttm
    uv run --group demo python assets/demo/make_demo.py --check   words, faces and pauses, measured

Both people are synthetic: no face and no voice of anybody is in it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from acting import FRAME_RATE, Moment, Utterance, act
from brushes import Image
from dialogue import DIALOGUE, SPEAKERS, TITLE, prosody_of
from faces import Painter
from looks import LOOKS
from scipy.signal import butter, sosfilt
from voices import LICENCES, SAMPLE_RATE, Samples, Voices

HERE = Path(__file__).parent
VIDEO, REFERENCE, RTTM = (HERE / f for f in ("demo.mp4", "reference.json", "reference.rttm"))

SEED = 11
WIDTH, HEIGHT = 960, 540
PANEL_WIDTH, PANEL_HEIGHT, GAP = 464, 516, 12
LEAD_IN, LEAD_OUT = 1.2, 2.2
SHORTEST_GAP, LONGEST_GAP = 1.0, 1.2
NOISE_FLOOR = 10 ** (-60 / 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="measure the files that are there")
    if parser.parse_args().check:
        from checks import check  # noqa: PLC0415 - loads Whisper and the face detector

        check(VIDEO, REFERENCE)
        return
    utterances = speak()
    duration = utterances[-1].end + LEAD_OUT
    parts = {speaker: act(speaker, utterances, duration, SEED) for speaker in SPEAKERS}
    encode(VIDEO, draw(parts), mix(utterances, duration))
    write_reference(utterances, duration)
    print(f"{VIDEO.name}: {duration:.1f} s, {VIDEO.stat().st_size / 1e6:.2f} MB")


def speak() -> list[Utterance]:
    """The whole dialogue, spoken and laid out with a pause between utterances."""
    voices = Voices(SEED)
    gaps = np.random.default_rng(SEED).uniform(SHORTEST_GAP, LONGEST_GAP, len(DIALOGUE))
    utterances = []
    start = LEAD_IN
    for index, (line, gap) in enumerate(zip(DIALOGUE, gaps, strict=True)):
        samples = voices.say(line.speaker, line.text, prosody_of(index))
        first = round(start * SAMPLE_RATE)
        begin, end = first / SAMPLE_RATE, (first + len(samples)) / SAMPLE_RATE
        utterances.append(
            Utterance(index, begin, end, line.speaker, line.text, line.emotion, samples)
        )
        start = end + gap
    return utterances


def mix(utterances: list[Utterance], duration: float) -> Samples:
    """Every utterance at its place over the faint noise of a room."""
    rng = np.random.default_rng(SEED)
    length = int(duration * SAMPLE_RATE)
    noise = sosfilt(butter(1, 1500, fs=SAMPLE_RATE, output="sos"), rng.standard_normal(length))
    track = noise * (NOISE_FLOOR / np.sqrt(np.mean(noise**2)))
    for utterance in utterances:
        first = round(utterance.start * SAMPLE_RATE)
        track[first : first + len(utterance.samples)] += utterance.samples
    return np.clip(track, -1, 1).astype(np.float32)


# Pictures ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Studio:
    """What a drawing process keeps: a painter and a surround for each speaker."""

    painters: dict[str, Painter]
    corners: np.ndarray
    border: np.ndarray

    @classmethod
    def open(cls) -> Studio:
        cv2.setNumThreads(1)
        painters = {name: Painter(LOOKS[name], PANEL_WIDTH, PANEL_HEIGHT) for name in SPEAKERS}
        return cls(painters, _rounded(0, 18), _rounded(0, 18) - _rounded(4, 14))

    def frame(self, moments: tuple[Moment, ...]) -> Image:
        """RGB of shape (540, 960, 3): everybody side by side, whoever speaks framed in light."""
        picture = np.full((HEIGHT, WIDTH, 3), (22, 25, 32), np.uint8)
        for place, (name, moment) in enumerate(zip(SPEAKERS, moments, strict=True)):
            panel = self.painters[name].paint(moment.expression, moment.pose)
            _name_tag(panel, name)
            left = GAP + place * (PANEL_WIDTH + GAP - 4)
            top = (HEIGHT - PANEL_HEIGHT) // 2
            region = picture[top : top + PANEL_HEIGHT, left : left + PANEL_WIDTH]
            lit = self.border * moment.speaking
            shown = panel * (1 - lit) + np.array((255, 214, 102)) * lit
            region[...] = (region * (1 - self.corners) + shown * self.corners).astype(np.uint8)
        return picture


_studio: list[Studio] = []


def _open_studio() -> None:
    _studio.append(Studio.open())


def _draw_frame(moments: tuple[Moment, ...]) -> Image:
    return _studio[0].frame(moments)


def draw(parts: dict[str, list[Moment]]) -> Iterator[Image]:
    """All frames in order, drawn by as many processes as there are cores."""
    with ProcessPoolExecutor(os.cpu_count(), initializer=_open_studio) as pool:
        yield from pool.map(_draw_frame, zip(*parts.values(), strict=True), chunksize=10)


def _rounded(inset: int, radius: int) -> np.ndarray:
    """Coverage (height, width, 1) of a panel with round corners, ``inset`` pixels smaller."""
    size = 4
    mask = np.zeros((PANEL_HEIGHT * size, PANEL_WIDTH * size), np.uint8)
    reach, edge = radius * size, inset * size
    right, bottom = PANEL_WIDTH * size - 1 - edge, PANEL_HEIGHT * size - 1 - edge
    cv2.rectangle(mask, (edge + reach, edge), (right - reach, bottom), 255, -1)
    cv2.rectangle(mask, (edge, edge + reach), (right, bottom - reach), 255, -1)
    for x in (edge + reach, right - reach):
        for y in (edge + reach, bottom - reach):
            cv2.circle(mask, (x, y), reach, 255, -1)
    small = cv2.resize(mask, (PANEL_WIDTH, PANEL_HEIGHT), interpolation=cv2.INTER_AREA)
    return small[..., None].astype(np.float64) / 255


def _name_tag(panel: Image, name: str) -> None:
    font, scale = cv2.FONT_HERSHEY_DUPLEX, 0.62
    (width, height), _ = cv2.getTextSize(name, font, scale, 1)
    left, bottom = 18, PANEL_HEIGHT - 20
    tag = panel[bottom - height - 9 : bottom + 9, left - 6 : left + width + 14]
    tag[...] = (tag * 0.35).astype(np.uint8)
    cv2.putText(panel, name, (left + 4, bottom), font, scale, (245, 245, 245), 1, cv2.LINE_AA)


# Files ------------------------------------------------------------------------------------


def encode(path: Path, frames: Iterator[Image], samples: Samples) -> None:
    """Write H.264 and AAC; the same frames and samples give the same bytes."""
    unfinished = path.with_name(f"unfinished-{path.name}")
    with av.open(str(unfinished), "w", options={"movflags": "+faststart"}) as container:
        container.flags |= av.container.Flags.bitexact.value
        video = container.add_stream("libx264", rate=FRAME_RATE)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.options = {"crf": "21", "preset": "medium", "tune": "animation", "threads": "1"}
        video.gop_size = 2 * FRAME_RATE
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        audio.bit_rate = 80_000
        for stream in (video, audio):
            stream.codec_context.flags |= av.codec.context.Flags.bitexact.value
        hop = SAMPLE_RATE // FRAME_RATE
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(video.encode(frame))
            block = samples[index * hop : (index + 1) * hop]
            sound = av.AudioFrame.from_ndarray(block[None], "fltp", "mono")
            sound.sample_rate, sound.pts = SAMPLE_RATE, index * hop
            sound.time_base = Fraction(1, SAMPLE_RATE)
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    unfinished.replace(path)


def write_reference(utterances: list[Utterance], duration: float) -> None:
    """Who said what when and how it was meant, as JSON and as RTTM."""
    reference = {
        "title": TITLE,
        "made_by": "assets/demo/make_demo.py: both voices synthesised, both faces drawn",
        "voices": LICENCES,
        "seed": SEED,
        "duration": round(duration, 3),
        "video": {"file": VIDEO.name, "sha256": hashlib.sha256(VIDEO.read_bytes()).hexdigest()},
        "utterances": [
            {
                "index": u.index,
                "start": round(u.start, 3),
                "end": round(u.end, 3),
                "speaker": u.speaker,
                "text": u.text,
                "emotion": u.emotion,
            }
            for u in utterances
        ],
    }
    REFERENCE.write_text(json.dumps(reference, indent=1) + "\n", encoding="utf-8", newline="\n")
    rows = (
        f"SPEAKER demo 1 {u.start:.3f} {u.end - u.start:.3f} <NA> <NA> {u.speaker} <NA> <NA>\n"
        for u in utterances
    )
    RTTM.write_text("".join(rows), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
