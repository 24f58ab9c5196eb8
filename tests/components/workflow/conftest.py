"""Workflows under virtual time, with the actions in this process or in another one."""

from __future__ import annotations

import asyncio

import pytest

import sfdl
from engine.core.events import Noted, Restarted
from engine.core.faults import NotFound
from engine.testing.components import Step
from engine.testing.kit import begin, engines, until, virtual_time
from engine.wire.codec import encode, encode_value
from engine.wire.messages import Change, Set, as_tree

HEAD = """
#include "org/smartfrog/components.sf"
#include "components/workflow.sf"
#include "components/conditions.sf"
#include "components/events.sf"
Step extends Prim { sfClass "engine.testing.components.Step"; }
Group extends Compound { sfClass "engine.testing.components.Group"; }
"""


class Stage:
    """One application under way, and what its steps did."""

    def __init__(self, network, engine, other, place, folder):
        self.network, self.one, self.two, self.folder = network, engine, other, folder
        self._place = place
        self.began_s = 0.0

    def compiled(self, text):
        where = 'sfProcessHost "host2";' if self._place == "elsewhere" else ""
        return sfdl.compile(
            HEAD.replace('components.Step";', f'components.Step"; {where}') + text
        ).root

    async def start(self, text, name="app"):
        Step.diary.clear()
        root = self.compiled(f"sfConfig extends {text}")
        self.began_s = asyncio.get_running_loop().time()
        return await self.one.deploy(name, root)

    async def end(self, name="app", timeout_s=3600):
        """Wait for the end of the application and return its record."""
        return await until(lambda: self.one.process.ended_application(name), timeout_s=timeout_s)

    async def run(self, text, timeout_s=3600):
        await self.start(text)
        return await self.end(timeout_s=timeout_s)

    @property
    def said(self):
        """What the steps did, in order, ends left out."""
        return [text for _, text in Step.diary if not text.startswith("-")]

    @property
    def all_said(self):
        return [text for _, text in Step.diary]

    @property
    def times(self):
        return [(round(at - self.began_s, 1), text) for at, text in Step.diary if text[0] != "-"]

    def find(self, name):
        for engine in (self.one, self.two):
            for live in engine.process.lives.values():
                if live.name == name:
                    return live
        raise NotFound(f"no {name}")

    def has(self, name):
        return any(
            live.name == name for e in (self.one, self.two) for live in e.process.lives.values()
        )

    until = staticmethod(until)
    sleep = staticmethod(asyncio.sleep)

    async def set(self, ref, name, value):
        change = Change(name, "replace", as_tree(value))
        return await self.one.submit(Set((change,), ref=ref))

    async def create(self, container, name, text):
        """Have a container create a child."""
        root = self.compiled(f"sfConfig extends {text}")
        live = self.find(container)
        await live.process.calls.invoke(live.ident, "create", encode([name, encode_value(root)]))

    def notes(self):
        """What flows said."""
        return [
            event.body.text
            for e in (self.one, self.two)
            for event in e.process.events._ring
            if isinstance(event.body, Restarted | Noted)
        ]

    @property
    def left(self):
        return [live.path for e in (self.one, self.two) for live in e.process.lives.values()]

    async def again(self):
        """Kill the first process and begin it anew from its ledger."""
        self.network.kill(self.one.process)
        peers = {"host1": "host1:3800", "host2": "host2:3800"}
        self.one = await begin(self.network, self.folder / "host1", "host1", "host1:3800", peers)


@pytest.fixture(params=["here", "elsewhere"])
def place(request):
    return request.param


@pytest.fixture
def play(tmp_path, place):
    """Run a story under virtual time: a coroutine function that takes a stage."""

    def run(story):
        async def whole():
            async with engines(tmp_path / "state", 2) as (network, (one, two)):
                stage = Stage(network, one, two, place, tmp_path / "state")
                try:
                    await story(stage)
                finally:
                    if stage.one is not one:
                        network.verbs.pop(stage.one.process.address, None)
                        await stage.one.process.stop()

        virtual_time(whole())

    return run


@pytest.fixture
def stage_here(tmp_path):
    """As `play`, with everything in one process."""

    def run(story):
        async def whole():
            async with engines(tmp_path / "state", 2) as (network, (one, two)):
                await story(Stage(network, one, two, "here", tmp_path / "state"))

        virtual_time(whole())

    return run


@pytest.fixture
def make_stage():
    return lambda network, one, two, folder: Stage(network, one, two, "here", folder)
