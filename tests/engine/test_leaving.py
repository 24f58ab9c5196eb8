"""A daemon that goes down lets go of what it holds, and ends what was ending already."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until
from engine.testing.kit import begin, engines, tree, virtual_time
from engine.wire.messages import Gone, Terminate

GROUP = "engine.compound.Compound"
FILE = "engine.testing.components.FileMaker"


def slow_to_end(tmp_path, name="a", **more):
    """A file whose component takes five seconds to end."""
    path = str(tmp_path / name)
    return {"sfClass": FILE, "file": path, "block": "terminate", "sfTerminateTimeout": 5, **more}


def of(engine, path):
    return next(each for each in engine.process.lives.values() if each.path == path)


def story(work, tmp_path, count=1, **settings):
    async def run():
        async with engines(tmp_path / "state", count, **settings) as (network, made):
            return await work(network, made)

    return virtual_time(run())


async def gone_down(network, engine):
    """Let a daemon go down as SIGTERM does; return the seconds that took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await engine.process.stop()
    network.verbs.pop(engine.process.address)
    return loop.time() - began


async def again(network, tmp_path, name="host1"):
    addresses = {f"host{n}": f"host{n}:3800" for n in (1, 2)}
    return await begin(network, tmp_path / "state" / name, name, f"{name}:3800", addresses)


def test_an_end_that_has_begun_is_finished_and_its_answer_is_known_afterwards(tmp_path):
    async def work(network, made):
        (one,) = made
        other = {"sfClass": FILE, "file": str(tmp_path / "b")}
        await one.deploy("app", tree({"sfClass": GROUP, "a": slow_to_end(tmp_path)}))
        await one.deploy("stays", tree({"sfClass": GROUP, "b": other}))
        end = Terminate(Record.normal("over"), ref="app")
        asking = asyncio.ensure_future(one.submit(end, "the-end"))
        await asyncio.sleep(0.5)
        assert 4 < await gone_down(network, one) < 12
        assert not (tmp_path / "a").exists()
        assert (tmp_path / "b").exists()
        await asyncio.wait({asking})

        made[0] = one = await again(network, tmp_path)
        answer = await one.submit(end, "the-end")
        assert isinstance(answer, Gone)
        assert answer.record.description == "over"
        assert list(one.process.apps) == ["stays"]
        await one.terminate("stays")

    story(work, tmp_path)


def test_what_takes_longer_than_it_may_is_left_to_the_next_life(tmp_path):
    async def work(network, made):
        (one,) = made
        await one.deploy("app", tree({"sfClass": GROUP, "a": slow_to_end(tmp_path)}))
        asking = asyncio.ensure_future(one.terminate("app"))
        await asyncio.sleep(0.5)
        assert await gone_down(network, one) < 4
        assert (tmp_path / "a").exists()
        asking.cancel()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # as the end of a program does
        made[0] = one = await again(network, tmp_path)
        assert not (tmp_path / "a").exists()
        assert not one.process.apps

    story(work, tmp_path, leave_timeout_s=2.0)


def test_a_part_elsewhere_and_what_a_flow_ends_are_ended_whole(tmp_path):
    """The child that failed goes down first; its siblings and the remote part follow."""

    async def work(network, made):
        one, two = made
        there = slow_to_end(tmp_path, "b", sfProcessHost="host2")
        root = {"sfClass": GROUP, "a": slow_to_end(tmp_path), "b": there}
        await one.deploy("app", tree(root))
        one.process.finish(of(one, "app:a"), Record.abnormal("broken"))
        await asyncio.sleep(0.5)
        await gone_down(network, one)
        assert not (tmp_path / "a").exists()
        assert not (tmp_path / "b").exists()
        assert not two.process.lives
        made[0] = one = await again(network, tmp_path)
        assert not one.process.apps
        assert one.process.obituaries.application("app").component == "app:a"

    story(work, tmp_path, 2)


def test_nothing_is_decided_or_ended_any_more_once_it_lets_go(tmp_path):
    async def work(network, made):
        (one,) = made
        child = {"sfClass": FILE, "file": str(tmp_path / "a")}
        watch = {"sfClass": "components.workflow.Supervisor", "backoff": 0.1, "a": child}
        await one.deploy("app", tree(watch))
        await gone_down(network, one)
        one.process.finish(of(one, "app:a"), Record.abnormal("too late"))
        await asyncio.sleep(5)
        assert of(one, "app:a").state.value == "started"
        assert (tmp_path / "a").exists()
        made[0] = one = await again(network, tmp_path)
        await one.terminate("app")

    story(work, tmp_path)


@pytest.mark.integration
def test_sigterm_during_an_end_leaves_nothing_half_ended(tmp_path):
    with daemons(tmp_path / "state", "one") as (one,):
        client = one.client()
        a = slow_to_end(tmp_path, sfTerminateTimeout=3)
        client.start("app", tree({"sfClass": GROUP, "a": a})).result()
        client.terminate("app", Record.normal()).accepted()
        wait_until(
            lambda: [row.state for row in client.tree("app", depth=0).rows] == ["terminating"],
            what="it is ending",
        )
        os.kill(one.pid, signal.SIGTERM)
        assert one.reap() == 0
        assert not (tmp_path / "a").exists()
        one.start()
        again = one.client()
        assert list(again.whole_tree()) == []
        assert dict(again.diagnosis().facts)["ledger_effects"] == "0"
        again.close()
