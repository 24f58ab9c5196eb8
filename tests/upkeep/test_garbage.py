"""When a daemon looks for garbage: not while it works on something, unless much has ended."""

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
    count = {"held": 0, "ended": 0}
    made = Garbage(lambda: not work, lambda: count["held"], lambda: count["ended"])
    made.count = count
    yield made, work
    made.close()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def old_ring():
    """Make a ring that has outlived the collections of young objects, and let go of it."""
    ring = Ring()
    left = weakref.ref(ring)
    kept = [[] for _ in range(200)]
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


def test_a_daemon_that_is_never_quiet_looks_when_as_many_have_ended_as_are_left(collector):
    made, _ = collector
    made.count.update(held=garbage.ENDED * 2, ended=garbage.ENDED * 2 - 1)
    assert not made.due()
    made.count["ended"] += 1
    assert made.due()
    left = old_ring()

    async def busy():
        task = asyncio.ensure_future(made.run())
        await asyncio.sleep(garbage.PERIOD_S * 1.5)
        assert left() is None
        assert not made.due()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time(busy())


def test_a_daemon_that_is_never_quiet_looks_in_the_end(collector):
    made, _ = collector
    kept = []
    while gc.get_count()[2] < garbage.LATE:
        assert not made.due()
        kept.append([])
    assert made.due()
