"""Events of an application's parts, followed at the process that holds its root."""

from __future__ import annotations

import asyncio

from engine.testing.kit import PEER, engines, virtual_time
from engine.wire.codec import decode, encode
from engine.wire.messages import Page, Pull

GROUP = "engine.compound.Compound"
SIGNALLER = "engine.testing.components.Signaller"


def test_who_follows_a_whole_application_sees_its_parts_and_only_then(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 3) as (network, (one, two, three)):
            far = {"sfClass": SIGNALLER, "sfProcessHost": "host3"}
            near = {"sfClass": GROUP, "sfProcessHost": "host2", "far": far}
            await one.deploy("app", {"sfClass": GROUP, "near": near})

            async def pull(cursor, wait_ms=0):
                wanted = Pull(cursor=cursor, application="app", whole=True, wait_ms=wait_ms)
                answer = await network.verbs["host1:3800"].handle("stream", encode(wanted), PEER)
                return decode(answer, Page)

            page = await pull("")
            assert not two.process.relays._tasks
            await asyncio.sleep(1)
            lost = next(live for live in three.process.lives.values() if live.path.endswith("far"))
            lost.prim.set_ready(True)
            page = await pull(page.next, 20_000)
            assert [event.path for event in page.rows] == ["app:near:far"]
            await asyncio.sleep(200)
            assert not one.process.relays._tasks, "a relay nobody asks for must end"
            await one.terminate("app")

    virtual_time(story())


def test_a_component_tells_in_its_own_words(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            await one.deploy("app", {"sfClass": GROUP})
            one.process.application("app").prim.emit("backup", files=7, whole=True)
            said = [event.body for event in one.process.events._ring][-1]
            assert said.sentence() == "backup files=7 whole=True"
            await one.terminate("app")

    virtual_time(story())


def test_links_tell_the_state_of_their_targets_and_watch_attributes(tmp_path):
    from engine.testing.kit import lazy
    from engine.wire.messages import Change, Set, as_tree

    async def story():
        async with engines(tmp_path / "state", 2) as (_, (one, _two)):
            far = {"sfClass": "engine.testing.components.FileMaker", "file": str(tmp_path / "f"),
                   "sfProcessHost": "host2"}  # fmt: skip
            caller = {"sfClass": "engine.testing.components.Caller", "target": lazy("far")}
            await one.deploy("app", {"sfClass": GROUP, "far": far, "c": caller})
            link = one.process.application("app").children["c"].prim.target
            assert await link.state() == "started"
            seen = []

            async def watch():
                async for value in link.watch("text2"):
                    seen.append(value)  # noqa: PERF401 - seen while it goes on

            await one.submit(Set((Change("text2", "replace", as_tree(1)),), ref="app:far"))
            task = asyncio.ensure_future(watch())
            await asyncio.sleep(3)
            await one.submit(Set((Change("text2", "replace", as_tree(2)),), ref="app:far"))
            await asyncio.sleep(3)
            task.cancel()
            assert seen == [1, 2]
            await one.terminate("app")

    virtual_time(story())
