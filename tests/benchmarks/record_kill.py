"""Kills a recording at random moments, and looks at what is left of it.

    uv run python -m tests.benchmarks.record_kill --kills 30

The demo is played at 1x through stand-in devices into ``sdt-live --record``. Each kill comes at a
moment drawn from the 20 s after the session's folder was made. A session counts as whole if it
opens, plays, and lacks no utterance that had been printed. One that was killed before any sound
had come opens, too, and is empty.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from live_features.errors import UserFacingError
from tests.recording_process import RecordingProcess, what_is_left

_WITHIN = 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    whole, missing, opened, played, torn, behind = 0, 0, 0, 0, 0, 0.0
    print("moment  printed  left  sound s  pictures")
    for number in range(options.kills):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / f"{number}.sdt"
            after = moments.uniform(0.0, _WITHIN)
            process = RecordingProcess(folder)
            while not folder.exists():
                time.sleep(0.005)
            time.sleep(after)
            process.kill()
            try:
                left = what_is_left(folder)
            except UserFacingError as error:
                print(f"{after:5.2f} s  {len(process.printed):7d}  {error}")
                continue
            opened += 1
            played += left.sound > 0
            lost = len([text for text in process.printed if text not in left.utterances])
            missing += lost
            torn += bool(left.notes)
            whole += not lost and left.sound > 0
            behind = max(behind, left.last_end - left.sound)
            print(
                f"{after:5.2f} s  {len(process.printed):7d}  {len(left.utterances):4d}  "
                f"{left.sound:7.2f}  {left.pictures:8d}"
            )
    print(
        json.dumps(
            {
                "kills": options.kills,
                "whole": whole,
                "opened": opened,
                "played": played,
                "utterances_missing": missing,
                "torn_last_lines": torn,
                "sound_missing_s": round(max(behind, 0.0), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
