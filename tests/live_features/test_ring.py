"""The ring between an audio callback and its reader."""

import threading
import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from live_features.sources.ring import Gap, SampleRing


def _numbered(first: int, count: int) -> np.ndarray:
    return np.arange(first + 1, first + count + 1, dtype=np.float32)[:, None]


@given(
    size=st.integers(1, 20),
    steps=st.lists(
        st.tuples(st.sampled_from(["write", "skip", "read"]), st.integers(0, 30)), max_size=40
    ),
)
def test_what_is_read_is_what_was_written_with_gaps_where_it_did_not_fit(size, steps):
    """Each frame carries its number, so that every one is in its place or accounted for."""
    ring = SampleRing(size, 1)
    written = 0
    read = np.zeros(0, np.float32)

    def take(most: int) -> bool:
        nonlocal read
        heard = ring.read(most)
        if heard is None:
            return False
        part = np.zeros(heard.frames) if isinstance(heard, Gap) else heard[:, 0]
        assert len(part) <= most
        read = np.concatenate([read, part])
        return True

    for step, count in steps:
        if step == "write":
            ring.write(_numbered(written, count))
            written += count
        elif step == "skip":
            ring.skip(count)
            written += count
        else:
            take(count + 1)
        assert ring.heard == written
        assert ring.taken == len(read)
    ring.settle()
    while take(7):
        pass
    assert len(read) == written
    there = read != 0
    assert np.array_equal(read[there], np.arange(1, written + 1)[there])


def test_a_ring_that_is_read_in_time_loses_nothing_between_two_threads():
    ring = SampleRing(1000, 2)
    total = 50_000
    samples = np.random.default_rng(0).uniform(0.1, 1, (total, 2)).astype(np.float32)

    def write() -> None:
        for start in range(0, total, 160):
            while ring.heard - ring.taken > 800:
                time.sleep(0.0001)
            ring.write(samples[start : start + 160])

    writer = threading.Thread(target=write)
    writer.start()
    parts = []
    while sum(map(len, parts)) < total:
        heard = ring.read(500)
        if heard is not None:
            assert not isinstance(heard, Gap)
            parts.append(heard)
    writer.join()
    assert np.array_equal(np.concatenate(parts), samples)


def test_a_loss_of_unknown_length_is_a_gap_of_no_frames():
    ring = SampleRing(10, 1)
    ring.write(_numbered(0, 2))
    ring.skip(0)
    ring.write(_numbered(2, 1))
    assert ring.read(10)[:, 0].tolist() == [1, 2]
    assert ring.read(10) == Gap(0)
    assert ring.read(10)[:, 0].tolist() == [3]
    assert ring.read(10) is None
