"""Whether a host takes one more machine, as a pure decision; and turns at creating them."""

from __future__ import annotations

import asyncio

import pytest

from components.hosts.admission import Capacity, Demand, Rules, refusal, room
from components.hosts.reservations import Gate

GIB = 2**30
HOST = Capacity(4 * GIB, 4)
ONE = Demand(GIB, 1)


def test_a_refusal_for_memory_names_what_was_asked_and_is_free_and_reserved_and_the_factor():
    why = refusal(Demand(2 * GIB, 1), [ONE, ONE], HOST, Rules(memory_overcommit=1.0))

    assert why.text == (
        "memory is short: asked 2 GiB, free 1.5 GiB, reserved 2 GiB by 2 machines, factor 1"
    )
    assert "memoryOvercommit" in why.hint


def test_what_fits_exactly_is_taken():
    rules = Rules(reserved_memory=0, memory_overcommit=1.0)
    assert refusal(ONE, [ONE] * 3, HOST, rules) is None
    assert refusal(ONE, [ONE] * 4, HOST, rules).code == "SF-ADM-001"


def test_the_factor_is_on_what_the_host_leaves():
    rules = Rules(reserved_memory=2 * GIB, memory_overcommit=2.0, reserved_cpus=1, cpu_overcommit=2)
    assert room(HOST, rules) == (4 * GIB, 6.0)


def test_a_large_host_keeps_a_twentieth_for_itself():
    memory, _ = room(Capacity(100 * GIB, 4), Rules())
    assert memory == 95 * GIB


def test_cpus_are_overcommitted_four_times_if_nothing_is_said():
    small = Demand(1, 4)
    assert refusal(small, [small] * 3, HOST, Rules()) is None
    why = refusal(small, [small] * 4, HOST, Rules())
    assert why.text == "CPUs are short: asked 4, free 0, reserved 16 by 4 machines, factor 4"


def test_more_reserved_for_the_host_than_there_is_leaves_nothing():
    assert room(HOST, Rules(reserved_memory=9 * GIB, reserved_cpus=9)) == (0, 0)


def test_a_count_and_maintenance_hold_where_the_figures_are_invented_too():
    world = Capacity(GIB, 1, invented=True)
    assert refusal(Demand(99 * GIB, 99), [], world, Rules()) is None
    assert refusal(ONE, [ONE], world, Rules(max_domains=1)).code == "SF-ADM-003"
    assert refusal(ONE, [], world, Rules(maintenance=True)).code == "SF-ADM-004"
    assert refusal(Demand(99 * GIB, 1), [], world, Rules(memory_overcommit=1.0)) is not None


async def test_a_gate_lets_through_so_many_at_a_time_and_in_order():
    gate, inside, most, order = Gate(), 0, 0, []

    async def go(number):
        nonlocal inside, most
        async with gate.turn(2):
            inside += 1
            most = max(most, inside)
            order.append(number)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(go(number) for number in range(7)))
    assert (most, order) == (2, list(range(7)))


async def test_whoever_stops_waiting_at_a_gate_keeps_nobody_out():
    gate = Gate()
    release = asyncio.Event()

    async def hold():
        async with gate.turn(1):
            await release.wait()

    tasks = [asyncio.create_task(hold()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[0].cancel()
    await asyncio.sleep(0)
    release.set()
    async with asyncio.timeout(5):
        await tasks[2]
        async with gate.turn(1):
            pass
    for task in tasks[:2]:
        with pytest.raises(asyncio.CancelledError):
            await task
