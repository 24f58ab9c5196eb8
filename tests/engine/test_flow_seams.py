"""What flows are offered by their runner: ends that wait for a start, a clock over restarts, events."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.faults import EngineError
from engine.runtime.live import FLOW_STATE
from engine.runtime.outbox import Outbox
from engine.testing.kit import begin, engines, until, virtual_time

GROUP = "engine.testing.components.Group"
SLEEPER = "engine.testing.components.Sleeper"
SLOW = {"sfClass": SLEEPER, "threadSeconds": 0.2}
HOSTS = {"host1": "host1:3800"}


async def test_a_normal_end_while_others_are_starting_waits_for_them(tmp_path):
    async with engines(tmp_path, threads=True) as (_, (one,)):
        quick = {"sfClass": SLEEPER, "endsAfter": 0}

        await one.deploy("app", {"sfClass": GROUP, "quick": quick, "slow": SLOW})

        record = await until(lambda: one.process.ended_application("app"))
        assert record.type == "normal"


async def test_a_failure_while_others_are_starting_fails_the_start(tmp_path):
    async with engines(tmp_path, threads=True) as (_, (one,)):
        bad = {"sfClass": SLEEPER, "endsAfter": 0, "recordType": "abnormal"}
        with pytest.raises(EngineError, match="ended before everything had started"):
            await one.deploy("app", {"sfClass": GROUP, "bad": bad, "slow": SLOW})


def test_the_clock_of_a_lasting_flow_goes_on_over_a_restart(tmp_path):
    async def story():
        async with engines(tmp_path) as (network, (one,)):
            await one.deploy("app", {"sfClass": "flow.delay", "time": 100_000})
            await asyncio.sleep(70)
            root = one.process.application("app")
            root.flow._save()
            assert isinstance(root.value(FLOW_STATE), str)
            network.kill(one.process)
            again = await begin(network, tmp_path / "host1", "host1", "host1:3800", HOSTS)
            before = asyncio.get_running_loop().time()
            await until(lambda: again.process.ended_application("app"), timeout_s=60)
            assert 29 <= asyncio.get_running_loop().time() - before <= 31
            await again.process.stop()

    virtual_time(story())


def test_an_outbox_remembers_who_listens(tmp_path):
    async def story():
        async with engines(tmp_path) as (_, (one,)):
            await one.deploy("app", {"sfClass": GROUP, "a": {"sfClass": SLEEPER}})
            root = one.process.application("app")
            box = Outbox(one.process, root)
            box.add(root.children["a"].handle)
            assert Outbox(one.process, root).sinks == (root.children["a"].handle,)
            box.remove(root.children["a"].handle)
            assert Outbox(one.process, root).sinks == ()

    virtual_time(story())
