"""Deploying and ending trees over two processes: all or nothing, in order, told once."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.faults import EngineError, HookFailed, Kind, NameInUse, NotFound
from engine.testing.kit import engines, lazy, until

FILE = "engine.testing.components.FileMaker"
GROUP = "engine.compound.Compound"


def maker(path, **more):
    return {"sfClass": FILE, "file": str(path), **more}


def two_hosts(tmp_path, **second):
    return {
        "sfClass": GROUP,
        "one": {"sfClass": GROUP, "a": maker(tmp_path / "a")},
        "two": {"sfClass": GROUP, "sfProcessHost": "host2", "b": maker(tmp_path / "b", **second)},
    }


async def test_a_tree_over_two_processes_starts_and_ends_without_a_trace(tmp_path):
    async with engines(tmp_path / "state", 2) as (_, (one, two)):
        grown = await one.deploy("app", two_hosts(tmp_path))

        assert grown.components == 5
        assert (tmp_path / "a").exists()
        assert (tmp_path / "b").exists()
        rows = await one.rows("app")
        assert [row.path for row in rows] == ["app", "app:one", "app:one:a", "app:two", "app:two:b"]
        assert {row.state for row in rows} == {"started"}

        gone = await one.terminate("app")
        assert gone.leftovers == ()
        assert not (tmp_path / "a").exists()
        assert not (tmp_path / "b").exists()
        for engine in (one, two):
            assert engine.process.lives == {}
            counts = engine.process.ledger.counts()
            assert counts["segments"] == counts["effects"] == 0


@pytest.mark.parametrize("hook", ["deploy", "start"])
async def test_a_failure_in_the_second_process_rolls_everything_back(tmp_path, hook):
    async with engines(tmp_path / "state", 2) as (_, (one, two)):
        with pytest.raises(HookFailed) as failure:
            await one.deploy("app", two_hosts(tmp_path, fail=hook))

        fault = failure.value.fault
        assert fault.where == "app:two:b"
        assert fault.phase == hook
        assert "told to fail" in fault.message
        assert fault.leftovers == ()
        assert not (tmp_path / "a").exists()
        assert not (tmp_path / "b").exists()
        assert one.process.lives == {}
        assert two.process.lives == {}
        await one.deploy("app", two_hosts(tmp_path))
        await one.terminate("app")


async def test_a_name_in_use_is_refused_naming_the_holder(tmp_path):
    async with engines(tmp_path / "state") as (_, (one,)):
        await one.deploy("app", {"sfClass": GROUP})
        with pytest.raises(NameInUse, match="app"):
            await one.deploy("app", {"sfClass": GROUP})
        await one.terminate("app")
        with pytest.raises(NotFound, match="has ended: normal"):
            await one.rows("app")


async def test_a_link_to_another_process_calls_by_value(tmp_path):
    description = two_hosts(tmp_path)
    description["one"]["caller"] = {
        "sfClass": "engine.testing.components.Caller",
        "target": lazy("ROOT:two:b"),
    }
    async with engines(tmp_path / "state", 2) as (_, (one, _two)):
        await one.deploy("app", description)
        caller = next(live for live in one.process.lives.values() if live.path == "app:one:caller")
        assert await caller.prim.ask() == ["a", "|", "a", "b"]
        await one.terminate("app")


async def test_a_child_that_ends_by_itself_takes_the_application_down(tmp_path):
    async with engines(tmp_path / "state", 2) as (_, (one, two)):
        await one.deploy("app", two_hosts(tmp_path))
        b = next(live for live in two.process.lives.values() if live.path == "app:two:b")

        await b.prim.end("abnormal")

        await until(lambda: not one.process.apps and not two.process.lives)
        assert not (tmp_path / "a").exists()
        record = one.process.ended_application("app")
        assert record.type == "abnormal"
        assert record.component == "app:two:b"
        assert record.trail[-1] == "app"


async def test_termination_overtakes_a_deployment_under_way(tmp_path):
    async with engines(tmp_path / "state", 2) as (_, (one, two)):
        deployment = asyncio.create_task(one.deploy("app", two_hosts(tmp_path, block="start")))
        await until((tmp_path / "b").exists)

        await one.terminate("app")

        with pytest.raises(EngineError, match="ended by request") as failure:
            await deployment
        assert failure.value.fault.kind is Kind.REFUSED
        assert not (tmp_path / "a").exists()
        assert not (tmp_path / "b").exists()
        assert two.process.lives == {}


async def test_an_unknown_host_fails_before_anything_is_made(tmp_path):
    description = two_hosts(tmp_path)
    description["two"]["sfProcessHost"] = "nowhere"
    async with engines(tmp_path / "state", 1) as (_, (one,)):
        with pytest.raises(EngineError, match="nowhere"):
            await one.deploy("app", description)
        assert not (tmp_path / "a").exists()
        assert one.process.lives == {}
