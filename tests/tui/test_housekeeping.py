"""Garbage is collected when nobody is typing."""

from __future__ import annotations

import gc

import pytest

from tui.housekeeping import EVERY_S, QUIET_S, Housekeeping


@pytest.fixture
def collector():
    """The collector as it was before, whatever a test does to it."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_nothing_is_touched_before_it_begins(collector):
    assert not Housekeeping().due(1000.0, 1)
    assert gc.get_freeze_count() == 0


def test_it_waits_until_the_keyboard_is_quiet_and_does_not_repeat_itself(collector):
    keeping = Housekeeping()
    keeping.begin()
    keeping.keyed(100.0)

    assert not keeping.due(100.0 + QUIET_S / 2, 1)
    assert keeping.due(100.0 + QUIET_S, 1)

    keeping.tidy(200.0, 1)
    assert not keeping.due(200.0 + EVERY_S / 2, 1)
    assert keeping.due(200.0 + EVERY_S, 1)
    assert keeping.due(200.0 + QUIET_S, 2)  # other components are kept now


def test_what_goes_in_a_circle_is_freed_although_it_had_been_put_aside(collector):
    class Circle:
        freed = 0

        def __init__(self):
            self.me = self

        def __del__(self):
            Circle.freed += 1

    keeping = Housekeeping()
    keeping.begin()
    circle = Circle()
    keeping.tidy(1.0, 1)
    del circle
    assert Circle.freed == 0

    keeping.tidy(2.0, 2)

    assert Circle.freed == 1
