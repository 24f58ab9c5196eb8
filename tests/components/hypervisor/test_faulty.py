from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from components.hypervisor.connection import LibvirtHypervisor
from components.hypervisor.errors import HypervisorError
from components.hypervisor.faulty import Crash, Delay, FaultyHypervisor, Hang, Lose, Raise
from components.hypervisor.protocol import EventKind, Hypervisor
from tests.components.hypervisor.worlds import UUID, domain_xml, until


@pytest.fixture
async def faulty(hypervisor: LibvirtHypervisor) -> AsyncIterator[FaultyHypervisor]:
    wrapped = FaultyHypervisor(hypervisor)
    await wrapped.define(domain_xml())
    yield wrapped
    await wrapped.close()


async def active(hypervisor: Hypervisor) -> bool:
    found = await hypervisor.fact(UUID)
    return found is not None and found.active


async def test_without_faults_it_is_the_wrapped_hypervisor(
    faulty: FaultyHypervisor, hypervisor: LibvirtHypervisor
) -> None:
    contract: Hypervisor = faulty  # mypy proves that it fits

    await contract.start(UUID, paused=True)
    await contract.resume(UUID)
    await contract.suspend(UUID)
    await contract.shutdown(UUID)
    await contract.undefine(UUID)

    assert (contract.uri, contract.state) == (hypervisor.uri, hypervisor.state)
    assert contract.caps is hypervisor.caps
    assert [method for method, _ in faulty.calls] == [
        "define", "start", "resume", "suspend", "shutdown", "undefine",
    ]  # fmt: skip


async def test_raise_fails_only_the_chosen_call_and_does_nothing(faulty):
    faulty.fail("start", Raise(kind="Internal", code=1), nth=2)
    await faulty.start(UUID)
    await faulty.destroy(UUID, gentle=False)

    with pytest.raises(HypervisorError, match="planted") as caught:
        await faulty.start(UUID)

    assert (caught.value.kind, caught.value.number) == ("Internal", 1)
    assert not await active(faulty)
    await faulty.start(UUID)
    assert await active(faulty)


async def test_lose_does_it_and_fails(faulty):
    faulty.fail("start", Lose())

    with pytest.raises(HypervisorError, match="answer lost"):
        await faulty.start(UUID)

    assert await active(faulty)


async def test_crash_does_it_before_the_crash(faulty, hypervisor):
    crashed = []
    faulty.fail("start", Crash(lambda: crashed.append("now")))

    await faulty.start(UUID)

    assert crashed == ["now"]
    assert await active(hypervisor)


async def test_a_delayed_call_is_done_later(faulty):
    faulty.fail("start", Delay(0.05))
    started = asyncio.create_task(faulty.start(UUID))
    await asyncio.sleep(0)

    assert not await active(faulty)
    await started
    assert await active(faulty)


async def test_a_hanging_call_outlives_its_awaiting_and_is_done_at_the_release(faulty):
    faulty.fail("start", Hang(limit_s=0.02))

    with pytest.raises(HypervisorError, match="stuck") as caught:
        await faulty.start(UUID)

    assert caught.value.kind == "Timeout"
    (call,) = faulty.pending(UUID)
    assert (call.step, call.stuck) == ("start", True)
    assert not await active(faulty)
    faulty.release()
    await call.wait()
    assert await active(faulty)
    await until(lambda: not faulty.pending())


async def test_a_hanging_call_that_is_cancelled_goes_on(faulty):
    faulty.fail("start", Hang())
    task = asyncio.create_task(faulty.start(UUID))
    await until(lambda: bool(faulty.pending()))

    task.cancel()
    await asyncio.wait([task])
    (call,) = faulty.pending()
    faulty.release()
    await call.wait()

    assert await active(faulty)


async def test_closing_ends_what_hangs_without_doing_it(hypervisor):
    faulty = FaultyHypervisor(hypervisor)
    await faulty.define(domain_xml())
    faulty.fail("start", Hang())
    task = asyncio.create_task(faulty.start(UUID))
    await until(lambda: bool(faulty.pending()))

    await faulty.close()

    assert not faulty.pending()
    await asyncio.wait([task], timeout=5)
    assert task.done()


async def test_dropped_events_are_missed_unnoticed(faulty):
    events = faulty.happenings()
    faulty.drop_events(lambda event: event.kind is EventKind.STARTED)
    await faulty.start(UUID)
    await faulty.destroy(UUID, gentle=False)

    seen = []
    async with asyncio.timeout(5):
        while EventKind.STOPPED not in seen:
            seen.append((await anext(events)).kind)
    assert EventKind.STARTED not in seen
    await events.aclose()
    assert [event async for event in events] == []


@pytest.mark.parametrize(("method", "nth"), [("begin", 1), ("start", 0)])
async def test_a_fault_that_can_never_happen_is_refused(faulty, method, nth):
    with pytest.raises(ValueError, match="no such fault"):
        faulty.fail(method, Raise(), nth=nth)
