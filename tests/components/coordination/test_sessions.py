"""The rules of coordination, for each of its makers: in memory, and with a real ZooKeeper."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from components.coordination.memory import MemoryEnsemble
from components.coordination.protocol import SessionLost, Standing, Taken
from engine.core.faults import Unreachable
from engine.ports import free_port
from engine.testing.kit import until

LENGTH_S = 2.0
NUMBERS = itertools.count()


class InMemory:
    def __init__(self):
        self.ensemble = MemoryEnsemble()

    async def open(self):
        return self.ensemble.open(LENGTH_S)

    @staticmethod
    def sever(session):
        session.sever()


class WithZooKeeper:
    def __init__(self, hosts):
        self.hosts = hosts

    async def open(self):
        from components.coordination.zookeeper import ZooKeeperSession

        return await ZooKeeperSession.open(self.hosts, LENGTH_S)

    @staticmethod
    def sever(session):
        session._line.cut()


class Sessions:
    """Sessions of one maker below a path of their own, all closed at the end."""

    def __init__(self, maker):
        self.maker = maker
        self.root = f"/t{next(NUMBERS)}-{time.monotonic_ns()}"
        self.opened = []

    async def open(self):
        session = await self.maker.open()
        self.opened.append(session)
        return session


@pytest.fixture(params=[
    "memory",
    pytest.param("zookeeper", marks=[pytest.mark.integration, pytest.mark.zookeeper]),
])  # fmt: skip
async def sessions(request):
    if request.param == "memory":
        made = Sessions(InMemory())
    else:
        made = Sessions(WithZooKeeper(request.getfixturevalue("zookeeper").hosts))
    yield made
    for session in made.opened:
        await session.close()


async def test_one_holds_a_claim_and_the_next_gets_it_when_it_is_given_back(sessions):
    one, two = await sessions.open(), await sessions.open()
    path = f"{sessions.root}/lock"
    first = await one.claim(path, "one")
    waiting = asyncio.ensure_future(two.claim(path, "two"))
    await until_async(lambda: one.contenders(path), ("one", "two"))
    assert first.held
    assert not waiting.done()

    await first.release()

    second = await waiting
    assert (first.held, second.held) == (False, True)
    assert second.fence > first.fence


async def test_who_does_not_wait_is_told_who_holds_it(sessions):
    one, two = await sessions.open(), await sessions.open()
    path = f"{sessions.root}/lock"
    await one.claim(path, "one")

    for wait_s in (0, 0.2):
        with pytest.raises(Taken, match="held by one"):
            await two.claim(path, "two", wait_s)
    assert await one.contenders(path) == ("one",)


async def test_who_gives_up_waiting_holds_nothing_later(sessions):
    one, two = await sessions.open(), await sessions.open()
    path = f"{sessions.root}/lock"
    first = await one.claim(path, "one")
    waiting = asyncio.ensure_future(two.claim(path, "two"))
    await until_async(lambda: one.contenders(path), ("one", "two"))

    waiting.cancel()
    await asyncio.wait({waiting})

    await until_async(lambda: one.contenders(path), ("one",))
    await first.release()
    assert (await one.claim(path, "again", 0)).held


async def test_of_a_holder_cut_off_and_its_successor_never_both_hold(sessions):
    """The holder's own clock says first that it is over; looked at every millisecond."""
    one, two = await sessions.open(), await sessions.open()
    path = f"{sessions.root}/election"
    first = await one.claim(path, "one")
    waiting = asyncio.ensure_future(two.claim(path, "two"))
    heard = []
    one.told(heard.append)
    sessions.maker.sever(one)

    while not waiting.done():
        await asyncio.sleep(0.001)
        assert not (first.held and waiting.done())

    second = waiting.result()
    assert (first.held, second.held) == (False, True)
    assert second.fence > first.fence
    assert "its session was lost" in await first.lost()
    assert one.standing is Standing.LOST
    assert heard[-1] is Standing.LOST
    with pytest.raises(SessionLost):
        await one.claim(path, "one")


async def test_who_closes_in_order_frees_everything_at_once(sessions):
    one, two = await sessions.open(), await sessions.open()
    path = f"{sessions.root}/lock"
    await one.claim(path, "one")
    await one.announce(f"{sessions.root}/members/one", b"here")
    began = time.monotonic()

    await one.close()

    assert (await two.claim(path, "two", 1.0)).held
    assert await two.members(f"{sessions.root}/members") == {}
    with pytest.raises(SessionLost, match="it was closed"):
        await one.contenders(path)
    lost = asyncio.ensure_future(one.lost())
    await asyncio.sleep(0.1)
    assert not lost.done(), "what was closed was not lost"
    lost.cancel()
    assert time.monotonic() - began < LENGTH_S


