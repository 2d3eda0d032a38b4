"""Under load work is left out in a fixed order, and taken up again in the opposite one."""

from app.pressure import Pressure


def test_nothing_is_left_out_while_little_waits() -> None:
    pressure = Pressure()
    assert not pressure.update(2.5)
    assert pressure.effort.without == ()
    assert pressure.effort.partials


def test_work_is_left_out_in_order_and_comes_back_in_the_opposite_one() -> None:
    pressure = Pressure()
    seen = []
    for backlog in (0.0, 4.0, 7.0, 20.0, 5.0, 2.0, 0.0):
        pressure.update(backlog)
        effort = pressure.effort
        seen.append((effort.partials, effort.analysis_rate < 5.0, effort.beam_size))
    everything, no_partials = (True, False, None), (False, False, None)
    fewer_faces, narrow_beam = (False, True, None), (False, True, 1)
    assert seen == [
        everything,
        no_partials,
        fewer_faces,
        narrow_beam,
        fewer_faces,
        no_partials,
        everything,
    ]


def test_a_backlog_that_wavers_around_a_threshold_does_not_make_the_effort_waver() -> None:
    pressure = Pressure()
    assert pressure.update(3.1)
    assert not any(pressure.update(backlog) for backlog in (2.9, 3.1, 2.0, 3.2))
    assert pressure.update(1.0)
