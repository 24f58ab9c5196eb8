"""Trees cut off from their parents, and what parts do without theirs."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.faults import Draining, EngineError, Kind, WrongState
from engine.core.records import Record
from engine.testing.kit import begin, engines, tree, virtual_time
from engine.wire.codec import flatten
from engine.wire.messages import (
    Cancel,
    Cancelled,
    Create,
    Cut,
    Detach,
    Drain,
    Drained,
    Gone,
)

GROUP = "engine.compound.Compound"
FILE = "engine.testing.components.FileMaker"


def live(engine, path):
    return next((each for each in engine.process.lives.values() if each.path == path), None)


async def virtually(condition, bound_s=300):
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not condition():
        assert loop.time() - began < bound_s, f"not within {bound_s} virtual seconds"
        await asyncio.sleep(0.05)
    return loop.time() - began


def description(tmp_path, **inner):
    return {
        "sfClass": GROUP,
        "sfLivenessDelay": 5,
        "a": {"sfClass": FILE, "file": str(tmp_path / "a")},
        "in": {
            "sfClass": GROUP,
            "b": {"sfClass": FILE, "file": str(tmp_path / "b")},
            "far": {
                "sfClass": GROUP,
                "sfProcessHost": "host2",
                "c": {"sfClass": FILE, "file": str(tmp_path / "c")},
            },
            **inner,
        },
    }


def story(tmp_path, work, **inner):
    async def run():
        async with engines(tmp_path / "state", 2) as (network, made):
            await made[0].deploy("app", description(tmp_path, **inner))
            await work(network, made)
            for engine in made:
                assert not engine.process.lives
                counts = engine.process.ledger.counts()
                rows = {
                    table: counts[table]
                    for table in ("segments", "births", "fates", "changes", "effects")
                }
                assert not any(rows.values()), rows
            assert not any((tmp_path / name).exists() for name in "abc")

    virtual_time(run())


def test_a_tree_cut_off_goes_on_as_an_application_of_its_own(tmp_path):
    async def work(_, made):
        one, two = made
        before = live(one, "app:in:b").id
        cut = await one.submit(Detach(ref="app:in"))
        assert isinstance(cut, Cut)
        assert cut.before == "app:in"
        assert list(live(one, "app").children) == ["a"]
        assert live(one, f"{cut.name}:b").id == before
        await one.terminate("app")
        assert (tmp_path / "b").exists()
        assert live(two, f"{cut.name}:far:c") is not None
        await asyncio.sleep(60)
        assert {row.path.partition(":")[0] for row in await one.rows(cut.name)} == {cut.name}
        await one.terminate(cut.name)

    story(tmp_path, work)


def test_a_part_cut_off_goes_on_where_it_is(tmp_path):
    async def work(_, made):
        one, two = made
        cut = await one.submit(Detach(ref="app:in:far"))
        assert cut.address == "host2:3800"
        assert "far" not in live(one, "app:in").children
        await one.terminate("app")
        await asyncio.sleep(60)
        assert (tmp_path / "c").exists()
        await two.terminate(cut.name)

    story(tmp_path, work)


def test_its_name_is_the_one_it_asks_for(tmp_path):
    async def work(_, made):
        one, _two = made
        cut = await one.submit(Detach(ref="app:in"))
        assert cut.name == "inner"
        await one.terminate("inner")
        await one.terminate("app")

    story(tmp_path, work, sfProcessComponentName="inner")


def test_cut_off_and_ended_leaves_the_rest_running(tmp_path):
    async def work(_, made):
        one, _two = made
        gone = await one.submit(Detach(ref="app:in", then=Record.normal("enough")))
        assert isinstance(gone, Gone)
        assert not (tmp_path / "b").exists()
        assert live(one, "app").state.value == "started"
        await one.terminate("app")

    story(tmp_path, work)


def test_a_tree_cut_off_is_taken_up_again_with_its_effects(tmp_path):
    async def work(network, made):
        one, _two = made
        cut = await one.submit(Detach(ref="app:in"))
        ids = {each.id for each in one.process.lives.values()}
        network.verbs.pop("host1:3800")
        await one.process.stop()
        folder, peers = tmp_path / "state" / "host1", {"host2": "host2:3800"}
        made[0] = one = await begin(network, folder, "host1", "host1:3800", peers)
        assert {each.id for each in one.process.lives.values()} == ids
        assert list(one.process.apps) == ["app", cut.name]
        await asyncio.sleep(60)
        await one.terminate(cut.name)
        assert (tmp_path / "a").exists()
        await one.terminate("app")

    story(tmp_path, work)


def test_an_application_cannot_be_cut_off(tmp_path):
    async def work(_, made):
        with pytest.raises(WrongState, match="is an application already"):
            await made[0].submit(Detach(ref="app"))
        await made[0].terminate("app")

    story(tmp_path, work)


# -- orphans


@pytest.mark.parametrize(
    ("policy", "least_s", "most_s"), [("terminate", 10, 16), ("wait 30", 40, 46)]
)
def test_orphans_end_at_once_or_after_the_time_they_wait(tmp_path, policy, least_s, most_s):
    async def run():
        async with engines(tmp_path / "state", 2) as (network, (one, two)):
            root = description(tmp_path)
            root["sfOrphanPolicy"] = policy
            await one.deploy("app", root)
            network.sever("host1:3800", "host2:3800")
            network.sever("host2:3800", "host1:3800")
            took = await virtually(lambda: not two.process.lives)
            assert least_s <= took <= most_s
            network.severed.clear()
            await virtually(lambda: not one.process.lives)

    virtual_time(run())


def test_an_orphan_that_waits_is_taken_back_when_it_is_asked_again(tmp_path):
    async def run():
        async with engines(tmp_path / "state", 2) as (_, (one, two)):
            root = description(tmp_path)
            root.update(sfOrphanPolicy="wait 60")
            await one.deploy("app", root)
            segment = next(iter(two.process.segments.values()))
            due = one.process.liveness._due
            due[segment.id] = asyncio.get_running_loop().time() + 40  # its parent was frozen
            await virtually(lambda: segment.orphan_since_s is not None)
            await virtually(lambda: segment.orphan_since_s is None)
            await asyncio.sleep(200)
            assert (tmp_path / "c").exists()
            await one.terminate("app")

    virtual_time(run())


def test_an_orphan_may_become_an_application_of_its_own(tmp_path):
    async def run():
        async with engines(tmp_path / "state", 2) as (network, (one, two)):
            root = description(tmp_path)
            root["in"]["far"].update(sfOrphanPolicy="detach", sfProcessComponentName="alone")
            await one.deploy("app", root)
            network.sever("host1:3800", "host2:3800")
            await virtually(lambda: "alone" in two.process.apps)
            network.severed.clear()
            await virtually(lambda: "app" not in one.process.apps)
            await asyncio.sleep(400)
            assert (tmp_path / "c").exists(), "its old parent must leave it alone"
            await two.terminate("alone")

    virtual_time(run())


# -- restarts that are meant, draining, cancelling


def test_a_planned_restart_counts_no_misses(tmp_path):
    async def run():
        async with engines(tmp_path / "state", 2) as (network, made):
            root = description(tmp_path)
            root.update(sfLivenessDelay=2)
            await made[0].deploy("app", root)
            for index in (1, 0):
                address = f"host{index + 1}:3800"
                await made[index].process.stop()
                network.verbs.pop(address)
                await asyncio.sleep(20)
                folder = tmp_path / "state" / f"host{index + 1}"
                peers = {"host1": "host1:3800", "host2": "host2:3800"}
                made[index] = await begin(network, folder, f"host{index + 1}", address, peers)
                await asyncio.sleep(60)
                assert "app" in made[0].process.apps
                assert live(made[1], "app:in:far:c") is not None
            await made[0].terminate("app")

    virtual_time(run())


def test_a_draining_daemon_refuses_new_work_and_asks_components_to_move(tmp_path):
    async def run():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            mover = {"sfClass": "engine.testing.components.Mover", "takes": 3}
            slow = {"sfClass": "engine.testing.components.Mover", "takes": 300}
            await one.deploy("app", {"sfClass": GROUP, "m": mover, "s": slow})
            drained = await one.submit(Drain(limit_s=10))
            assert isinstance(drained, Drained)
            assert drained.moved == 1
            assert drained.stayed == ("app:s: had not moved within 10 s",)
            with pytest.raises(Draining):
                await one.deploy("other", {"sfClass": GROUP})
            await one.submit(Drain(on=False))
            await one.deploy("other", {"sfClass": GROUP})
            await one.terminate("other")
            await one.terminate("app")

    virtual_time(run())


def test_a_cancelled_deployment_is_rolled_back_and_says_so(tmp_path):
    async def run():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            root = {
                "sfClass": GROUP,
                "a": {"sfClass": FILE, "file": str(tmp_path / "a")},
                "b": {"sfClass": FILE, "file": str(tmp_path / "b"), "block": "start"},
            }
            op = Create("s-1", "app", "app", "app", flatten(tree(root)), upto="started")
            asked = asyncio.ensure_future(one.submit(op, "r-1"))
            await virtually((tmp_path / "b").exists)
            answer = await one.submit(Cancel("r-1"))
            assert answer == Cancelled(found=True)
            with pytest.raises(EngineError, match="ended by request") as failure:
                await asked
            assert failure.value.fault.kind is Kind.REFUSED
            assert not (tmp_path / "a").exists()
            assert await one.submit(Cancel("r-1"), "again") == Cancelled(found=False)

    virtual_time(run())
