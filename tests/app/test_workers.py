"""Stages keep order, keep everything or the newest, end when told, and pass on what went wrong."""

import threading

import pytest

from app.workers import AheadStage, ThreadStage, Turns


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


def test_stages_that_work_ahead_tell_in_the_order_in_which_things_came_in() -> None:
    slow_may_go = threading.Event()
    told: list[str] = []
    turns = Turns("turns", size=8)

    def work_slowly(item: str) -> str:
        assert slow_may_go.wait(10)
        return item.upper()

    def work_fast(item: str) -> str:
        slow_may_go.set()
        return item.upper()

    slow = AheadStage("slow", turns, work_slowly, told.append)
    fast = AheadStage("fast", turns, work_fast, told.append)
    slow.put("a")
    fast.put("b")
    slow.put("c")
    slow.finish()
    fast.finish()
    turns.finish()
    assert told == ["A", "B", "C"]


def test_what_a_stage_that_works_ahead_raises_comes_out_of_its_turns() -> None:
    def work(item: str) -> str:
        raise ValueError(item)

    turns = Turns("turns", size=8)
    stage = AheadStage("broken", turns, work, lambda outcome: None)
    stage.put("a")
    stage.finish()
    with pytest.raises(ValueError, match="a"):
        turns.finish()


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
