"""Liveness and supervision under virtual time: bounds, leases, restarts, all without waiting."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.leases import Sign, Watch, heard
from engine.core.records import Record
from engine.testing.kit import Rule, engines, lazy, tree, virtual_time

FILE = "engine.testing.components.FileMaker"
GROUP = "engine.compound.Compound"
SLEEPER = "engine.testing.components.Sleeper"


def two_hosts(tmp_path, **second):
    return tree(
        {
            "sfClass": GROUP,
            "sfLivenessDelay": 5,
            "a": {"sfClass": FILE, "file": str(tmp_path / "a")},
            "two": {
                "sfClass": GROUP,
                "sfProcessHost": "host2",
                "b": {"sfClass": FILE, "file": str(tmp_path / "b"), **second},
            },
        }
    )


async def until_virtually(condition, bound_s):
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not condition():
        if loop.time() - began > bound_s:
            raise AssertionError(f"not within {bound_s} virtual seconds")
        await asyncio.sleep(0.05)
    return loop.time() - began


def test_a_silent_process_is_declared_dead_within_its_bound(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (network, (one, _two)):
            await one.deploy("app", two_hosts(tmp_path))
            network.rules.append(Rule("cut", to="host2:3800", times=-1))
            took = await until_virtually(lambda: "app" not in one.process.apps, 60)
            record = one.process.ended_application("app")
            assert record.type == "livenessFailure"
            assert record.component == "app:two"
            return took

    assert virtual_time(story()) <= 2 * 5 + 5 + 5


@pytest.mark.parametrize("how", [{"sfSyncTerminate": True}, {"sfTerminateOrder": "dependency"}, {}])
def test_a_host_known_to_be_dead_does_not_hold_up_the_end_of_the_rest(tmp_path, how):
    async def story():
        async with engines(tmp_path / "state", 3) as (network, (one, _two, three)):
            far = {"sfClass": GROUP, "sfProcessHost": "host2"}
            there = {"sfClass": FILE, "sfProcessHost": "host3", "file": str(tmp_path / "c")}
            here = {"sfClass": FILE, "file": str(tmp_path / "a")}
            pool = {"sfClass": GROUP, **how, "a": here, "c": there, "lost": far, "lost2": far}
            await one.deploy("app", tree({"sfClass": GROUP, "sfLivenessDelay": 5, "in": pool}))
            loop, hang = asyncio.get_running_loop(), Rule("cut", to="host2:3800", times=-1)
            hang.delay_s = 60.0  # no answer at all, not even a refusal
            network.rules.append(hang)
            root = one.process.apps["app"].root
            await until_virtually(lambda: root.children["in"].state.ended, 60)
            began = loop.time()
            await until_virtually(lambda: not three.process.lives, 10)
            rest_s = loop.time() - began
            assert not (tmp_path / "a").exists()
            await until_virtually(lambda: "app" not in one.process.apps, 20)
            return rest_s

    assert virtual_time(story()) < 1.0


def test_one_missed_round_is_forgiven(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (network, (one, _two)):
            await one.deploy("app", two_hosts(tmp_path))
            network.rules.append(Rule("cut", verb="beat", to="host2:3800", times=1))
            await asyncio.sleep(60)
            assert network.rules[0].times == 0
            assert {row.state for row in await one.rows("app")} == {"started"}
            await one.terminate("app")

    virtual_time(story())


def test_a_part_whose_parent_is_silent_ends_itself_when_its_lease_runs_out(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (network, (one, two)):
            await one.deploy("app", two_hosts(tmp_path))
            network.rules.append(Rule("cut", times=-1))
            took = await until_virtually(lambda: not two.process.lives, 60)
            assert not (tmp_path / "b").exists()
            network.rules.clear()
            await until_virtually(lambda: not one.process.apps, 60)
            return took

    assert virtual_time(story()) <= 3 * 5 + 5.1


def test_a_part_that_keeps_goes_on_without_its_parent(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (network, (one, two)):
            await one.deploy("app", two_hosts(tmp_path, sfOrphanPolicy="keep"))
            network.rules.append(Rule("cut", times=-1))
            await asyncio.sleep(120)
            assert (tmp_path / "b").exists()
            assert {live.path for live in two.process.lives.values()} == {"app:two", "app:two:b"}
            network.rules.clear()
            await until_virtually(lambda: not one.process.apps and not two.process.lives, 400)
            assert not (tmp_path / "b").exists()

    virtual_time(story())


def test_an_unwell_component_ends_the_application_within_one_round(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (_, (one, _two)):
            await one.deploy("app", two_hosts(tmp_path))
            (tmp_path / "b").unlink()
            took = await until_virtually(lambda: not one.process.apps, 30)
            record = one.process.ended_application("app")
            assert record.type == "livenessFailure"
            assert "is gone" in record.description
            return took

    assert virtual_time(story()) <= 6


@pytest.mark.parametrize("where", ["host1", "host2"])
def test_a_supervisor_restarts_just_the_child_that_ended(tmp_path, where):
    async def story():
        async with engines(tmp_path / "state", 2) as (_, (one, two)):
            description = {
                "sfClass": "components.workflow.Supervisor",
                "kept": {"sfClass": FILE, "file": str(tmp_path / "kept")},
                "worker": {
                    "sfClass": GROUP,
                    "sfProcessHost": where,
                    "b": {"sfClass": FILE, "file": str(tmp_path / "b")},
                },
            }
            await one.deploy("app", description)
            holder = one if where == "host1" else two
            before = {row.path: row.ident for row in await one.rows("app")}
            b = next(live for live in holder.process.lives.values() if live.name == "b")
            await b.prim.end("abnormal")
            await asyncio.sleep(5)
            after = {row.path: row.ident for row in await one.rows("app")}
            assert after["app:kept"] == before["app:kept"]
            assert after["app:worker"] != before["app:worker"]
            assert (tmp_path / "b").exists()
            await one.terminate("app")
            assert not holder.process.lives

    virtual_time(story())


def test_a_supervisor_gives_up_when_restarts_exceed_its_budget(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            description = {
                "sfClass": "components.workflow.Supervisor",
                "intensity": 3,
                "period": 60,
                "failing": {"sfClass": SLEEPER, "endsAfter": 1.0, "recordType": "abnormal"},
            }
            await one.deploy("app", description)
            await until_virtually(lambda: not one.process.apps, 60)
            record = one.process.ended_application("app")
            assert record.type == "abnormal"
            assert "more than 3 restarts" in record.description

    virtual_time(story())


def test_a_normal_end_below_a_transient_supervisor_stays_ended(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            description = {
                "sfClass": "components.workflow.Supervisor",
                "done": {"sfClass": SLEEPER, "endsAfter": 1.0},
            }
            await one.deploy("app", description)
            await asyncio.sleep(30)
            assert [row.path for row in await one.rows("app")] == ["app"]
            await one.terminate("app", Record.normal())

    virtual_time(story())


@pytest.mark.parametrize("mode", ["drop", "lose", "twice"])
@pytest.mark.parametrize("verb", ["submit"])
def test_messages_dropped_lost_or_doubled_change_nothing(tmp_path, mode, verb):
    async def story():
        for nth in range(1, 6):
            async with engines(tmp_path / f"{mode}{nth}", 2) as (network, (one, two)):
                network.rules += [
                    Rule("pass", verb=verb, to="host2:3800", times=nth - 1),
                    Rule(mode, verb=verb, to="host2:3800"),
                ]
                await one.deploy("app", two_hosts(tmp_path))
                paths = sorted(live.path for live in two.process.lives.values())
                assert paths == ["app:two", "app:two:b"]
                await one.terminate("app")
                assert not two.process.lives
                assert not (tmp_path / "b").exists()

    virtual_time(story())


def test_a_lazy_value_is_read_anew_across_processes(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (_, (one, two)):
            await one.deploy("app", two_hosts(tmp_path, text="first"))
            a = next(live for live in one.process.lives.values() if live.name == "a")
            b = next(live for live in two.process.lives.values() if live.name == "b")
            reference = lazy("two:b:text")
            assert await one.process.resolver.resolve(a, reference) == "first"
            b.write("text", "changed")
            assert await one.process.resolver.resolve(a, reference) == "changed"
            await one.terminate("app")

    virtual_time(story())


def test_misses_in_a_row_are_counted_and_forgotten():
    watch = Watch(delay_s=15, factor=2)

    watch, dead = heard(watch, Sign.SILENT)
    assert not dead
    watch, dead = heard(watch, Sign.OK)
    watch, dead = heard(watch, Sign.SILENT)
    assert not dead
    watch, dead = heard(watch, Sign.SILENT)
    assert dead
