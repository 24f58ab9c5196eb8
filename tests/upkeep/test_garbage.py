"""When a daemon looks for garbage: never while it works on something."""

import asyncio
import gc
import weakref

import pytest

from engine.testing.kit import virtual_time
from engine.upkeep import garbage
from engine.upkeep.garbage import Garbage


class Ring:
    """Refers to itself, so that only a collection frees it."""

    def __init__(self):
        self.itself = self


@pytest.fixture
def collector(monkeypatch):
    monkeypatch.setattr(garbage, "YOUNG", 10)
    monkeypatch.setattr(garbage, "MIDDLE", 1)
    before = gc.get_threshold()
    work = [1]
    made = Garbage(lambda: not work)
    yield made, work
    made.close()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def old_ring():
    """Make a ring that has outlived the collections of young objects, and let go of it."""
    ring = Ring()
    left = weakref.ref(ring)
    kept = [[] for _ in range(2000)]
    assert gc.get_count()[2] >= garbage.ROUNDS
    del ring, kept
    return left


def test_nothing_is_looked_through_while_something_is_worked_on(collector):
    made, work = collector
    left = old_ring()
    assert not made.due()
    assert left() is not None
    work.clear()
    assert made.due()


def test_what_nobody_refers_to_goes_in_a_quiet_moment(collector):
    made, work = collector
    left = old_ring()
    work.clear()

    async def quiet():

        task = asyncio.ensure_future(made.run())
        await asyncio.sleep(2 * garbage.PERIOD_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time(quiet())
    assert left() is None
