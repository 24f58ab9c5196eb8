"""Sub-processes of a host: started when needed, dead at once when they die, cleaned up after."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.faults import BadDescription, EngineError, Refused
from engine.testing.kit import begin, engines, lazy, virtual_time

GROUP = "engine.compound.Compound"
FILE = "engine.testing.components.FileMaker"
CALLER = "engine.testing.components.Caller"
SUPERVISOR = "components.workflow.Supervisor"


async def virtually(condition, bound_s=300):
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not condition():
        assert loop.time() - began < bound_s, f"not within {bound_s} virtual seconds"
        await asyncio.sleep(0.05)
    return loop.time() - began


def maker(tmp_path, name, **more):
    return {"sfClass": FILE, "file": str(tmp_path / name), **more}


def child_of(network, host, name="sub"):
    return network.spawners[f"{host}:3800"].children[name]


def paths(engine):
    return sorted(live.path for live in engine.process.lives.values())


def test_parts_go_to_named_processes_of_hosts_started_once(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (network, (one, two)):
            description = {
                "sfClass": GROUP,
                "sfConcurrency": 0,
                "a": maker(tmp_path, "a", sfProcessName="sub"),
                "b": maker(tmp_path, "b", sfProcessName="sub"),
                "c": maker(tmp_path, "c", sfProcessHost="host2", sfProcessName="sub"),
                "d": maker(tmp_path, "d", sfProcessName="rootProcess"),
            }
            await one.deploy("app", description)
            assert paths(child_of(network, "host1").engine) == ["app:a", "app:b"]
            assert paths(child_of(network, "host2").engine) == ["app:c"]
            assert paths(one) == ["app", "app:d"]
            assert paths(two) == []
            assert {row.path for row in await one.rows("app")} == {
                "app", "app:a", "app:b", "app:c", "app:d",
            }  # fmt: skip
            await one.terminate("app")
            assert not any((tmp_path / name).exists() for name in "abcd")

    virtual_time(story())


def test_only_a_host_means_its_root_also_from_a_sub_process(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (network, (one,)):
            inner = maker(tmp_path, "a", sfProcessHost="host1")
            description = {
                "sfClass": GROUP,
                "s": {"sfClass": GROUP, "sfProcessName": "sub", "a": inner},
            }
            await one.deploy("app", description)
            assert paths(one) == ["app", "app:s:a"]
            assert paths(child_of(network, "host1").engine) == ["app:s"]
            await one.terminate("app")

    virtual_time(story())


def test_components_of_different_processes_call_each_other(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            description = {
                "sfClass": GROUP,
                "file": maker(tmp_path, "a"),
                "caller": {
                    "sfClass": CALLER, "target": lazy("file"), "atStart": True,
                    "sfProcessName": "sub",
                },
            }  # fmt: skip
            await one.deploy("app", description)
            found = await one.process.reader.find("app:caller")
            value = await one.process.resolver.resolve(
                one.process.application("app"), lazy("caller:heard")
            )
            assert value == "a,file"
            assert found.address.endswith("/sub")
            await one.terminate("app")

    virtual_time(story())


def test_a_killed_sub_process_is_noticed_at_once_and_cleaned_up_after(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (network, (one,)):
            description = {
                "sfClass": GROUP,
                "sfLivenessDelay": 600,
                "a": maker(tmp_path, "a", sfProcessName="sub"),
                "b": maker(tmp_path, "b"),
            }
            await one.deploy("app", description)
            child_of(network, "host1").kill()
            assert await virtually(lambda: not one.process.apps, 10) < 5
            record = one.process.ended_application("app")
            assert record.type == "livenessFailure"
            assert "ended with status -9" in record.description
            assert not (tmp_path / "a").exists()
            assert not (tmp_path / "b").exists()
            await one.deploy("app", description)  # the name is free at once
            await one.terminate("app")

    virtual_time(story())


def test_a_supervisor_brings_what_died_with_a_sub_process_back(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (network, (one, _two)):
            description = {
                "sfClass": SUPERVISOR,
                "a": maker(tmp_path, "a", sfProcessHost="host2", sfProcessName="sub"),
                "b": maker(tmp_path, "b"),
            }
            await one.deploy("app", description)
            before = one.process.application("app").children["b"].id
            first = child_of(network, "host2")
            first.kill()
            await virtually(
                lambda: (
                    one.process.application("app").ready
                    and (tmp_path / "a").exists()
                    and child_of(network, "host2") is not first
                ),
                60,
            )
            assert one.process.application("app").children["b"].id == before
            await one.terminate("app")
            assert not (tmp_path / "a").exists()

    virtual_time(story())


def test_after_a_crash_of_the_root_its_sub_processes_are_taken_up_again(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (network, made):
            one = made[0]
            description = {
                "sfClass": GROUP,
                "a": maker(tmp_path, "a", sfProcessName="sub"),
            }
            await one.deploy("app", description)
            child = child_of(network, "host1")
            before = {live.id for live in child.engine.process.lives.values()}
            network.kill(child.engine.process)  # they die with their root
            network.kill(one.process)
            folder = tmp_path / "state" / "host1"
            made[0] = one = await begin(network, folder, "host1", "host1:3800", {})
            await virtually(lambda: one.process.subprocesses.addresses)
            after = child_of(network, "host1").engine.process.lives
            assert set(after) == before
            await asyncio.sleep(120)
            assert {row.state for row in await one.rows("app")} == {"started"}
            await one.terminate("app")
            assert not (tmp_path / "a").exists()

    virtual_time(story())


def test_a_sub_process_that_holds_nothing_ends_after_a_while(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1, subprocess_gc_rounds=3) as (_, (one,)):
            description = {"sfClass": GROUP, "a": maker(tmp_path, "a", sfProcessName="sub")}
            await one.deploy("app", description)
            await asyncio.sleep(200)
            assert list(one.process.subprocesses.addresses) == ["sub"]
            await one.terminate("app")
            took = await virtually(lambda: not one.process.subprocesses.addresses)
            assert 30 <= took <= 65

    virtual_time(story())


def test_names_in_a_sub_process_are_found_through_the_root(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (_, (one, two)):
            named = maker(tmp_path, "a", sfProcessName="sub", sfProcessComponentName="store")
            await one.deploy("app", {"sfClass": GROUP, "a": named})
            assert (await one.process.reader.find("store")).name == "app:a"
            assert (await one.process.reader.find("sub:store")).name == "app:a"
            await two.deploy("other", {"sfClass": GROUP})
            root = two.process.application("other")
            from sfdl import parse_reference

            found = await two.process.resolver.resolve(
                root, parse_reference("LAZY HOST host1:sub:store:file")
            )
            assert found == str(tmp_path / "a")
            await one.terminate("app")

    virtual_time(story())


@pytest.mark.parametrize(
    ("settings", "child", "error", "words"),
    [
        ({"subprocesses": False}, {"sfProcessName": "sub"}, Refused, "starts none"),
        ({}, {"sfProcessName": "a b"}, BadDescription, "no name for a process"),
        ({}, {"sfProcessName": 7}, BadDescription, "must be a name"),
        (
            {},
            {"sfProcessName": "sub", "sfProcessConfig": {"colour": 3}},
            BadDescription,
            "has no colour",
        ),
    ],
)
def test_what_cannot_be_started_is_refused(tmp_path, settings, child, error, words):
    async def story():
        async with engines(tmp_path / "state", 1, **settings) as (_, (one,)):
            with pytest.raises(EngineError, match=words) as failure:
                await one.deploy("app", {"sfClass": GROUP, "a": maker(tmp_path, "a", **child)})
            assert isinstance(failure.value, error)
            assert not one.process.lives

    virtual_time(story())


def test_events_of_a_sub_process_are_in_the_stream_of_its_root(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            await one.deploy(
                "app", {"sfClass": GROUP, "a": maker(tmp_path, "a", sfProcessName="sub")}
            )
            await asyncio.sleep(1)
            seen = [event for event in one.process.events._ring if event.path == "app:a"]
            assert "started" in {getattr(event.body, "state", "") for event in seen}
            numbers = [event.seq for event in one.process.events._ring]
            assert numbers == list(range(1, len(numbers) + 1))
            await one.terminate("app")

    virtual_time(story())
