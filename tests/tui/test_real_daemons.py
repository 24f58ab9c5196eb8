"""The console over two real daemons, one of which is killed and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

import pytest
from textual import events

from engine.client.client import Client
from engine.core.records import Record
from engine.testing.daemons import daemons
from engine.testing.kit import tree, until
from tui.app import ConsoleApp

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
COMPOUND = {"sfClass": "engine.compound.Compound"}
ANSWER_MS = 100.0


def application(parts, far=""):
    """Compounds in a compound, one of them on another host."""
    children = {f"part{number}": tree(COMPOUND) for number in range(parts)}
    if far:
        children["far"] = tree({**COMPOUND, "sfProcessHost": far})
    return tree({**COMPOUND, **children})


def at(app, path):
    return next((node for node in app.model.forest.walk() if node.row.path == path), None)


def lost(app, path):
    node = at(app, path)
    return None if node is None else app.model.lost_for(node, app.clock())


async def answered_ms(app, pilot, key):
    """Press a key; return milliseconds until the console hands a screen to its driver."""
    painted = asyncio.Event()
    display = app._display

    def noticed(screen, renderable):
        display(screen, renderable)
        painted.set()

    app._display = noticed
    start = time.perf_counter()
    app.post_message(events.Key(key, None))
    await asyncio.wait_for(painted.wait(), 10)
    took_ms = (time.perf_counter() - start) * 1000
    app._display = display
    return took_ms


async def pressed(app, pilot, keys):
    times = []
    for key in keys:
        times.append(await answered_ms(app, pilot, key))
        await asyncio.sleep(0.03)
    return times


async def do(function, *data):
    """Run what blocks beside the console."""
    return await asyncio.to_thread(function, *data)


@pytest.fixture
def pair(tmp_path):
    with daemons(tmp_path, "one", "two") as (one, two):
        yield one, two


@contextlib.asynccontextmanager
async def shown(*addresses):
    app = ConsoleApp(addresses)
    async with app.run_test(size=(120, 40)) as pilot:
        yield app, pilot


async def test_a_killed_daemon_is_lost_keys_are_answered_and_it_comes_back_by_itself(pair):
    one, two = pair
    await do(one.client().start("near", application(40)).result)
    await do(two.client().start("away", application(3)).result)

    async with shown(one.address, two.address) as (app, pilot):
        await until(lambda: len(app.model.forest) == 45, timeout_s=30)
        await until(lambda: at(app, "away:part2").row.ready, timeout_s=30)
        assert lost(app, "away:part1") is None

        two.kill()
        await until(lambda: lost(app, "away:part1") is not None, timeout_s=10)
        times = await pressed(app, pilot, ["down", "up"] * 40 + ["end"])
        assert lost(app, "away:part1") > 1.0
        assert lost(app, "near:part1") is None
        assert len(app.model.forest) == 45
        text = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        assert "✖ two lost, data" in text
        assert "✖ lost" in text
        slow = sorted(times)[int(len(times) * 0.95)]
        assert slow < ANSWER_MS, sorted(times)

        await do(two.start)
        await until(lambda: at(app, "away:part1") and lost(app, "away:part1") is None, timeout_s=30)
        await do(two.client().terminate("away", Record.normal("over")).result)
        await until(lambda: at(app, "away") is None, timeout_s=30)
        assert len(app.model.forest) == 41


async def test_a_daemon_that_hangs_is_silent_then_lost_and_never_in_the_way(pair):
    one, two = pair
    await do(two.client().start("away", application(3)).result)

    async with shown(one.address, two.address) as (app, pilot):
        await until(lambda: len(app.model.forest) == 4, timeout_s=30)
        os.kill(two.pid, signal.SIGSTOP)
        try:
            times = []
            end = time.monotonic() + 15.0
            while lost(app, "away") is None:
                times += await pressed(app, pilot, ["down", "up"])
                assert time.monotonic() < end
        finally:
            os.kill(two.pid, signal.SIGCONT)
        assert sorted(times)[int(len(times) * 0.95)] < ANSWER_MS, sorted(times)
        await until(lambda: lost(app, "away") is None, timeout_s=20)


async def test_an_application_over_two_hosts_is_live_although_only_one_is_named(pair):
    one, two = pair

    async with shown(one.address) as (app, pilot):
        await until(lambda: app.model.hosts[one.address].name == "one", timeout_s=30)
        await do(one.client().start("pool", application(2, far="two")).result)
        await until(lambda: at(app, "pool:far") and at(app, "pool:far").row.ready, timeout_s=30)
        await until(lambda: app.model.hosts[two.address].name == "two", timeout_s=10)
        assert not app.model.hosts[two.address].listed

        real = await do(lambda: list(Client(one.address).whole_tree("pool")))
        await until(lambda: [row.path for row in real] == app.components.paths, timeout_s=10)
        assert {row.ident for row in real} == {n.row.ident for n in app.model.forest.walk()}

        await pilot.press("t", "y")
        await until(lambda: len(app.model.forest) == 0, timeout_s=30)
        await until(lambda: two.address not in app.model.hosts, timeout_s=10)


async def test_ten_thousand_components_of_a_real_daemon_scroll(pair):
    one, _ = pair
    group = tree({**COMPOUND, **{f"p{n:02}": tree(COMPOUND) for n in range(99)}})
    big = tree({**COMPOUND, **{f"g{n:03}": group for n in range(100)}})
    await do(one.client().start("big", big).result)

    async with shown(one.address) as (app, pilot):
        await until(lambda: app.components.count() == 10_001, timeout_s=60)
        times = await pressed(app, pilot, ["pagedown"] * 40 + ["end", "home"] * 10)
        slow = sorted(times)[int(len(times) * 0.95)]
        assert slow < ANSWER_MS, sorted(times)
