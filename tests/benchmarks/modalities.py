"""What the demo's labels come to without words, voice or face.

    uv run python -m tests.benchmarks.modalities

The demo is read once; then its dialogue is read again with modalities switched off, as a person
does in the window. Prints how many labels are others than with everything, and how many are those
that were intended (``assets/demo/reference.json``).
"""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
from rich.console import Console
from rich.table import Table

from app.assets import ASSETS, DEMO_MEDIA
from app.corrections import SENSES, Attention, LookBack, Switch, Undo
from app.dialogue import LiveDialogue
from app.engine import LiveEngine
from app.events import Event, UtteranceLabelled
from app.models import load_models
from app.options import ModelOptions
from app.state import SessionState
from live_features.clocks import VirtualClock
from live_features.emotions import MODALITIES
from live_features.sources.recording import RecordingSource
from sdt_model.dialogues import UtteranceFeatures


def main() -> None:
    models = load_models(ModelOptions(offline=True))
    events: list[Event] = []
    features: dict[int, UtteranceFeatures] = {}
    clock = VirtualClock()
    source = RecordingSource(DEMO_MEDIA, clock)
    LiveEngine(source, clock, models, [events.append], keep=features.__setitem__).run()

    state, answers = SessionState(), list[Attention]()
    dialogue = LiveDialogue(
        models.checkpoint, state, encode_text=models.encode_text, answer=answers.append
    )
    for event in events:
        if isinstance(event, UtteranceLabelled):
            voice = f"voice {event.speaker}"
            dialogue.meet(voice, event.start)
            dialogue.append(event.start, event.end, voice, event.text, features[event.index])
    dialogue.revise()

    told = json.loads((ASSETS / "demo" / "reference.json").read_text(encoding="utf-8"))
    intended = [utterance["emotion"] for utterance in told["utterances"]]
    before = [u.emotion for u in state.snapshot().utterances]
    table = Table("switched off", "labels that change", "as intended", "of these unsure")
    result: dict[str, list[int]] = {}
    for count in range(3):
        for off in combinations(MODALITIES, count):
            for modality in off:
                dialogue(Switch(modality, on=False))
            now = state.snapshot().utterances
            right = [u for u, meant in zip(now, intended, strict=True) if u.emotion == meant]
            changed = sum(u.emotion != b for u, b in zip(now, before, strict=True))
            numbers = [changed, len(right), sum(u.unsure for u in right)]
            name = " and ".join(SENSES[modality] for modality in off) or "nothing"
            result[name] = numbers
            table.add_row(name, *map(str, numbers))
            for _ in off:
                dialogue(Undo())
    for index in range(len(before)):
        dialogue(LookBack(index))
    shares = np.array([attention.mean for attention in answers])
    even = float((-shares * np.log(shares)).sum(1).mean() / np.log(len(before)))
    console = Console()
    console.print(table)
    console.print(f"Attention is {even:.0%} as even as it can be (entropy, mean of the encoders).")
    print(json.dumps({"changed_right_unsure": result, "attention_evenness": round(even, 4)}))


if __name__ == "__main__":
    main()
