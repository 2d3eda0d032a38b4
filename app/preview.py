"""The newest picture, handed from the camera or file thread to whoever wants to look at it."""

from __future__ import annotations

from live_features.media import VideoFrame


class LatestFrame:
    """A slot for one frame; a newer one replaces it and nobody ever waits.

    Binding an attribute is atomic in Python, so readers see either the old frame or the new one.
    """

    def __init__(self) -> None:
        self._frame: VideoFrame | None = None

    def put(self, frame: VideoFrame) -> None:
        self._frame = frame

    def get(self) -> VideoFrame | None:
        return self._frame
