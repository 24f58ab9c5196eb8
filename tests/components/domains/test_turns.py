"""Acts that wait for their turn: in order, so many and so long, told and cancelled meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from components.domains.turns import MOST, Turns
from engine.core.faults import BadDescription, Busy, Ended
from engine.testing.kit import virtual_time


def silent(text):
    del text


def story(play):
    def run():
        virtual_time(play(Turns(lambda: "app:vm")))

    return run


async def take(turns, name, done, limit_s=60.0):
    await turns.take(name, limit_s, silent)
    done.append(name)


def test_those_who_wait_have_their_turn_in_order():
    async def play(turns):
        done, told = [], []
        await turns.take("a", 0, silent)
        tasks = [asyncio.create_task(take(turns, name, done)) for name in "bcd"]
        await asyncio.sleep(1)
        late = asyncio.create_task(turns.take("e", 60.0, told.append))
        await asyncio.sleep(1)
        assert told == ["waits for its turn after a and 3 more"]
        for _ in range(4):
            turns.give_back()
            with pytest.raises(Busy):  # also at the very moment between two
                await turns.take("quick", 0, silent)
            await asyncio.sleep(1)
        await asyncio.gather(*tasks, late)
        assert done == ["b", "c", "d"]
        turns.give_back()
        await turns.take("free", 0, silent)

    story(play)()


def test_one_that_does_not_wish_to_wait_is_told_what_is_under_way_and_since_when():
    async def play(turns):
        await turns.take("save", 0, silent)
        await asyncio.sleep(5)
        with pytest.raises(Busy, match="save has been under way for 5 s"):
            await turns.take("suspend", 0, silent)

    story(play)()


def test_waiting_has_an_end_and_who_waits_after_it_goes_on():
    async def play(turns):
        done = []
        await turns.take("a", 0, silent)
        first = asyncio.create_task(take(turns, "b", done, 3.0))
        second = asyncio.create_task(take(turns, "c", done))
        with pytest.raises(Busy, match="a has been under way for 3 s; 3 s were waited"):
            await first
        turns.give_back()
        await second
        assert done == ["c"]

    story(play)()


@pytest.mark.parametrize("granted", [True, False])
def test_one_that_is_cancelled_makes_way(granted):
    async def play(turns):
        done = []
        await turns.take("a", 0, silent)
        first = asyncio.create_task(take(turns, "b", done))
        second = asyncio.create_task(take(turns, "c", done))
        await asyncio.sleep(1)
        if granted:  # its turn has come, and it has not noticed yet
            turns.give_back()
        first.cancel()
        await asyncio.sleep(1)
        if not granted:
            turns.give_back()
        await second
        assert first.cancelled()
        assert done == ["c"]

    story(play)()


def test_only_so_many_wait():
    async def play(turns):
        await turns.take("a", 0, silent)
        waiting = [asyncio.create_task(take(turns, str(n), [])) for n in range(MOST)]
        await asyncio.sleep(1)
        with pytest.raises(Busy, match=f"{MOST} others wait already"):
            await turns.take("b", 60.0, silent)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        turns.give_back()
        await turns.take("b", 0, silent)

    story(play)()


def test_the_end_of_the_machine_is_the_end_of_waiting():
    async def play(turns):
        await turns.take("a", 0, silent)
        waiting = asyncio.create_task(take(turns, "b", []))
        await asyncio.sleep(1)
        turns.end()
        with pytest.raises(Ended, match="it ended before its turn came"):
            await waiting

    story(play)()


@pytest.mark.parametrize("seconds", [-1.0, 1e9, float("nan")])
def test_what_is_no_time_to_wait_is_refused(seconds):
    async def play(turns):
        with pytest.raises(BadDescription, match="wait must be from 0 to 3600 s"):
            await turns.take("a", seconds, silent)

    story(play)()
