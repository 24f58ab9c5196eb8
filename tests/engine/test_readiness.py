"""Readiness: who may be relied upon, over a tree and over processes."""

from __future__ import annotations

import asyncio

from engine.testing.kit import engines, tree, virtual_time
from sfdl.values import Description

GROUP = "engine.compound.Compound"
SIGNALLER = "engine.testing.components.Signaller"


def live(engine, path):
    return next(each for each in engine.process.lives.values() if each.path == path)


def test_a_compound_is_ready_when_all_its_children_are(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            late = {"sfClass": SIGNALLER, "readyAfter": 3}
            await one.deploy(
                "app", {"sfClass": GROUP, "a": late, "in": {"sfClass": GROUP, "b": late}}
            )
            assert not live(one, "app").ready
            await asyncio.sleep(3.5)
            assert live(one, "app").ready
            live(one, "app:in:b").prim.set_ready(False)
            assert not live(one, "app:in").ready
            assert not live(one, "app").ready

    virtual_time(story())


def test_an_optional_child_is_not_waited_for(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            never = tree({"sfClass": SIGNALLER})
            root = Description(
                (("sfClass", GROUP), ("a", never)), (("a", frozenset({"optional"})),)
            )
            await one.deploy("app", root)
            assert live(one, "app").ready
            assert not live(one, "app:a").ready

    virtual_time(story())


def test_readiness_passes_from_another_process_at_once(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (_, (one, two)):
            far = {"sfClass": SIGNALLER, "sfProcessHost": "host2"}
            await one.deploy("app", {"sfClass": GROUP, "far": far})
            assert not live(one, "app").ready
            live(two, "app:far").prim.set_ready(True)
            await asyncio.sleep(0.1)
            assert live(one, "app").ready
            await one.terminate("app")

    virtual_time(story())


def test_ready_by_check_needs_the_successes_asked_for_and_bears_failures_before(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            checked = {
                "sfClass": SIGNALLER,
                "wellAfter": 2,
                "sfReadyWhen": "check",
                "sfReadySuccesses": 3,
                "sfStartGrace": 60,
                "sfLivenessDelay": 1,
            }
            await one.deploy("app", {"sfClass": GROUP, "a": checked})
            await asyncio.sleep(2.5)
            assert not live(one, "app").ready
            await asyncio.sleep(5)
            assert live(one, "app").ready
            await one.terminate("app")

    virtual_time(story())
