"""Stages keep order, keep everything or the newest, end when told, and pass on what went wrong."""

import threading

import pytest

from app.workers import InlineStage, ThreadStage


def test_a_stage_handles_everything_in_order_before_it_finishes() -> None:
    handled: list[int] = []
    stage = ThreadStage("counter", handled.append, size=2)
    for number in range(50):
        stage.put(number)
    stage.finish()
    assert handled == list(range(50))
    assert stage.lost == 0


def test_a_lossy_stage_never_waits_and_keeps_the_newest() -> None:
    begun, go_on = threading.Event(), threading.Event()
    handled: list[int] = []

    def handle(number: int) -> None:
        begun.set()
        go_on.wait()
        handled.append(number)

    stage = ThreadStage("watcher", handle, size=2, lossy=True)
    stage.put(0)
    begun.wait()
    for number in range(1, 10):
        stage.put(number)
    go_on.set()
    stage.finish()
    assert handled == [0, 8, 9]
    assert stage.lost == 7


def test_what_a_handler_raises_comes_out_of_the_stage() -> None:
    def handle(number: int) -> None:
        raise ValueError(f"cannot take {number}")

    stage = ThreadStage("broken", handle, size=1)
    stage.put(7)
    with pytest.raises(ValueError, match="cannot take 7"):
        stage.finish()


def test_a_full_stage_whose_handler_failed_does_not_hang_its_feeder() -> None:
    def handle(number: int) -> None:
        raise ValueError("no")

    stage = ThreadStage("broken", handle, size=1)
    with pytest.raises(ValueError, match="no"):  # noqa: PT012 - which put notices is a race
        for number in range(100):
            stage.put(number)
    with pytest.raises(ValueError, match="no"):
        stage.finish()


def test_an_inline_stage_has_done_its_work_when_put_returns() -> None:
    handled: list[int] = []
    stage = InlineStage(handled.append)
    stage.put(1)
    assert handled == [1]
    stage.finish()


def test_what_is_offered_waits_for_what_must_be_done_and_only_the_newest_is_kept() -> None:
    begun, go_on = threading.Event(), threading.Event()
    handled: list[str] = []

    def handle(item: str) -> None:
        begun.set()
        go_on.wait()
        handled.append(item)

    stage = ThreadStage("recogniser", handle, size=4)
    stage.put("first")
    begun.wait()
    for item, urgency in (("old guess", 2), ("partial", 1), ("guess", 2)):
        stage.offer(item, urgency)
    stage.put("second")
    done = threading.Event()
    stage.offer("last", 0)
    go_on.set()
    while len(handled) < 5:
        done.wait(0.01)
    stage.finish()
    assert handled == ["first", "second", "guess", "partial", "last"]


def test_what_is_offered_is_left_when_the_stage_finishes() -> None:
    begun, go_on = threading.Event(), threading.Event()
    handled: list[str] = []

    def handle(item: str) -> None:
        begun.set()
        go_on.wait()
        handled.append(item)

    stage = ThreadStage("recogniser", handle, size=4)
    stage.put("first")
    begun.wait()
    stage.offer("guess")
    threading.Timer(0.05, go_on.set).start()
    stage.finish()
    assert handled == ["first"]


def test_an_inline_stage_does_nothing_that_does_not_have_to_be_done() -> None:
    handled: list[int] = []
    InlineStage(handled.append).offer(1)
    assert handled == []


def test_what_is_nudged_goes_before_what_waits_and_is_not_lost_at_the_end() -> None:
    begun, go_on = threading.Event(), threading.Event()
    handled: list[object] = []

    def handle(number: int) -> None:
        begun.set()
        go_on.wait()
        handled.append(number)

    stage = ThreadStage("recogniser", handle, size=4, between=lambda: handled.append("between"))
    for number in range(3):
        stage.put(number)
    begun.wait()
    stage.nudge()
    stage.nudge()
    go_on.set()
    stage.finish()
    assert handled == [0, "between", 1, 2]

    stage = ThreadStage("recogniser", handle, size=4, between=lambda: handled.append("between"))
    stage.nudge()
    stage.finish()
    assert handled[4:] == ["between"]
