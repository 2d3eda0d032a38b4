"""SDT at the paper's size: reading a growing conversation, and training.

    uv run python -m tests.benchmarks.sdt [--device cuda]

For dialogues of n utterances it times adding the newest and reading it, the same with the past read
again, and running the full model over the dialogue, with weights in float32 and in bfloat16; then
an epoch of ``sdt_model.training`` against the same epoch written out plainly. Weights and features
are random: neither changes the work. How far bfloat16 moves the shares is also measured with the
weights that ship, on random features.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from app.assets import DEFAULT_CHECKPOINT
from sdt_model.checkpoints import load_checkpoint
from sdt_model.config import SDTConfig
from sdt_model.dialogues import Dialogue, UtteranceFeatures, collate
from sdt_model.incremental import DialogueEmotions, IncrementalSDT, UtteranceEmotion
from sdt_model.model import SDT, SDTOutput
from sdt_model.training import TrainingOptions, fit

LENGTHS = (1, 10, 50, 100, 200, 400)
SHIPPED_LENGTH = 200
REPEATS = 7
EPOCHS, STEPS, BATCH, UTTERANCES = 5, 4, 4, 30
IEMOCAP = SDTConfig(
    text_dim=1024,
    audio_dim=1582,
    visual_dim=342,
    classes=("happy", "sad", "neutral", "angry", "excited", "frustrated"),
    speakers=2,
)


@dataclass(frozen=True, slots=True)
class Timing:
    """Median seconds for a dialogue that has just got its n-th utterance."""

    newest: float
    refresh: float
    full: float


def random_dialogue(length: int, seed: int, config: SDTConfig = IEMOCAP) -> Dialogue:
    rng = np.random.default_rng(seed)
    text, audio, visual = (
        rng.normal(size=(length, size)).astype(np.float32) for size in config.feature_sizes
    )
    return Dialogue(
        id=f"random-{seed}",
        text=text,
        audio=audio,
        visual=visual,
        present=np.ones((length, 3), bool),
        speakers=rng.integers(config.speakers, size=length),
        labels=rng.integers(len(config.classes), size=length),
    )


def time_reading(model: SDT, device: str, bfloat16: bool) -> tuple[dict[int, Timing], float]:
    """Timings by n, and the largest difference between the two ways in any share or gate."""
    around = REPEATS // 2
    dialogue = random_dialogue(max(LENGTHS) + around, seed=0)
    live = IncrementalSDT(model, bfloat16=bfloat16)
    timings, difference = {}, 0.0
    for length in LENGTHS:
        # The three are timed in turn, at n itself and just around it, so that whatever else the
        # machine does meets all three.
        samples = []
        for end in range(length - around, length + around + 1) if length > 1 else [1] * REPEATS:
            if end == 1:
                live.reset()
            while len(live) < end - 1:
                _append(live, dialogue)
            live.refresh()
            start = perf_counter()
            newest = _append(live, dialogue).newest
            appended = perf_counter()
            everything = live.refresh()
            refreshed = perf_counter()
            expected = _full(model, dialogue.prefix(end), device)
            finished = perf_counter()
            samples.append((appended - start, refreshed - start, finished - refreshed))
            difference = max(
                difference,
                _difference([newest], expected[-1:]),
                _difference(everything.utterances, expected),
            )
        timings[length] = Timing(*(median(column) for column in zip(*samples, strict=True)))
    return timings, difference


def shipped_difference(device: str) -> float:
    """The largest difference that bfloat16 makes to the shipped weights in any share or gate."""
    model = load_checkpoint(DEFAULT_CHECKPOINT).model.to(device)
    dialogue = random_dialogue(SHIPPED_LENGTH, seed=0, config=model.config)
    live, difference = IncrementalSDT(model, bfloat16=True), 0.0
    for end in range(1, len(dialogue) + 1):
        expected = _full(model, dialogue.prefix(end), device)
        difference = max(difference, _difference([_append(live, dialogue).newest], expected[-1:]))
    return max(difference, _difference(live.refresh().utterances, expected))


def time_growth(model: SDT, short: int, long: int) -> float:
    """Median time of appending to a long dialogue over that to a short one, taken in turn."""
    dialogue = random_dialogue(long + REPEATS, seed=0)
    sessions, samples = [], []
    for length in (short, long):
        live = IncrementalSDT(model)
        while len(live) < length - REPEATS:
            _append(live, dialogue)
        sessions.append(live)
    for _ in range(2 * REPEATS):
        times = []
        for live in sessions:
            start = perf_counter()
            _append(live, dialogue)
            times.append(perf_counter() - start)
        samples.append(times)
    at_short, at_long = (median(column) for column in zip(*samples, strict=True))
    return at_long / at_short


def _append(live: IncrementalSDT, dialogue: Dialogue) -> DialogueEmotions:
    row = len(live)
    text, audio, visual = (values[row] for values in dialogue.features)
    return live.append(UtteranceFeatures(text, audio, visual), int(dialogue.speakers[row]))


@torch.inference_mode()
def _full(model: SDT, dialogue: Dialogue, device: str) -> NDArray[np.float32]:
    """All shares and gates (N, 4 C + 3) of a plain forward: fused, text, audio, visual, gates."""
    output = model(collate([dialogue], model.config).to(device))
    shares = [logits[0].softmax(-1) for logits in (output.fused, *output.students)]
    return torch.cat([*shares, output.gates[0].mean(-1)], dim=-1).cpu().numpy()


def _difference(emotions: Sequence[UtteranceEmotion], expected: NDArray[np.float32]) -> float:
    read = [np.hstack([e.fused, e.text, e.audio, e.visual, e.gates]) for e in emotions]
    return float(np.abs(np.stack(read) - expected).max())


def time_training(device: str) -> tuple[float, float]:
    """Median seconds a step of ``fit``, all around its epochs included, and of a plain loop."""
    dialogues = [random_dialogue(UTTERANCES, seed) for seed in range(STEPS * BATCH)]
    options = TrainingOptions(epochs=EPOCHS + 1, batch_size=BATCH)
    plain_model = SDT(IEMOCAP).to(device).train()
    optimiser = torch.optim.Adam(
        plain_model.parameters(), lr=options.learning_rate, weight_decay=options.l2
    )
    ends, resumed, plain = [], [], []

    def plain_epoch(*_: object) -> None:
        # Between two epochs of ``fit``, so that whatever else the machine does meets both.
        ends.append(perf_counter())
        for first in range(0, len(dialogues), BATCH):
            batch = collate(dialogues[first : first + BATCH], IEMOCAP).to(device)
            assert batch.labels is not None
            loss = plain_loss(plain_model(batch), batch.labels[batch.mask], batch.mask)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss.item()
        resumed.append(perf_counter())
        plain.append(resumed[-1] - ends[-1])

    dev = [random_dialogue(1, seed=0)]
    fit(SDT(IEMOCAP), dialogues, dev, options, device=device, on_epoch=plain_epoch)
    ours = [end - start for start, end in zip(resumed, ends[1:], strict=False)]
    return median(ours) / STEPS, median(plain[1:]) / STEPS


def plain_loss(output: SDTOutput, truth: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    teacher = output.fused[mask]
    loss = F.cross_entropy(teacher, truth)
    for logits in output.students:
        student = logits[mask]
        loss = loss + F.cross_entropy(student, truth)
        loss = loss + F.kl_div(student.log_softmax(-1), teacher.softmax(-1), reduction="batchmean")
    return loss


def peak_megabytes(device: str) -> float | None:
    """Most memory held so far: on the GPU, or else by the process; None where that is unknown."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _speedups(timings: dict[int, Timing], what: str) -> dict[str, float]:
    return {str(n): round(t.full / getattr(t, what), 2) for n, t in timings.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.sdt", description="Measure SDT.")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or mps")
    device = parser.parse_args(arguments).device

    torch.manual_seed(0)
    before = peak_megabytes(device)
    model = SDT(IEMOCAP).to(device).eval()
    timings, difference = time_reading(model, device, bfloat16=False)
    peak = peak_megabytes(device)
    halved, halved_difference = time_reading(model, device, bfloat16=True)
    shipped = shipped_difference(device)
    growth = time_growth(model, 10, 400)
    ours, plain = time_training(device)

    console = Console(width=100)
    table = Table("n", "append + newest", "append + refresh", "full re-run", "newest", "refresh")
    table.title = f"SDT, paper size (IEMOCAP), {device}, median of {REPEATS}"
    for weights, by_length in (("float32", timings), ("bfloat16", halved)):
        table.add_section()
        for length, timing in by_length.items():
            table.add_row(
                f"{length} {weights}",
                *(f"{1e3 * t:.1f} ms" for t in (timing.newest, timing.refresh, timing.full)),
                f"{timing.full / timing.newest:.1f}×",
                f"{timing.full / timing.refresh:.1f}×",
            )
    console.print(table)
    console.print(f"append + newest, n = 400 over n = 10: {growth:.2f}×")
    console.print(
        f"largest difference from the full model: {difference:.1e}; "
        f"in bfloat16 {halved_difference:.1e}, with the shipped weights {shipped:.1e}"
    )
    console.print(f"training step {1e3 * ours:.0f} ms, plain loop {1e3 * plain:.0f} ms")
    result = {
        "device": device,
        "threads": torch.get_num_threads(),
        "speedup_newest": _speedups(timings, "newest"),
        "speedup_refresh": _speedups(timings, "refresh"),
        "speedup_newest_bf16": _speedups(halved, "newest"),
        "speedup_refresh_bf16": _speedups(halved, "refresh"),
        "append_growth_10_400": round(growth, 3),
        "append_ms": {str(n): round(1e3 * t.newest, 2) for n, t in timings.items()},
        "append_ms_bf16": {str(n): round(1e3 * t.newest, 2) for n, t in halved.items()},
        "full_ms": {str(n): round(1e3 * t.full, 2) for n, t in timings.items()},
        "max_abs_diff": difference,
        "max_abs_diff_bf16": halved_difference,
        "max_abs_diff_bf16_shipped": shipped,
        "train_step_ratio": round(ours / plain, 3),
        "peak_mb": None if peak is None else round(peak),
        "peak_mb_before_model": None if before is None else round(before),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