async def test_who_is_present_is_seen_by_those_who_follow(sessions):
    one, two = await sessions.open(), await sessions.open()
    folder, seen = f"{sessions.root}/members", []
    await two.follow(folder, lambda members: seen.append(dict(members)))
    assert seen == [{}]

    await one.announce(f"{folder}/a", b"1")
    await until(lambda: seen[-1] == {"a": b"1"})
    await one.announce(f"{folder}/a", b"2")
    await until(lambda: seen[-1] == {"a": b"2"})
    with pytest.raises(Taken):
        await two.announce(f"{folder}/a", b"3")
    await one.withdraw(f"{folder}/a")
    await until(lambda: seen[-1] == {})


async def test_who_is_gone_is_present_no_longer(sessions):
    one, two = await sessions.open(), await sessions.open()
    folder, seen = f"{sessions.root}/members", []
    await one.announce(f"{folder}/a", b"1")
    await two.follow(folder, lambda members: seen.append(dict(members)))
    assert seen == [{"a": b"1"}]

    sessions.maker.sever(one)

    await until(lambda: seen[-1] == {}, timeout_s=4 * LENGTH_S)


async def test_a_counter_gives_no_number_twice(sessions):
    several = [await sessions.open() for _ in range(3)]
    path = f"{sessions.root}/epoch"

    numbers = await asyncio.gather(*(each.raised(path) for each in several for _ in range(5)))

    assert sorted(numbers) == list(range(1, 16))


async def until_async(look, wanted):
    end = asyncio.get_running_loop().time() + 20
    while (seen := await look()) != wanted:
        assert asyncio.get_running_loop().time() < end, seen
        await asyncio.sleep(0.01)


# -- of ZooKeeper only


@pytest.mark.integration
@pytest.mark.zookeeper
async def test_a_session_has_the_length_the_server_agrees_to(zookeeper):
    from components.coordination.zookeeper import ZooKeeperSession

    for asked_s, agreed_s in ((2.0, 2.0), (0.2, 1.0), (30.0, 12.0)):
        session = await ZooKeeperSession.open(zookeeper.hosts, asked_s)
        assert session.length_s == agreed_s
        await session.close()


@pytest.mark.integration
@pytest.mark.zookeeper
async def test_a_session_that_was_let_go_is_taken_up_again_with_what_it_holds(zookeeper):
    from components.coordination.zookeeper import ZooKeeperSession

    one = await ZooKeeperSession.open(zookeeper.hosts, LENGTH_S)
    claim = await one.claim("/again", "one")
    await one.abandon()

    two = await ZooKeeperSession.open(zookeeper.hosts, LENGTH_S, ticket=one.ticket)
    assert (await two.regained("/again", claim.node)).fence == claim.fence
    await two.abandon()
    await asyncio.sleep(2 * LENGTH_S)
    with pytest.raises(SessionLost):
        await ZooKeeperSession.open(zookeeper.hosts, LENGTH_S, ticket=one.ticket)


@pytest.mark.integration
@pytest.mark.zookeeper
async def test_a_short_silence_is_no_loss_and_a_long_one_is(zookeeper):
    from components.coordination.zookeeper import ZooKeeperSession

    session = await ZooKeeperSession.open(zookeeper.hosts, 4.0)
    try:
        claim = await session.claim("/frozen", "one")
        zookeeper.freeze()
        await asyncio.sleep(1.0)
        zookeeper.thaw()
        await asyncio.sleep(2.0)
        assert claim.held
        zookeeper.freeze()
        began = time.monotonic()
        why = await session.lost()
        assert time.monotonic() - began < 4.5
        assert "no answer from ZooKeeper for 4 s" in why
        assert not claim.held
    finally:
        zookeeper.thaw()
        await session.close()


@pytest.mark.integration
@pytest.mark.zookeeper
async def test_a_process_that_slept_too_long_knows_it_at_once(zookeeper):
    from components.coordination.zookeeper import ZooKeeperSession

    session = await ZooKeeperSession.open(zookeeper.hosts, 1.0)
    claim = await session.claim("/slept", "one")

    time.sleep(1.2)  # noqa: ASYNC251 - the whole loop stands still, as if the process had been stopped

    assert not claim.held
    await session.close()


async def test_servers_that_are_not_there_are_named_in_time():
    from components.coordination.zookeeper import ZooKeeperSession

    port = free_port()
    with pytest.raises(Unreachable, match=f"no ZooKeeper server answers at 127.0.0.1:{port}"):
        await ZooKeeperSession.open((f"127.0.0.1:{port}",), 2.0, within_s=1.0)
