"""Take the README's picture: the demo in the window, at the moment given in seconds.

    xvfb-run -s "-screen 0 1440x900x24" uv run python assets/screenshots/take.py 66 demo.png

On a machine with a screen, ``xvfb-run`` and what belongs to it can be left out.
"""

import sys
from pathlib import Path

from app.assets import DEMO_MEDIA
from app.conversation import Conversation
from app.options import RunOptions
from app.ui.run import run_window

if __name__ == "__main__":
    seconds, name = float(sys.argv[1]), sys.argv[2]
    picture = Path(__file__).parent / name
    demo = Conversation(RunOptions(DEMO_MEDIA))
    sys.exit(run_window(demo, close_when_ended=True, screenshot_at=(seconds, picture)))
