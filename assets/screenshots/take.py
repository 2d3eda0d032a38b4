"""Take the README's picture: the demo in the window, at the moment given in seconds.

    xvfb-run -s "-screen 0 1440x900x24" uv run python assets/screenshots/take.py 66 demo.png

On a machine with a screen, ``xvfb-run`` and what belongs to it can be left out.
"""

import sys
from pathlib import Path

from app.assets import DEMO_MEDIA
from app.cli import run_windowed
from app.options import RunOptions

if __name__ == "__main__":
    seconds, name = float(sys.argv[1]), sys.argv[2]
    picture = Path(__file__).parent / name
    sys.exit(run_windowed(RunOptions(DEMO_MEDIA), screenshot_at=(seconds, picture)))
