"""The clocks a recording runs on."""

import threading
import time

import pytest

from live_features.clocks import RealClock, VirtualClock


def _waiting(clock: RealClock, until: float) -> threading.Thread:
    thread = threading.Thread(target=clock.wait_until, args=(until,), daemon=True)
    thread.start()
    return thread


def _returned(thread: threading.Thread, within: float = 10.0) -> bool:
    thread.join(within)
    return not thread.is_alive()


def test_virtual_clock_never_waits():
    clock = VirtualClock()
    clock.wait_until(1e9)
    clock.stop()
    clock.wait_until(2e9)
    assert clock.speed is None


def test_real_clock_starts_with_the_first_wait_and_waits_long_enough():
    clock = RealClock()
    time.sleep(0.02)
    before = time.monotonic()
    clock.wait_until(0.05)
    assert time.monotonic() - before >= 0.05
    assert clock.speed == 1


def test_real_clock_counts_from_the_start_and_not_from_the_last_wait():
    clock = RealClock()
    before = time.monotonic()
    for step in range(1, 6):
        clock.wait_until(step * 0.02)
    clock.wait_until(0.05)
    assert time.monotonic() - before >= 0.1


def test_speed_multiplies_media_time():
    clock = RealClock(speed=1000)
    before = time.monotonic()
    clock.wait_until(50)
    assert time.monotonic() - before >= 0.05
    assert _returned(_waiting(clock, 51))


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_speed_has_to_be_positive(speed):
    with pytest.raises(ValueError, match="positive"):
        RealClock(speed)


def test_stop_ends_present_and_future_waits():
    clock = RealClock()
    waiters = [_waiting(clock, 1e6), _waiting(clock, 2e6)]
    clock.stop()
    assert all(_returned(waiter) for waiter in waiters)
    assert _returned(_waiting(clock, 3e6))


def test_pause_holds_media_time_and_resume_lets_it_run_on():
    clock = RealClock(speed=1000)
    clock.wait_until(1)
    clock.pause()
    clock.pause()
    waiter = _waiting(clock, 50)
    assert not _returned(waiter, within=0.2)
    clock.resume()
    clock.resume()
    assert _returned(waiter)


def test_a_wait_that_is_under_way_is_paused_too():
    clock = RealClock()
    waiter = _waiting(clock, 0.3)
    clock.pause()
    assert not _returned(waiter, within=0.6)
    clock.resume()
    assert _returned(waiter)


def test_paused_before_the_start_stays_at_zero():
    clock = RealClock(speed=1000)
    clock.pause()
    waiter = _waiting(clock, 10)
    assert not _returned(waiter, within=0.1)
    clock.resume()
    assert _returned(waiter)


def test_stop_ends_a_paused_wait():
    clock = RealClock()
    clock.pause()
    waiter = _waiting(clock, 1)
    clock.stop()
    assert _returned(waiter)
