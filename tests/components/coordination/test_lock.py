"""`Lock`: at most one component holds it, also over crashes of daemons."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import pytest

import sfdl
from components.coordination.holding import HostLock, ProcessLock
from components.coordination.protocol import Taken
from components.system.program import find_program
from engine.client.client import DaemonUnreachable
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.runtime.effects import Owner, OwnExecutor, Presence, Site
from engine.runtime.services import Services
from engine.runtime.workers import InlineWorkers
from engine.testing.daemons import daemons, wait_until
from engine.testing.kit import engines, until
from engine.testing.sabotage import Plan

HEAD = '#include "components/coordination.sf"\n'


def app(text):
    return sfdl.compile(
        f"{HEAD}sfConfig extends Compound {{ lock extends Lock {{ {text} }} }}"
    ).root


def find(engine, path):
    return next((live for live in engine.process.lives.values() if live.path == path), None)


@pytest.fixture
def site():
    owner = Owner("test", "app", "app:lock", 1)
    return Site(owner, services=Services(), workers=InlineWorkers(), executor=OwnExecutor())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "name"),
        ('name "a/b";', "name: must be a name"),
        ('name "";', "name: must be a name"),
        ('name "a"; scope "galaxy";', "scope: must be one of process, host, zookeeper"),
        ('name "a"; timeout "2h";', "timeout: must be at most"),
        ('name "a"; timeout "soon";', "timeout: must be a duration"),
        ('name "a"; folder "here";', "folder: must be an absolute path"),
        ('name "a"; root "locks/";', "root: must be an absolute path"),
        ('name "a"; servers [|"nowhere"|];', "servers: must be servers as"),
        ('name "a"; servers [||];', "servers: must be servers as"),
        ('name "a"; sessionTimeout "100ms";', "sessionTimeout: must be at least 1"),
    ],
)
async def test_a_wrong_lock_is_refused_before_anything_starts(tmp_path, text, said):
    async with engines(tmp_path) as (_, (engine,)):
        with pytest.raises((EngineError, sfdl.CompileError), match=said):
            await engine.deploy("app", app(text))
        assert not engine.process.lives


@pytest.mark.parametrize("scope", ["process", "host"])
async def test_a_second_one_is_refused_with_the_holder_until_the_first_ends(tmp_path, scope):
    text = f'name "x"; scope "{scope}"; folder "{tmp_path}";'
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("one", app(text))
        with pytest.raises(EngineError, match="the lock x is held by one:lock"):
            await engine.deploy("two", app(text))

        await engine.terminate("one")
        await engine.deploy("two", app(text))

        assert find(engine, "two:lock").ready
        await engine.terminate("two")
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.parametrize("scope", ["process", "host"])
async def test_who_waits_gets_it_when_the_holder_ends(tmp_path, scope):
    text = f'name "x"; scope "{scope}"; folder "{tmp_path}"; timeout "20s";'
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("one", app(text))
        second = asyncio.ensure_future(engine.deploy("two", app(text)))
        await asyncio.wait({second}, timeout=0.5)
        assert not second.done()

        await engine.terminate("one")

        await asyncio.wait_for(second, 20)
        await engine.terminate("two")


async def test_who_is_ended_while_waiting_takes_nothing(tmp_path):
    text = f'name "x"; scope "host"; folder "{tmp_path}"; timeout "1h";'.replace("1h", "40m")
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("one", app(text))
        second = asyncio.ensure_future(engine.deploy("two", app(text)))
        await until(
            lambda: find(engine, "two:lock") is not None and find(engine, "two:lock").effects
        )

        await engine.terminate("two")

        with pytest.raises(EngineError):
            await second
        with pytest.raises(EngineError, match="held by one:lock"):
            await engine.deploy("three", app(text.replace("40m", "0s")))
        await engine.terminate("one")


@pytest.mark.parametrize("kind", ["process", "host"])
async def test_of_many_who_fight_for_it_there_is_never_more_than_one(tmp_path, site, kind):
    """Taken and given back all the time by eight at once: the file is removed each time."""
    inside, most, times = 0, 0, 0

    async def fight(number):
        nonlocal inside, most, times
        for round_ in range(6):
            token = f"{number}-{round_}-{os.getpid()}"
            if kind == "host":
                lock = HostLock(str(tmp_path / "x.lock"), f"c{number}", token, 40.0)
            else:
                lock = ProcessLock("x", f"c{number}", token, 40.0)
            await lock.make(site)
            inside += 1
            most, times = max(most, inside), times + 1
            await asyncio.sleep(0.002)
            assert await lock.look(site) is Presence.OURS
            inside -= 1
            await lock.undo(site)
            assert await lock.look(site) is Presence.ABSENT

    await asyncio.gather(*(fight(number) for number in range(8)))

    assert (most, times) == (1, 48)


async def test_an_undo_of_one_that_still_waits_leaves_the_holder_its_file(tmp_path, site):
    file = tmp_path / "x.lock"
    holder = await HostLock(str(file), "one", f"holder{os.getpid()}", 0).make(site)
    waiter = HostLock(str(file), "two", f"waiter{os.getpid()}", 30.0)
    waiting = asyncio.ensure_future(waiter.make(site))
    await until(lambda: find_program(waiter.token))

    await waiter.undo(site)  # as recovery does after a crash

    await asyncio.wait({waiting})
    assert isinstance(waiting.exception(), Taken)
    with pytest.raises(Taken, match="held by one"):
        await HostLock(str(file), "three", f"third{os.getpid()}", 0).make(site)
    await holder.undo(site)
    assert not file.exists()


async def test_a_lock_whose_program_is_killed_is_lost_and_ends_its_component(tmp_path):
    text = f'name "x"; scope "host"; folder "{tmp_path}";'
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("app", app(text))
        lock = find(engine, "app:lock").effects[0].effect
        os.kill(lock.pid, signal.SIGKILL)

        record = await until(lambda: engine.process.ended_application("app"))

        assert record.type == "abnormal"
        assert "the lock x was lost" in record.description


async def test_a_folder_that_is_not_there_is_said(tmp_path):
    async with engines(tmp_path, threads=True) as (_, (engine,)):
        text = f'name "x"; scope "host"; folder "{tmp_path}/none";'
        with pytest.raises(EngineError, match="cannot be written to"):
            await engine.deploy("app", app(text))


def fence_of(client):
    return next(row.value for row in client.attributes("app:lock") if row.name == "fence")


@pytest.mark.integration
@pytest.mark.timeout(120)
@pytest.mark.parametrize("scope", [
    "process", "host", pytest.param("zookeeper", marks=pytest.mark.zookeeper),
])  # fmt: skip
def test_a_killed_daemon_finds_its_lock_as_it_was_and_nobody_had_it_meanwhile(
    tmp_path, scope, request
):
    text = f'name "x"; scope "{scope}"; folder "{tmp_path}";'
    if scope == "zookeeper":
        hosts = request.getfixturevalue("zookeeper").hosts
        text += f'servers [|"{hosts[0]}"|]; sessionTimeout 12; root "/{tmp_path.name}";'
    with daemons(tmp_path, "one", "two") as (one, two):
        mine, other = one.client(), two.client()
        mine.start("app", app(text)).result()
        fence = fence_of(mine)
        one.kill()
        if scope != "process":
            with pytest.raises(EngineError, match="held by app:lock"):
                other.start("rival", app(text)).result()
        one.start()
        wait_until(lambda: all(row.ready for row in mine.whole_tree("app")))
        assert fence_of(mine) == fence
        with pytest.raises(EngineError, match="held by app:lock"):
            (mine if scope == "process" else other).start("rival", app(text)).result()

        assert mine.terminate("app", Record.normal()).result().leftovers == ()

        other.start("rival", app(text)).result()
        assert other.terminate("rival", Record.normal()).result().leftovers == ()
        mine.close()
        other.close()
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.integration
@pytest.mark.parametrize("scope", [
    "host", pytest.param("zookeeper", marks=pytest.mark.zookeeper),
])  # fmt: skip
def test_a_daemon_that_stops_in_order_keeps_its_lock_for_its_next_life(tmp_path, scope, request):
    text = f'name "x"; scope "{scope}"; folder "{tmp_path}";'
    if scope == "zookeeper":
        hosts = request.getfixturevalue("zookeeper").hosts
        text += f'servers [|"{hosts[0]}"|]; sessionTimeout 12; root "/{tmp_path.name}";'
    with daemons(tmp_path, "one", "two") as (one, two):
        mine, other = one.client(), two.client()
        mine.start("app", app(text)).result()
        fence = fence_of(mine)
        one.stop()
        with pytest.raises(EngineError, match="held by app:lock"):
            other.start("rival", app(text)).result()
        one.start()
        wait_until(lambda: all(row.ready for row in mine.whole_tree("app")))
        assert fence_of(mine) == fence
        mine.terminate("app", Record.normal()).result()
        mine.close()
        other.close()


@pytest.mark.integration
@pytest.mark.parametrize("when", ["making", "made", "undoing"])
def test_a_daemon_killed_while_it_takes_or_gives_back_leaves_no_lock(tmp_path, when):
    text = f'name "x"; scope "host"; folder "{tmp_path}";'
    with daemons(tmp_path, "one", "two") as (one, two):
        one.kill()
        one.start(sabotage=[Plan(effect="HostLock", when=when, mode="kill")])
        mine, other = one.client(), two.client()
        with contextlib.suppress(EngineError, DaemonUnreachable):
            mine.start("app", app(text)).result()
            mine.terminate("app", Record.normal()).result()
        mine.close()
        one.reap()
        one.start()

        def free():
            try:
                other.start("rival", app(text)).result()
            except EngineError:
                return False
            return True

        wait_until(free)
        assert other.terminate("rival", Record.normal()).result().leftovers == ()
        other.close()
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.integration
@pytest.mark.zookeeper
@pytest.mark.timeout(120)
def test_a_daemon_that_was_away_for_too_long_does_not_get_its_lock_back(tmp_path, zookeeper):
    text = (
        f'name "x"; scope "zookeeper"; servers [|"{zookeeper.hosts[0]}"|]; sessionTimeout 1;'
        f'root "/{tmp_path.name}"; timeout "30s";'
    )
    with daemons(tmp_path, "one", "two") as (one, two):
        mine, other = one.client(), two.client()
        mine.start("app", app(text)).result()
        fence = int(fence_of(mine))
        one.kill()
        other.start("app", app(text)).result()  # waits until the session of the other is over
        assert int(fence_of(other)) > fence

        one.start()

        wait_until(lambda: not [row for row in mine.tree().rows if row.path == "app"])
        assert all(row.ready for row in other.whole_tree("app"))
        other.terminate("app", Record.normal()).result()
        mine.close()
        other.close()


@pytest.mark.integration
@pytest.mark.zookeeper
async def test_a_lock_ends_when_its_ensemble_does_not_answer(tmp_path, zookeeper):
    text = (
        f'name "x"; scope "zookeeper"; servers [|"{zookeeper.hosts[0]}"|]; sessionTimeout 2;'
        f'root "/{tmp_path.name}";'
    )
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("app", app(text))
        zookeeper.freeze()
        try:
            record = await until(lambda: engine.process.ended_application("app"), timeout_s=20)
        finally:
            zookeeper.thaw()
        assert "no answer from ZooKeeper for 2 s" in record.description


async def test_an_ensemble_that_is_not_there_is_said_within_the_time(tmp_path):
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        text = 'name "x"; scope "zookeeper"; servers [|"127.0.0.1:9"|]; sessionTimeout 1;'
        with pytest.raises(EngineError, match="no ZooKeeper server answers"):
            await engine.deploy("app", app(text))
