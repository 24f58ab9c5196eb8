"""Events of an application's parts, followed at the process that holds its root."""

from __future__ import annotations

import asyncio

from engine.testing.kit import PEER, engines, tree, virtual_time
from engine.wire.codec import decode, encode, flatten
from engine.wire.messages import Graft, Page, Pull

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

            assert not two.process.relays._tasks
            page = await pull("")
            lost = next(live for live in three.process.lives.values() if live.path.endswith("far"))
            lost.prim.set_ready(True)
            page = await pull(page.next, 20_000)
            assert [event.path for event in page.rows] == ["app:near:far"]
            await asyncio.sleep(200)
            assert not one.process.relays._tasks, "a relay nobody asks for must end"
            await one.terminate("app")

    virtual_time(story())


def test_what_parts_have_told_is_all_there_once_settled(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 3) as (network, (one, _two, _three)):
            far = {"sfClass": SIGNALLER, "sfProcessHost": "host3"}
            near = {"sfClass": GROUP, "sfProcessHost": "host2", "far": far}
            await one.deploy("app", {"sfClass": GROUP, "near": near})

            async def pull(cursor, *, settled=False):
                wanted = Pull(cursor=cursor, application="app", whole=True, settled=settled)
                answer = await network.verbs["host1:3800"].handle("stream", encode(wanted), PEER)
                return decode(answer, Page)

            cursor = (await pull("")).next
            await one.terminate("app")
            told = [
                event.path for event in (await pull(cursor, settled=True)).rows
                if getattr(event.body, "state", "") == "terminated"
            ]  # fmt: skip
            assert sorted(told) == ["app", "app:near", "app:near:far"]

    virtual_time(story())


def test_a_part_that_comes_while_its_application_is_followed_is_heard_from_its_first_word(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (network, (one, _two)):
            await one.deploy("app", {"sfClass": GROUP})
            wanted = Pull(application="app", whole=True)
            message = encode(wanted)
            page = decode(await network.verbs["host1:3800"].handle("stream", message, PEER), Page)
            far = flatten(tree({"sfClass": SIGNALLER, "sfProcessHost": "host2"}))
            await one.submit(Graft("far", far, ref="app"))
            wanted = Pull(page.next, "app", kinds=("state",), whole=True, settled=True)
            message = encode(wanted)
            page = decode(await network.verbs["host1:3800"].handle("stream", message, PEER), Page)
            told = [event.body.state for event in page.rows if event.path == "app:far"]
            assert told == ["created", "deploying", "deployed", "starting", "started"]
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
