"""What a process finds after a restart, and what it makes of it; on the in-memory network."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.faults import Busy, Ended, EngineError, Kind
from engine.core.records import Record
from engine.runtime.ledger import Ledger
from engine.testing.kit import Rule, begin, engines, tree, until, virtual_time
from engine.wire.codec import flatten
from engine.wire.messages import Create, Grown, Request, Terminate

FILE = "engine.testing.components.FileMaker"
GROUP = "engine.compound.Compound"
SUPERVISOR = "components.workflow.Supervisor"
SLEEPER = "engine.testing.components.Sleeper"
PEERS = {"host1": "host1:3800", "host2": "host2:3800"}


def maker(path, **more):
    return {"sfClass": FILE, "file": str(path), **more}


async def crash(network, engine):
    """Lose a process as a crash would: its ledger stays, nothing else is told."""
    process = engine.process
    process.log.setLevel("CRITICAL")
    network.kill(process)
    await asyncio.gather(*process._tasks, return_exceptions=True)
    return process


async def again(network, engine, tmp_path, name="host1"):
    return await begin(network, tmp_path / "state" / name, name, PEERS[name], PEERS)


def live(engine, name):
    return next(live for live in engine.process.lives.values() if live.name == name)


def test_what_a_supervisor_restarted_is_adopted_with_everything_below_it(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (network, made):
            one = made[0]
            group = {"sfClass": GROUP, "a": maker(tmp_path / "a")}
            await one.deploy("app", {"sfClass": SUPERVISOR, "group": group})
            await live(one, "a").prim.end("abnormal")
            await asyncio.sleep(5)
            before = {row.path: row.ident for row in await one.rows("app")}
            await crash(network, one)
            made[0] = one = await again(network, one, tmp_path)
            assert {row.path: row.ident for row in await one.rows("app")} == before
            assert (tmp_path / "a").exists()
            await one.terminate("app")
            assert not (tmp_path / "a").exists()

    virtual_time(story())


def test_a_child_that_was_down_at_the_crash_is_restarted_afterwards(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (network, made):
            one = made[0]
            group = {"sfClass": GROUP, "a": maker(tmp_path / "a")}
            await one.deploy("app", {"sfClass": SUPERVISOR, "backoff": 30, "group": group})
            await live(one, "a").prim.end("abnormal")
            await asyncio.sleep(1)
            assert not (tmp_path / "a").exists()
            await crash(network, one)
            made[0] = one = await again(network, one, tmp_path)
            assert [row.path for row in await one.rows("app")] == ["app"]
            await asyncio.sleep(40)
            assert (tmp_path / "a").exists()
            assert len(await one.rows("app")) == 3
            await one.terminate("app")

    virtual_time(story())


def test_a_child_that_was_done_at_the_crash_stays_done(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (network, made):
            one = made[0]
            done = {"sfClass": SLEEPER, "endsAfter": 1.0}
            await one.deploy("app", {"sfClass": SUPERVISOR, "done": done})
            await asyncio.sleep(5)
            await crash(network, one)
            made[0] = one = await again(network, one, tmp_path)
            await asyncio.sleep(5)
            assert [row.path for row in await one.rows("app")] == ["app"]
            await one.terminate("app")

    virtual_time(story())


def test_clean_recovery_keeps_what_is_always_kept(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (network, made):
            one = made[0]
            description = {
                "sfClass": GROUP,
                "sfRecovery": "clean",
                "kept": maker(tmp_path / "kept", keep="always"),
                "gone": maker(tmp_path / "gone"),
            }
            await one.deploy("app", description)
            await crash(network, one)
            made[0] = one = await again(network, one, tmp_path)
            assert not one.process.apps
            assert (tmp_path / "kept").exists()
            assert not (tmp_path / "gone").exists()

    virtual_time(story())


def test_a_part_that_could_not_be_told_ends_later_with_the_record_it_was_given(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (network, (one, two)):
            part = {
                "sfClass": GROUP, "sfProcessHost": "host2", "sfOrphanPolicy": "keep",
                "kept": maker(tmp_path / "kept", keep="normal", sfOrphanPolicy="keep"),
            }  # fmt: skip
            await one.deploy("app", {"sfClass": GROUP, "part": part})
            network.rules.append(Rule("cut", to="host2:3800", times=-1))
            gone = await one.terminate("app", Record.normal("done"))
            assert len(gone.leftovers) == 1
            network.rules.clear()
            await asyncio.sleep(600)
            assert not two.process.lives
            assert (tmp_path / "kept").exists()
            assert one.process.reaper.lines() == []

    virtual_time(story())


def test_a_place_whose_earlier_part_is_not_confirmed_gone_takes_no_second_copy(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (network, (one, two)):
            kept = maker(tmp_path / "b", sfOrphanPolicy="keep")
            part = {"sfClass": GROUP, "sfProcessHost": "host2", "b": kept}
            description = {"sfClass": GROUP, "part": part}
            await one.deploy("app", description)
            network.rules.append(Rule("cut", verb="submit", to="host2:3800", times=-1))
            await one.terminate("app")
            with pytest.raises(Busy, match="not confirmed gone"):
                await one.deploy("app", description)
            network.rules.clear()
            await one.deploy("app", description)
            paths = [live.path for live in two.process.lives.values()]
            assert sorted(paths) == ["app:part", "app:part:b"]
            await one.terminate("app")

    virtual_time(story())


def test_a_place_whose_earlier_part_is_not_confirmed_gone_takes_no_copy_in_this_process(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (network, (one, two)):
            away = {
                "sfClass": GROUP, "sfProcessHost": "host2", "sfOrphanPolicy": "keep",
                "b": maker(tmp_path / "b"),
            }  # fmt: skip
            here = {"sfClass": GROUP, "b": maker(tmp_path / "c")}
            await one.deploy("app", {"sfClass": GROUP, "part": away})
            network.rules.append(Rule("cut", verb="submit", to="host2:3800", times=-1))
            await one.terminate("app")
            with pytest.raises(Busy, match="not confirmed gone"):
                await one.deploy("app", {"sfClass": GROUP, "part": here})
            assert not (tmp_path / "c").exists()
            network.rules.clear()
            await one.deploy("app", {"sfClass": GROUP, "part": here})
            assert not two.process.lives
            await one.terminate("app")

    virtual_time(story())


def test_a_part_that_ended_before_its_parent_is_not_made_into_a_component_of_this_process(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (network, made):
            one = made[0]
            group = {
                "sfClass": GROUP, "sfSyncTerminate": True,
                "a": maker(tmp_path / "a", block="terminate"),
                "part": {"sfClass": GROUP, "sfProcessHost": "host2"},
            }  # fmt: skip
            await one.deploy("app", {"sfClass": SUPERVISOR, "restart": "temporary", "group": group})
            one.process.finish(live(one, "group"), Record.abnormal("changed its mind"))
            await asyncio.sleep(2)
            assert not made[1].process.lives
            await crash(network, one)
            made[0] = one = await again(network, one, tmp_path)
            assert [row.path for row in await one.rows("app")] == ["app"]
            assert not (tmp_path / "a").exists()
            await one.terminate("app")

    virtual_time(story())


async def test_a_root_that_ends_itself_while_growing_stops_the_hook_under_way(tmp_path):
    async with engines(tmp_path / "state", 1) as (_, (one,)):
        deployment = asyncio.create_task(
            one.deploy("app", maker(tmp_path / "a", block="start", sfStartTimeout=30))
        )
        await until((tmp_path / "a").exists)
        one.process.finish(live(one, "app"), Record.abnormal("changed my mind"))
        with pytest.raises(EngineError, match="changed my mind") as failure:
            await asyncio.wait_for(deployment, 5)
        assert failure.value.fault.kind is Kind.HOOK_FAILED
        assert not (tmp_path / "a").exists()


async def test_an_answer_lost_in_the_crash_is_found_out_at_the_next_start(tmp_path):
    async with engines(tmp_path / "state", 1) as (network, made):
        one = made[0]
        op = Create("s-1", "app", "app", "app", flatten(tree({"sfClass": GROUP})), upto="started")
        await one.submit(op, "r-1")
        ledger = one.process.ledger
        await ledger.durable(("update requests set answer = null", ()))
        await crash(network, one)
        made[0] = one = await again(network, one, tmp_path)
        answer = await one.process.operations.submit(Request("r-1", op, 1000, 1000))
        assert answer.status == "done"
        assert isinstance(answer.result, Grown)
        await one.terminate("app")


async def test_a_part_ended_before_it_was_made_is_not_made_later(tmp_path):
    async with engines(tmp_path / "state", 1) as (_, (one,)):
        await one.submit(Terminate(Record.normal("late"), segment="s-2", quietly=True))
        with pytest.raises(Ended, match="ended already"):
            await one.submit(Create("s-2", "app", "app", "app", flatten(tree({"sfClass": GROUP}))))
        assert not one.process.lives


async def test_a_request_asked_again_while_it_runs_and_after_it_is_done_once(tmp_path):
    async with engines(tmp_path / "state", 1) as (_, (one,)):
        op = Create(
            "s-3", "app", "app", "app", flatten(tree(maker(tmp_path / "a"))), upto="started"
        )
        results = await asyncio.gather(*(one.submit(op, "r-3") for _ in range(5)))
        assert len({result.root.ident for result in results}) == 1
        assert (await one.submit(op, "r-3")).root == results[0].root
        await one.terminate("app")


def test_a_make_cancelled_while_its_intent_is_written_leaves_no_row(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            ledger = one.process.ledger
            write = ledger.durable

            async def slow(*statements):
                await write(*statements)
                if any("into effects" in sql for sql, _ in statements):
                    await asyncio.sleep(5)

            ledger.durable = slow
            deployment = asyncio.create_task(one.deploy("app", maker(tmp_path / "a")))
            await asyncio.sleep(1)
            await one.terminate("app")
            with pytest.raises(EngineError, match="ended by request"):
                await deployment
            assert ledger.counts()["effects"] == 0

    virtual_time(story())


def test_a_rollback_undoes_what_a_component_would_have_kept_that_ended_before_it(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            description = {
                "sfClass": GROUP,
                "a": maker(tmp_path / "a", keep="always"),
                "b": maker(tmp_path / "b", block="start", sfStartTimeout=30),
            }
            deployment = asyncio.create_task(one.deploy("app", description))
            await asyncio.sleep(1)
            assert (tmp_path / "a").exists()
            await live(one, "a").prim.end("abnormal")
            with pytest.raises(EngineError, match="told to end"):
                await deployment
            assert not (tmp_path / "a").exists()

    virtual_time(story())


def test_a_rollback_undoes_what_a_component_would_have_kept_that_ends_during_it(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            description = {
                "sfClass": GROUP,
                "a": maker(tmp_path / "a", keep="always"),
                "b": {"sfClass": FILE, "file": str(tmp_path / "b"), "fail": "start",
                      "block": "terminate", "sfTerminateTimeout": 5},
            }  # fmt: skip
            deployment = asyncio.create_task(one.deploy("app", description))
            await asyncio.sleep(1)
            await live(one, "a").prim.end("abnormal")
            with pytest.raises(EngineError, match="told to fail"):
                await deployment
            assert not (tmp_path / "a").exists()

    virtual_time(story())


def test_a_ledger_of_another_format_is_refused(tmp_path):
    from engine.runtime.ledger import LedgerError

    ledger = Ledger(tmp_path / "ledger.sqlite", inline=True)
    ledger._write([("update meta set value = '99' where key = 'format'", ())])
    ledger.close()
    with pytest.raises(LedgerError, match="format 99"):
        Ledger(tmp_path / "ledger.sqlite", inline=True)


@pytest.mark.parametrize(("down_s", "taken_up"), [(5, True), (60, False)])
def test_a_part_whose_lease_ran_out_while_its_daemon_was_down_is_undone(tmp_path, down_s, taken_up):
    async def story():
        async with engines(tmp_path / "state", 2) as (network, made):
            one, two = made
            part = {"sfClass": GROUP, "sfProcessHost": "host2", "b": maker(tmp_path / "b")}
            await one.deploy("app", {"sfClass": GROUP, "sfLivenessDelay": 5, "part": part})
            network.kill(two.process)
            network.sever("host1:3800", "host2:3800")  # nobody tells it to end
            network.sever("host2:3800", "host1:3800")
            await asyncio.sleep(down_s)
            made[1] = two = await again(network, two, tmp_path, "host2")
            assert bool(two.process.lives) is taken_up
            assert (tmp_path / "b").exists() is taken_up
            network.severed.clear()
            if taken_up:
                await asyncio.sleep(1)
                await one.terminate("app")
            await asyncio.sleep(300)
            assert not two.process.lives
            assert not (tmp_path / "b").exists()

    virtual_time(story())
