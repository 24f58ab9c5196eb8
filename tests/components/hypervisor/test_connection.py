"""Threads, limits, events, reconnecting; the pool."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time

import libvirt
import msgspec
import pytest

from components.hypervisor import operations
from components.hypervisor.connection import LibvirtHypervisor
from components.hypervisor.errors import HypervisorError
from components.hypervisor.events import Subscription, notice
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import EventKind, Link
from tests.components.hypervisor.worlds import SHORT, UUID, domain_xml, until

QUICK = msgspec.structs.replace(SHORT, read_s=0.5, change_s=0.5)


@pytest.fixture
def gate(monkeypatch):
    """Makes `version` and `start` hang in their thread until it is set; `begun` says that one does."""
    opened = threading.Event()
    opened.begun = threading.Event()
    start = operations.start

    def hang(connection):
        opened.wait(20)
        return "answer"

    def hang_then_start(*data, **named):
        opened.begun.set()
        opened.wait(20)
        start(*data, **named)

    monkeypatch.setattr(operations, "version", hang)
    monkeypatch.setattr(operations, "start", hang_then_start)
    yield opened
    opened.set()


@pytest.fixture
async def quick(world):
    opened = await LibvirtHypervisor.open(world, limits=QUICK)
    yield opened
    await opened.close()


async def test_a_stuck_call_is_told_and_pending_until_its_thread_returns(quick, gate):
    await quick.define(domain_xml())

    with pytest.raises(HypervisorError, match="hypervisor call stuck: start vm1") as caught:
        await quick.start(UUID)

    assert caught.value.kind == "Timeout"
    (call,) = quick.pending(UUID)
    assert (call.step, call.stuck, quick.stuck) == ("start", True, 1)
    assert not (await quick.fact(UUID)).active
    gate.set()
    await call.wait()
    assert (await quick.fact(UUID)).active  # it took effect after all
    await until(lambda: quick.pending() == [] and quick.stuck == 0)


async def test_a_cancelled_call_goes_on_and_can_be_waited_for(world, gate):
    hypervisor = await LibvirtHypervisor.open(world, limits=SHORT)
    await hypervisor.define(domain_xml())
    task = asyncio.create_task(hypervisor.start(UUID))
    await until(gate.begun.is_set)  # a call that has not begun is dropped instead

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (call,) = hypervisor.pending(UUID)
    assert not call.stuck
    gate.set()
    await call.wait()

    found = await hypervisor.fact(UUID)
    assert found is not None
    assert found.active
    await hypervisor.close()


async def test_four_stuck_calls_degrade_and_new_work_is_refused_but_looking_goes_on(quick, gate):
    await quick.define(domain_xml())
    for count in range(4):
        assert quick.state is Link.CONNECTED, count
        with pytest.raises(HypervisorError, match="stuck"):
            await quick.version()

    assert quick.state is Link.DEGRADED
    for refused in (quick.define(domain_xml()), quick.start(UUID)):
        with pytest.raises(HypervisorError, match="4 calls are stuck") as caught:
            await refused
        assert caught.value.kind == "Unreachable"
    assert (await quick.fact(UUID)).name == "vm1"
    await quick.destroy(UUID, gentle=True)

    gate.set()
    await until(lambda: quick.state is Link.CONNECTED)


async def test_the_reserved_lane_answers_while_all_ordinary_threads_are_taken(quick, gate):
    asked = [asyncio.create_task(quick.version()) for _ in range(12)]
    await until(lambda: all(task.done() for task in asked))

    messages = [str(task.exception()) for task in asked]

    assert sum("stuck" in message for message in messages) == 8
    assert sum("no thread was free" in message for message in messages) == 4
    assert await quick.fact(UUID) is None
    with pytest.raises(HypervisorError, match="no thread was free"):
        await quick.facts()


async def test_events_arrive_in_order_and_end_with_the_subscription(hypervisor):
    events = hypervisor.happenings()
    await hypervisor.define(domain_xml())
    await hypervisor.start(UUID)
    await hypervisor.suspend(UUID)
    await hypervisor.destroy(UUID, gentle=False)
    await hypervisor.undefine(UUID)

    async with asyncio.timeout(5):
        seen = [await anext(events) for _ in range(5)]

    assert [(event.kind.value, event.detail) for event in seen] == [
        ("defined", "added"),
        ("started", "booted"),
        ("suspended", "paused"),
        ("stopped", "destroyed"),
        ("undefined", "removed"),
    ]
    assert {(event.uuid, event.name) for event in seen} == {(UUID, "vm1")}
    await events.aclose()
    await hypervisor.define(domain_xml())
    assert [event async for event in events] == []


async def test_a_reader_of_one_domain_hears_of_that_one_and_of_the_connection_only(hypervisor):
    other = "aaaaaaaa-0000-4000-8000-000000000002"
    events = hypervisor.happenings(UUID)
    await hypervisor.define(domain_xml("vm2", other))
    await hypervisor.define(domain_xml())

    async with asyncio.timeout(5):
        seen = [await anext(events)]
        hypervisor._line._publish(notice(EventKind.MISSED, "connected again"))
        seen.append(await anext(events))

    assert [(event.uuid, event.kind.value) for event in seen] == [(UUID, "defined"), ("", "missed")]
    await events.aclose()
    assert hypervisor._line._readers_of == {}


async def test_the_state_alone_agrees_with_the_facts(hypervisor):
    assert await hypervisor.status(UUID) is None
    await hypervisor.define(domain_xml())
    for step in (hypervisor.start, hypervisor.suspend, hypervisor.resume):
        await step(UUID)
        facts, status = await hypervisor.fact(UUID), await hypervisor.status(UUID)
        assert (status.state, status.reason, status.active) == (facts.state, facts.reason, True)
    await hypervisor.destroy(UUID, gentle=False)
    assert (await hypervisor.status(UUID)).active is False


async def test_a_long_queue_that_moves_is_no_hypervisor_that_does_not_answer(world):
    limits = msgspec.structs.replace(SHORT, read_s=0.5, threads=1)
    hypervisor = await LibvirtHypervisor.open(world, limits=limits)

    def slowly(connection):
        time.sleep(0.1)
        return connection.getHostname()

    async with asyncio.timeout(20):
        answers = await asyncio.gather(
            *(hypervisor._line.look("slow", "", slowly) for _ in range(12))
        )

    assert len(answers) == 12
    await hypervisor.close()


async def test_a_shape_is_held_against_the_schema_once_and_a_new_one_again(hypervisor):
    await hypervisor.define(domain_xml())
    other = "aaaaaaaa-0000-4000-8000-000000000002"
    await hypervisor.define(domain_xml("vm2", other))
    assert len(hypervisor._shapes) == 1

    wrong = domain_xml("vm2", other).replace("<vcpu>", "<cpus>1</cpus><vcpu>")
    with pytest.raises(HypervisorError, match="XML document failed to validate"):
        await hypervisor.define(wrong)
    assert len(hypervisor._shapes) == 1


async def test_closing_the_connection_ends_its_subscriptions(world):
    hypervisor = await LibvirtHypervisor.open(world, limits=SHORT)
    events = hypervisor.happenings()

    reader = asyncio.create_task(anext(events, None))
    await asyncio.sleep(0)
    await hypervisor.close()

    async with asyncio.timeout(5):
        assert await reader is None
    assert hypervisor.state is Link.CLOSED
    with pytest.raises(HypervisorError, match="closed") as caught:
        await hypervisor.facts()
    assert caught.value.kind == "Unreachable"


async def test_a_slow_reader_loses_the_oldest_and_is_told_how_many():
    reader = Subscription(2)
    for number in range(5):
        reader.put(notice(EventKind.STARTED, str(number)))
    reader.end()

    seen = [(event.kind, event.detail) async for event in reader]

    assert seen[0][0] is EventKind.MISSED
    assert seen[0][1].startswith("3 events")
    assert seen[1:] == [(EventKind.STARTED, "3"), (EventKind.STARTED, "4")]


async def test_a_forgotten_subscription_is_let_go(hypervisor):
    hypervisor.happenings()

    assert len(hypervisor._line._readers) == 0


class Flaky:
    """Opens connections, except while `down`."""

    def __init__(self) -> None:
        self.down = False
        self.asked = 0
        self.opened: list[libvirt.virConnect] = []

    def __call__(self, uri: str) -> libvirt.virConnect:
        self.asked += 1
        if self.down:
            error = libvirt.libvirtError("")
            error.err = (38, 7, "Failed to connect socket: Connection refused", *[""] * 6)
            raise error
        self.opened.append(libvirt.open(uri))
        return self.opened[-1]


async def test_a_lost_connection_is_degraded_until_it_is_made_again(world):
    flaky = Flaky()
    hypervisor = await LibvirtHypervisor.open(world, limits=SHORT, opener=flaky)
    events = hypervisor.happenings()
    flaky.down = True

    hypervisor._line._on_close(flaky.opened[0], 2, None)  # as libvirt's event thread does
    await until(lambda: hypervisor.state is Link.DEGRADED)
    with pytest.raises(HypervisorError, match="no connection") as caught:
        await hypervisor.fact(UUID)
    assert caught.value.kind == "Unreachable"
    asked = flaky.asked
    await until(lambda: flaky.asked >= asked + 3)
    flaky.down = False
    await until(lambda: hypervisor.state is Link.CONNECTED)

    assert [one.name for one in await hypervisor.facts()] == ["foreign"]
    await hypervisor.define(domain_xml())
    async with asyncio.timeout(5):
        seen = [(await anext(events)).kind for _ in range(3)]
    assert seen == [EventKind.LOST, EventKind.MISSED, EventKind.DEFINED]
    await hypervisor.close()


async def test_a_call_that_libvirt_forgets_with_its_connection_is_told_at_once(world, gate):
    limits = msgspec.structs.replace(SHORT, read_s=60.0, lost_s=0.05)
    flaky = Flaky()
    hypervisor = await LibvirtHypervisor.open(world, limits=limits, opener=flaky)
    asked = asyncio.create_task(hypervisor.version())
    await until(lambda: hypervisor.pending() and hypervisor.pending()[0].began_s is not None)

    hypervisor._line._on_close(flaky.opened[0], 2, None)

    async with asyncio.timeout(5):
        with pytest.raises(HypervisorError, match="stuck: version") as caught:
            await asked
    assert caught.value.kind == "Unreachable"
    assert hypervisor.stuck == 1
    gate.set()
    await until(lambda: hypervisor.stuck == 0)
    await until(lambda: hypervisor.state is Link.CONNECTED)
    await hypervisor.close()


async def test_an_error_whose_reason_was_wiped_is_asked_for_again(hypervisor, monkeypatch):
    look = operations.fact
    lost = [libvirt.libvirtError("failed"), libvirt.libvirtError("failed")]
    assert lost[0].get_error_code() is None

    def wiped(connection, uuid):
        if lost:
            raise lost.pop()
        return look(connection, uuid)

    monkeypatch.setattr(operations, "fact", wiped)
    assert await hypervisor.fact(UUID) is None

    lost.extend(libvirt.libvirtError("failed") for _ in range(9))
    with pytest.raises(HypervisorError, match="failed") as caught:
        await hypervisor.fact(UUID)
    assert caught.value.kind == "Internal"


async def test_a_restless_garbage_collector_does_not_blur_the_kinds_of_errors(hypervisor):
    thresholds = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(100):
            for method in ("start", "shutdown", "suspend", "xml"):
                with pytest.raises(HypervisorError) as caught:
                    await getattr(hypervisor, method)(UUID)
                assert caught.value.kind == "NotFound", str(caught.value)
            await hypervisor.define(domain_xml())
            await hypervisor.start(UUID)
            hypervisor.caps._absent.clear()  # so that unsupported ways are tried, and fail
            await hypervisor.shutdown(UUID)
            await hypervisor.undefine(UUID)
    finally:
        gc.set_threshold(*thresholds)


async def test_a_transport_error_in_a_call_gives_the_connection_up(world, monkeypatch):
    flaky = Flaky()
    hypervisor = await LibvirtHypervisor.open(world, limits=SHORT, opener=flaky)

    def broken(connection):
        error = libvirt.libvirtError("")
        error.err = (1, 7, "internal error: client socket is closed", *[""] * 6)
        raise error

    monkeypatch.setattr(operations, "version", broken)
    with pytest.raises(HypervisorError) as caught:
        await hypervisor.version()

    assert caught.value.kind == "Unreachable"
    await until(lambda: len(flaky.opened) == 2 and hypervisor.state is Link.CONNECTED)
    await hypervisor.close()


async def test_closing_while_reconnecting_stops_the_attempts(world):
    flaky = Flaky()
    hypervisor = await LibvirtHypervisor.open(world, limits=SHORT, opener=flaky)
    flaky.down = True
    hypervisor._line._on_close(flaky.opened[0], 0, None)
    await until(lambda: flaky.asked >= 2)

    await hypervisor.close()

    asked = flaky.asked
    await asyncio.sleep(5 * max(SHORT.reconnect_s))
    assert flaky.asked <= asked + 1  # one may have been under way


async def test_an_opening_that_hangs_times_out_and_its_late_connection_is_closed(world):
    opened, gate = [], threading.Event()

    def slow(uri):
        gate.wait(20)
        opened.append(libvirt.open(uri))
        return opened[-1]

    with pytest.raises(HypervisorError, match="did not answer") as caught:
        await LibvirtHypervisor.open(
            world, limits=msgspec.structs.replace(SHORT, open_s=0.05), opener=slow
        )
    assert caught.value.kind == "Timeout"
    gate.set()

    def closed():
        try:
            return bool(opened) and not opened[0].isAlive()
        except libvirt.libvirtError:
            return True

    await until(closed)


@pytest.mark.parametrize(
    ("uri", "kind"),
    [("qemu+unix:///system?socket=/nowhere", "Unreachable"), ("test:///no/such/file", "Refused")],
)
async def test_an_address_that_cannot_be_opened_is_an_error_of_its_kind(uri, kind):
    with pytest.raises(HypervisorError) as caught:
        await LibvirtHypervisor.open(uri, limits=SHORT)

    assert (caught.value.kind, caught.value.step) == (kind, "open")


# -- the pool -----------------------------------------------------------------------------------


async def test_all_callers_share_one_connection_and_its_machines_live_until_the_pool_closes(world):
    flaky = Flaky()
    pool = HypervisorPool(limits=SHORT, opener=flaky)

    first, second = await asyncio.gather(pool.get(world), pool.get(world))
    await first.define(domain_xml())

    assert first is second
    assert flaky.asked == 1
    assert await (await pool.get(world)).fact(UUID) is not None
    await pool.close()
    assert first.state is Link.CLOSED
    with pytest.raises(HypervisorError, match="pool is closed"):
        await pool.get(world)
    again = HypervisorPool(limits=SHORT)
    assert await (await again.get(world)).fact(UUID) is None
    await again.close()


async def test_a_hypervisor_that_could_not_be_opened_is_tried_again(world):
    flaky = Flaky()
    flaky.down = True
    pool = HypervisorPool(limits=SHORT, opener=flaky)
    with pytest.raises(HypervisorError):
        await pool.get(world)
    flaky.down = False

    assert (await pool.get(world)).state is Link.CONNECTED
    await pool.close()


async def test_diagnose_lists_what_libvirt_has_in_open_and_in_named_hypervisors(world):
    pool = HypervisorPool(limits=SHORT)
    hypervisor = await pool.get(world)
    await hypervisor.define(domain_xml())

    rows = await pool.diagnose()
    elsewhere = await pool.diagnose("test:///default")
    dead = await pool.diagnose("qemu+unix:///system?socket=/nowhere")

    assert [(row.name, row.uuid, row.state) for row in rows] == [
        ("foreign", "11111111-2222-3333-4444-555555555555", "running"),
        ("vm1", UUID, "shutoff"),
    ]
    assert [row.name for row in elsewhere] == ["test"]
    assert list(pool.hypervisors) == [world]
    assert len(dead) == 1
    assert "Unreachable" in dead[0].problem
    await pool.close()


def test_libvirt_does_not_print_and_a_stuck_thread_does_not_hold_up_the_end_of_the_process():
    program = """
import asyncio, time
from components.hypervisor import operations
from components.hypervisor.connection import LibvirtHypervisor
from components.hypervisor.limits import Limits
from components.hypervisor.errors import HypervisorError

async def main():
    h = await LibvirtHypervisor.open("test:///default", limits=Limits(read_s=0.1))
    try:
        await h.resume("aaaaaaaa-0000-4000-8000-000000000001")
    except HypervisorError as error:
        print(error.kind)
    operations.version = lambda connection: time.sleep(60)
    try:
        await h.version()
    except HypervisorError as error:
        print(error.kind)
    await h.close()

asyncio.run(main())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
    )

    assert (ran.stdout.split(), ran.stderr) == (["NotFound", "Timeout"], "hypervisor call stuck\n")
