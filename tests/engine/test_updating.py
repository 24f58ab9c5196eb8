"""Changing a running application into another: looked at first, in place where possible, or back."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.faults import EngineError, Kind
from engine.testing.kit import begin, engines, virtual_time
from engine.wire.messages import Update

GROUP = "engine.compound.Compound"
FILE = "engine.testing.components.FileMaker"
SIZED = "engine.testing.components.Sized"


def live(engine, path):
    return next((each for each in engine.process.lives.values() if each.path == path), None)


def maker(tmp_path, name, **more):
    return {"sfClass": FILE, "file": str(tmp_path / name), **more}


def pool(tmp_path, names="ab", **more):
    return {
        "sfClass": GROUP,
        "sfUpdatable": True,
        "sfMinReadyTime": 5,
        **{name: maker(tmp_path, name) for name in names},
        **more,
    }


def story(tmp_path, work, description, count=2):
    async def run():
        async with engines(tmp_path / "state", count) as (network, made):
            await made[0].deploy("app", description)
            await work(network, made)
            if made[0].process.apps:
                await made[0].terminate("app")
            await asyncio.sleep(1)
            for engine in made:
                assert not engine.process.lives
                counts = engine.process.ledger.counts()
                assert not counts["effects"]
                assert not counts["segments"]
            assert not any((tmp_path / name).exists() for name in "abcd")

    virtual_time(run())


def test_children_are_made_ended_replaced_and_the_rest_stays(tmp_path):
    async def work(_, made):
        one, two = made
        kept = live(one, "app:a").id
        new = pool(
            tmp_path,
            "a",
            c=maker(tmp_path, "c", text="new", sfProcessHost="host2"),
            b=maker(tmp_path, "b", text="other"),
        )
        outlook = await one.plan("app", new)
        assert [(row.path, row.change) for row in outlook.rows] == [("b", "+/-"), ("c", "+")]
        assert outlook.rows[0].why == "text counts only when it starts"
        assert not outlook.problems
        before = live(one, "app:b").id
        done = await one.update("app", new, expect=outlook.digest)
        assert (done.made, done.ended, done.replaced, done.generation) == (1, 0, 1, 2)
        assert live(one, "app:a").id == kept
        assert live(one, "app:b").id != before
        assert live(two, "app:c") is not None
        assert "other" in (tmp_path / "b").read_text()
        assert live(one, "app").value("sfGeneration") == 2
        done = await one.update("app", pool(tmp_path, "a"))
        assert done.ended == 2
        assert not (tmp_path / "b").exists()

    story(tmp_path, work, pool(tmp_path))


def test_what_can_be_taken_in_place_is(tmp_path):
    async def work(_, made):
        one, two = made
        ids = {each.id for engine in made for each in engine.process.lives.values()}
        far = {"sfClass": SIZED, "size": 5, "sfProcessHost": "host2"}
        done = await one.update(
            "app", pool(tmp_path, "a", far=far, s={"sfClass": SIZED, "size": 8})
        )
        assert (done.altered, done.replaced) == (2, 0)
        assert live(one, "app:s").prim.grown == "1 to 8"
        assert live(two, "app:far").prim.size == 5
        assert {each.id for engine in made for each in engine.process.lives.values()} == ids

    far = {"sfClass": SIZED, "size": 1, "sfProcessHost": "host2"}
    story(tmp_path, work, pool(tmp_path, "a", far=far, s={"sfClass": SIZED, "size": 1}))


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"sfUpdatable": None}, Kind.REFUSED, "is not updatable"),
        ({"sfLivenessFactor": 7}, Kind.REFUSED, "top of the tree cannot be replaced"),
        ({"x": {"sfClass": SIZED, "size": "big"}}, Kind.BAD_DESCRIPTION, "whole number"),
    ],
)
def test_an_update_that_is_refused_changes_nothing(tmp_path, change, kind, words):
    async def work(_, made):
        one = made[0]
        before = await one.rows("app")
        with pytest.raises(EngineError, match=words) as failure:
            await one.update("app", pool(tmp_path, "ac", **change))
        assert failure.value.fault.kind is kind
        assert [row.ident for row in await one.rows("app")] == [row.ident for row in before]
        assert not (tmp_path / "c").exists()

    running = pool(tmp_path, x={"sfClass": SIZED, "size": 1})
    if "sfUpdatable" in change:
        del running["sfUpdatable"]
    story(tmp_path, work, running)


def test_a_plan_made_for_another_generation_is_refused(tmp_path):
    async def work(_, made):
        new = pool(tmp_path, "abc")
        digest = (await made[0].plan("app", new)).digest
        await made[0].update("app", pool(tmp_path, "a"))
        with pytest.raises(EngineError, match="something has changed"):
            await made[0].update("app", new, expect=digest)

    story(tmp_path, work, pool(tmp_path))


def test_a_failed_update_ends_the_application(tmp_path):
    async def work(_, made):
        with pytest.raises(EngineError, match=r"the application was ended: .*told to fail"):
            await made[0].update("app", pool(tmp_path, "ab", c=maker(tmp_path, "c", fail="start")))
        assert not made[0].process.apps

    story(tmp_path, work, pool(tmp_path))


@pytest.mark.parametrize("bad", [{"fail": "start"}, {"fail": "check", "sfLivenessDelay": 1}])
def test_a_bad_version_is_rolled_back_to_the_old_one_fully_running(tmp_path, bad):
    async def work(_, made):
        one, _two = made
        worse = {
            name: maker(tmp_path, name, text="v2", **(bad if name == "b" else {}), **place)
            for name, place in (("a", {}), ("b", {"sfProcessHost": "host2"}))
        }
        with pytest.raises(EngineError, match="everything is as before"):
            await one.update("app", pool(tmp_path, "", sfUpdateFailure="revert", **worse))
        assert sorted(live(one, "app").children) == ["a", "b"]
        assert "v2" not in (tmp_path / "a").read_text()
        assert "v2" not in (tmp_path / "b").read_text()
        assert live(one, "app").ready

    place = {"sfProcessHost": "host2"}
    running = {name: maker(tmp_path, name, **where) for name, where in (("a", {}), ("b", place))}
    story(tmp_path, work, pool(tmp_path, "", sfUpdateFailure="revert", **running))


def test_children_are_replaced_in_turn_each_ready_for_a_while(tmp_path):
    async def work(_, made):
        one = made[0]
        loop = asyncio.get_running_loop()
        began = loop.time()
        new = pool(tmp_path, "", **{n: maker(tmp_path, n, text="v2") for n in "abc"})
        await one.update("app", new)
        assert loop.time() - began >= 15
        states = [
            (event.path, event.body.state)
            for event in one.process.events._ring
            if event.path in {"app:a", "app:b", "app:c"}
            and getattr(event.body, "state", "") in {"terminated", "started"}
        ][3:]
        assert states == [
            (f"app:{name}", state) for name in "abc" for state in ("terminated", "started")
        ]

    story(tmp_path, work, pool(tmp_path, "abc"))


def test_several_may_be_replaced_at_a_time(tmp_path):
    async def work(_, made):
        one = made[0]
        loop = asyncio.get_running_loop()
        began = loop.time()
        new = {n: maker(tmp_path, n, text="v2") for n in "abcd"}
        await one.update("app", pool(tmp_path, "", sfMaxParallel=2, **new))
        assert 10 <= loop.time() - began < 15

    story(tmp_path, work, pool(tmp_path, "abcd", sfMaxParallel=2))


def test_going_back_by_hand(tmp_path):
    async def work(_, made):
        one = made[0]
        await one.update("app", pool(tmp_path, "a"))
        done = await one.submit(Update("app"))
        assert done.made == 1
        assert sorted(live(one, "app").children) == ["a", "b"]

    story(tmp_path, work, pool(tmp_path))


def test_what_was_updated_is_what_comes_back_after_a_restart(tmp_path):
    async def work(network, made):
        await made[0].update("app", pool(tmp_path, "ac"))
        ids = {each.id for each in made[0].process.lives.values()}
        network.verbs.pop("host1:3800")
        await made[0].process.stop()
        folder, peers = tmp_path / "state" / "host1", {"host2": "host2:3800"}
        made[0] = await begin(network, folder, "host1", "host1:3800", peers)
        assert {each.id for each in made[0].process.lives.values()} == ids
        assert live(made[0], "app").value("sfGeneration") == 2

    story(tmp_path, work, pool(tmp_path))


def test_a_crash_in_the_middle_of_an_update_leaves_nothing(tmp_path):
    async def run():
        async with engines(tmp_path / "state", 1) as (network, made):
            await made[0].deploy("app", pool(tmp_path, "ab"))
            new = {n: maker(tmp_path, n, text="v2") for n in "ab"}
            asked = asyncio.ensure_future(made[0].update("app", pool(tmp_path, "", **new)))
            await asyncio.sleep(2)
            assert made[0].process.apps["app"].updating
            asked.cancel()
            network.kill(made[0].process)
            made[0] = await begin(network, tmp_path / "state" / "host1", "host1", "host1:3800", {})
            assert not made[0].process.apps
            assert not (tmp_path / "a").exists()
            assert not (tmp_path / "b").exists()
            assert not made[0].process.ledger.counts()["effects"]

    virtual_time(run())
