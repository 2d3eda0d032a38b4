"""Pictures are made once, when they are first looked at."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from live_features.media import VideoFrame


def test_a_picture_is_made_for_whoever_asks_first_and_kept_for_the_others() -> None:
    made: list[NDArray[np.uint8]] = []

    def make() -> NDArray[np.uint8]:
        made.append(np.full((2, 3, 3), len(made), np.uint8))
        return made[-1]

    frame = VideoFrame(make, 1.5)
    assert frame.time == 1.5
    assert not made
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda _: frame.image, range(16)))
    assert len(made) == 1
    assert all(image is made[0] for image in images)


def test_a_picture_that_is_there_is_handed_on_as_it_is() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    assert VideoFrame(image, 0.0).image is image
