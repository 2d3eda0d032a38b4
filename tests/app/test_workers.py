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
