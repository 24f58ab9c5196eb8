"""Bridges of the host, for real, in a network namespace of the test's own."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

import sfdl
from components.networks import filtering
from engine.core.faults import EngineError
from engine.runtime.effects import NameTaken
from engine.testing.kit import engines, until
from engine.testing.sabotage import Plan, Saboteur

pytestmark = pytest.mark.usefixtures("own_net")

HEAD = '#include "components/vm.sf"\n'


@pytest.fixture
async def engine(tmp_path):
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        yield one


def ip(*words):
    done = subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
    return done.stdout


def links():
    return {one["ifname"]: one for one in json.loads(ip("-j", "-d", "link", "show"))}


async def deploy(engine, body):
    return await engine.deploy(
        "app", sfdl.compile(f"{HEAD}sfConfig extends Compound {{ {body} }}").root
    )


def bridge_of(engine):
    return next(live for live in engine.process.lives.values() if live.name == "b")


async def test_a_bridge_is_made_with_its_device_and_address_and_goes_again(engine):
    ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")

    await deploy(
        engine,
        'b extends Bridge { name "sdbr"; create true; device "v0"; address "10.99.0.1/24"; }',
    )

    seen = links()
    assert seen["sdbr"]["linkinfo"]["info_kind"] == "bridge"
    assert seen["v0"]["master"] == "sdbr"
    assert "UP" in seen["sdbr"]["flags"]
    assert "10.99.0.1/24" in ip("-4", "-o", "address", "show", "dev", "sdbr")
    assert bridge_of(engine).value("members") == "v0"
    await engine.terminate("app")
    assert set(links()) == {"lo", "v0", "v1"}


async def test_a_bridge_that_is_there_is_used_and_stays(engine):
    ip("link", "add", "br7", "type", "bridge")

    await deploy(engine, 'b extends Bridge { name "br7"; }')
    await engine.terminate("app")

    assert "br7" in links()


async def test_a_foreign_bridge_is_never_taken_over(engine):
    ip("link", "add", "br7", "type", "bridge")

    with pytest.raises(EngineError, match="a bridge br7 exists already and is not ours") as failure:
        await deploy(engine, 'b extends Bridge { name "br7"; create true; }')

    assert any("leave create out" in each.hint for each in failure.value.fault.chain())
    assert "br7" in links()


async def test_a_missing_bridge_is_refused_with_those_there_are(engine):
    ip("link", "add", "br7", "type", "bridge")
    ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")

    with pytest.raises(EngineError, match="no bridge br8 on this host; bridges here: br7"):
        await deploy(engine, 'b extends Bridge { name "br8"; }')
    with pytest.raises(EngineError, match="device is no bridge: v0"):
        await deploy(engine, 'b extends Bridge { name "v0"; }')
    with pytest.raises(EngineError, match="there is no device v9"):
        await deploy(engine, 'b extends Bridge { name "b9"; create true; device "v9"; }')


async def test_a_machine_on_a_bridge_that_is_not_there_is_refused_before_anything_is_made(engine):
    with pytest.raises(EngineError, match="no bridge nowhere on this host; bridges here: none"):
        await deploy(
            engine,
            'vm extends KvmDomain { hypervisorUri "test:///default"; diskless true; bridge "nowhere"; }',
        )
    assert engine.process.lives == {}


@pytest.mark.parametrize("said", ['"sdbr"', "LAZY ATTRIB b"])
async def test_a_machine_may_be_on_a_bridge_made_beside_it(engine, said):
    await deploy(
        engine,
        'b extends Bridge { name "sdbr"; create true; } '
        f'vm extends KvmDomain {{ hypervisorUri "test:///default"; diskless true; bridge {said}; }}',
    )

    assert "sdbr" in links()
    await engine.terminate("app")
    assert set(links()) == {"lo"}


async def test_a_bridge_taken_away_makes_the_component_unwell_and_ends_the_application(engine):
    await deploy(engine, 'sfLivenessDelay 1; b extends Bridge { name "sdbr"; create true; }')

    ip("link", "delete", "dev", "sdbr")

    await until(lambda: not engine.process.apps, timeout_s=30)
    record = engine.process.ended_application("app")
    assert "sdbr is not there any more" in record.description


async def test_half_a_bridge_is_known_as_ours_and_removed(engine, monkeypatch):
    from components.networks import bridge

    run = bridge.Site.run
    calls = []

    async def fails(self, argv, **more):
        calls.append(argv)
        if "alias" in argv:
            raise NameTaken("planted")
        return await run(self, argv, **more)

    monkeypatch.setattr(bridge.Site, "run", fails)
    with pytest.raises(EngineError, match="planted"):
        await deploy(engine, 'b extends Bridge { name "sdbr"; create true; }')

    assert len(calls) > 2
    assert set(links()) == {"lo"}


def firewall():
    """Return whether the firewall sees what stays on a bridge, as a program in this network reads it."""
    names = [f"/proc/sys/net/bridge/{name}" for name in filtering.NAMES]
    done = subprocess.run(["cat", *names], check=True, capture_output=True, text=True)
    return done.stdout.split()


@pytest.fixture
def filtered():
    if not filtering.SETTINGS.exists():
        pytest.skip("this kernel has no br_netfilter")
    for name in filtering.NAMES:
        subprocess.run(
            ["tee", filtering.SETTINGS / name], input=b"1", check=True, capture_output=True
        )


@pytest.mark.usefixtures("filtered")
async def test_the_firewall_is_off_bridges_as_long_as_one_of_them_wants_that(engine):
    plain = 'name "br7"; create true;'
    await deploy(engine, f"b extends Bridge {{ {plain} }}")
    assert firewall() == ["1", "1", "1"]
    await engine.terminate("app")

    root = (
        f"{HEAD}sfConfig extends Compound {{ b extends Bridge {{ {plain} filterBridged false; }} }}"
    )
    await engine.deploy("one", sfdl.compile(root).root)
    await engine.deploy("two", sfdl.compile(root.replace("br7", "br8")).root)
    assert firewall() == ["0", "0", "0"]
    await engine.terminate("one")
    assert firewall() == ["0", "0", "0"]
    assert filtering.notes_folder().exists()
    await engine.terminate("two")
    assert firewall() == ["1", "1", "1"]
    assert not filtering.notes_folder().exists()


@pytest.mark.usefixtures("filtered")
async def test_a_start_that_fails_leaves_the_firewall_as_it_was(engine):
    engine.process.keeper.saboteur = Saboteur([Plan("bridge br7", "making", "raise")])
    with pytest.raises(EngineError, match="sabotage"):
        await deploy(engine, 'b extends Bridge { name "br7"; create true; filterBridged false; }')

    await until(lambda: firewall() == ["1", "1", "1"])


async def test_settings_that_may_not_be_changed_are_refused_before_anything_is(engine, monkeypatch):
    monkeypatch.setattr(filtering, "can_be_set", lambda: False)
    with pytest.raises(EngineError, match="which takes root"):
        await deploy(engine, 'b extends Bridge { name "br7"; create true; filterBridged false; }')

    assert "br7" not in links()


def test_many_who_want_it_at_once_leave_the_settings_as_they_were(tmp_path, monkeypatch):
    settings = tmp_path / "bridge"
    settings.mkdir()
    for name in filtering.NAMES:
        (settings / name).write_text("1")
    monkeypatch.setattr(filtering, "SETTINGS", settings)
    monkeypatch.setattr(filtering, "NOTES", tmp_path / "notes")

    def wants(who):
        for _ in range(20):
            filtering._turn_off(who, "app:b")
            with filtering._locked():  # while nobody writes
                assert {(settings / name).read_text() for name in filtering.NAMES} == {"0"}
            filtering._let_go(who)

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(wants, f"w{number}") for number in range(6)]:
            done.result(60)

    assert {(settings / name).read_text() for name in filtering.NAMES} == {"1"}
    assert list((tmp_path / "notes").iterdir()) == []
