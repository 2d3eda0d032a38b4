"""Where the files that ship with the program lie."""

from pathlib import Path

ASSETS = Path(__file__).resolve().parent.parent / "assets"
DEMO_MEDIA = ASSETS / "demo" / "demo.mp4"
DEFAULT_CHECKPOINT = ASSETS / "sdt"
EXPRESSION_NETWORK = ASSETS / "expression"
SPEAKER_NETWORKS = ASSETS / "speakers"
VOICE_NETWORK = SPEAKER_NETWORKS / "voices.safetensors"
WRITTEN_ADAPTER = ASSETS / "text" / "written.safetensors"
"""What the text encoder has learned of words as their author wrote them."""
HEARD_ADAPTER = ASSETS / "text" / "heard.safetensors"
"""What it has learned of words as a speech recogniser writes them."""
