"""A changed description on a running machine: every attribute has one way, and is carried out that way."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

import sfdl
from components.domains.altering import Bounds, Way, outcome_of, shown, way_of
from components.domains.domain import Domain
from components.hypervisor.pool import HypervisorPool
from components.kvm.domain import KvmDomain
from components.storage.declared import ON_THE_DOMAIN
from components.xen.domain import XenDomain
from engine.core.faults import EngineError
from engine.testing.kit import engines, until

MIB = 2**20
BOUNDS = Bounds(256 * MIB, 4)
STORAGE = frozenset(ON_THE_DOMAIN)


@pytest.mark.parametrize(
    ("name", "old", "new", "way"),
    [
        ("memory", 64 * MIB, 256 * MIB, Way.LIVE),
        ("memory", 64 * MIB, 257 * MIB, Way.POWER),
        ("vcpus", 1, 4, Way.LIVE),
        ("vcpus", 1, 5, Way.POWER),
        ("maxMemory", None, 512 * MIB, Way.POWER),
        ("maxVcpus", None, 8, Way.POWER),
        ("cpuShares", None, 512, Way.LIVE),
        ("cpuShares", 512, None, Way.POWER),
        ("cpuQuota", None, 50, Way.LIVE),
        ("cpuQuota", 50, None, Way.POWER),
        ("cpuPin", (), (0,), Way.LIVE),
        ("bandwidthIn", 0, 1000, Way.LIVE),
        ("bandwidthOut", 1000, 0, Way.LIVE),
        ("autostart", False, True, Way.LIVE),
        ("domainLivenessDelay", 2.0, 5.0, Way.NOW),
        ("domainLivenessMethods", (), ("x",), Way.NOW),
        ("onGuestCrash", "terminate", "restart", Way.NOW),
        ("restartLimit", 3, 5, Way.NOW),
        ("stopMode", "graceful", "save", Way.NOW),
        ("stopTimeout", 60.0, 10.0, Way.NOW),
        ("kernel", "/a", "/b", Way.POWER),
        ("ramdisk", "/a", "/b", Way.POWER),
        ("extra", "", "quiet", Way.POWER),
        ("machine", "", "q35", Way.POWER),
        ("memoryBacking", (), ("locked",), Way.POWER),
        ("hugePages", False, True, Way.POWER),
        ("firmware", "bios", "efi", Way.POWER),
        ("cpuModel", "", "qemu64", Way.POWER),
        ("diskCache", "", "none", Way.POWER),
        ("nicModel", "virtio", "e1000", Way.POWER),
        ("bootloader", "", "pygrub", Way.POWER),
        ("ip", "10.0.0.1", "10.0.0.2", Way.REPLACE),
        ("hostname", "a", "b", Way.POWER),
        ("context", "a", "b", Way.POWER),
        ("gateway", "10.0.0.1", "10.0.0.2", Way.POWER),
        ("domainName", "a", "b", Way.POWER),
        ("network", "a", "b", Way.REPLACE),
        ("hypervisorUri", "a", "b", Way.REPLACE),
        ("baseImage", "/a", "/b", Way.REPLACE),
        ("volumeSize", "8m", "4m", Way.REPLACE),
    ],
)
def test_each_change_has_its_way(name, old, new, way):
    assert way_of(name, new, BOUNDS, old, storage=STORAGE) is way


@pytest.mark.parametrize("kind", [KvmDomain, XenDomain])
def test_every_declared_attribute_of_a_machine_has_a_way(kind):
    ways = {
        name: way_of(name, 1, BOUNDS, storage=STORAGE)
        for name in (*kind.declarations.attrs, *kind.declarations.links)
    }

    assert set(ways.values()) == set(Way)
    policies = {name for name, way in ways.items() if way is Way.NOW}
    assert all(name in Domain.declarations.attrs for name in policies)


def test_what_is_off_takes_all_but_another_identity_at_once():
    off = Bounds(0, 0, running=False)

    assert way_of("memory", 2**40, off, storage=STORAGE) is Way.NOW


def test_a_plan_says_when_a_power_cycle_comes():
    found = outcome_of({"kernel": "/a", "x": 1}, {"kernel": "/b", "x": 1}, BOUNDS, storage=STORAGE)

    assert shown(found, "defer") == {"kernel": "next power cycle"}
    assert shown(found, "reboot") == {"kernel": "now, by a power cycle"}


ONE = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    sfUpdatable true; sfSyncTerminate true; hypervisorUri "test:///default";
    loop extends LoopbackStorageBackend {
        baseImage "/usr/share/common-licenses"; volumeSize SIZE; swapSize 0; spaceReserve 0;
    }
    vm extends KvmDomain {
        storageBackend LAZY ATTRIB loop; MORE
    }
}
"""
BEFORE = "memory 64; maxMemory 128; vcpus 1; maxVcpus 4;"


class Running:
    """One application that is updated."""

    def __init__(self, bench):
        self.bench = bench

    def root(self, more, size="8m"):
        return sfdl.compile(ONE.replace("MORE", more).replace("SIZE", f'"{size}"')).root

    async def start(self, more):
        await self.bench.one.deploy("app", self.root(more))

    async def update(self, more, size="8m"):
        return await self.bench.one.update("app", self.root(more, size))

    async def xml(self):
        found = await self.bench.one.process.services.get(HypervisorPool).get("test:///default")
        return ET.fromstring(await found.xml(self.vm.value("uuid")))

    async def facts(self):
        found = await self.bench.one.process.services.get(HypervisorPool).get("test:///default")
        return await found.fact(self.vm.value("uuid"))

    @property
    def vm(self):
        return next(live for live in self.bench.one.process.lives.values() if live.name == "vm")


@pytest.fixture
async def running(tmp_path):
    async with engines(tmp_path / "state", 1, threads=True) as (_, (one,)):
        bench = type("Bench", (), {"one": one})()
        yield Running(bench)


async def test_another_uuid_is_another_machine_and_its_own_stays_its_own(running):
    await running.start(BEFORE)
    own = running.vm.value("uuid")

    await running.update(f"{BEFORE} priority 7;")
    assert (running.vm.value("uuid"), running.vm.value("pendingChanges")) == (own, "")
    with pytest.raises(EngineError, match="uuid: another one needs another machine"):
        await running.update(f'{BEFORE} uuid "6ba7b810-9dad-41d1-80b4-00c04fd430c8";')
    assert running.vm.value("uuid") == own


async def test_a_machine_that_is_off_by_wish_is_altered_for_its_next_start(running):
    await running.start(BEFORE)
    one = running.bench.one
    await one.call(running.vm.path, "destroy")

    await running.update(f"{BEFORE} cpuShares 200; priority 7;")

    assert not (await running.facts()).active
    assert (running.vm.value("degraded"), running.vm.value("pendingChanges")) == (None, "")
    await one.call(running.vm.path, "start")
    assert (await running.facts()).active
    assert (await running.xml()).findtext("cputune/shares") == "200"


async def test_memory_and_processors_change_while_it_runs(running):
    await running.start(BEFORE)
    before = await running.facts()

    await running.update("memory 96; maxMemory 128; vcpus 3; maxVcpus 4; cpuPin [|0|];")

    xml = await running.xml()
    assert int(xml.findtext("currentMemory")) == 96 * 1024
    assert xml.find("vcpu").get("current") == "3"
    assert (await running.facts()).id == before.id
    assert not running.vm.value("pendingChanges")


async def test_what_only_its_kind_declares_is_altered_of_a_machine_of_any_kind(
    running, monkeypatch
):
    monkeypatch.setattr(f"{__name__}.ONE", ONE.replace("vm extends KvmDomain", "vm extends VM"))
    await running.start(f'{BEFORE} cpuModel "qemu64";')

    plan = await running.bench.one.plan("app", running.root(f'{BEFORE} cpuModel "Nehalem";'))
    assert "next power cycle" in str(plan)
    with pytest.raises(EngineError, match="secureBoot"):
        await running.update(f"{BEFORE} secureBoot true;")
    await running.update(f'{BEFORE} cpuModel "Nehalem";')

    assert running.vm.value("pendingChanges") == "cpuModel"
    await running.bench.one.call(running.vm.path, "destroy")
    await running.bench.one.call(running.vm.path, "start")
    assert (await running.xml()).findtext("cpu/model") == "Nehalem"


async def test_how_memory_is_held_changes_at_the_next_power_cycle(running):
    await running.start(BEFORE)

    await running.update(f'{BEFORE} memoryBacking [|"shared"|];')

    assert running.vm.value("pendingChanges") == "memoryBacking"
    assert (await running.xml()).find("memoryBacking") is None
    await running.bench.one.call(running.vm.path, "destroy")
    await running.bench.one.call(running.vm.path, "start")
    assert not running.vm.value("pendingChanges")
    assert (await running.xml()).find("memoryBacking/access").get("mode") == "shared"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('firmware "efi";', "this host has none without secure boot"),
        ("secureBoot true;", "secureBoot needs firmware"),
        ("tpm true;", "there is no program swtpm"),
    ],
)
async def test_a_change_is_refused_where_the_host_has_not_what_it_takes(
    running, monkeypatch, more, why
):
    await running.start(BEFORE)
    before = await running.xml()
    monkeypatch.setattr("components.domains.needs.scheme_of", lambda uri: "qemu")
    monkeypatch.setattr("components.domains.needs.described", tuple)
    monkeypatch.setattr("components.domains.needs.shutil.which", lambda *_, **__: None)

    with pytest.raises(EngineError, match=why):
        await running.update(f"{BEFORE} {more}")

    assert ET.tostring(await running.xml()) == ET.tostring(before)
    assert not running.vm.value("pendingChanges")


async def test_what_needs_a_power_cycle_waits_for_it(running):
    await running.start(BEFORE)
    before = await running.facts()

    await running.update("memory 200; maxMemory 256; vcpus 1; maxVcpus 4;")

    assert (await running.facts()).id == before.id
    assert set(running.vm.value("pendingChanges").split(", ")) == {"memory", "maxMemory"}


async def test_or_is_done_now_by_one_where_that_is_wanted(running):
    await running.start(BEFORE)
    before = await running.facts()

    await running.update('memory 200; maxMemory 256; vcpus 1; maxVcpus 4; updateMode "reboot";')

    after = await running.facts()
    assert after.id != before.id
    assert int((await running.xml()).findtext("memory")) == 256 * 1024
    assert not running.vm.value("pendingChanges")
    assert running.vm.ready


async def test_a_guest_that_is_power_cycled_is_not_found_unwell_meanwhile(running, monkeypatch):
    await running.start(BEFORE)
    machine, asked = running.vm.prim, []
    pause_for = machine.stopping.pause_for

    async def looked_at(hypervisor, end):
        await machine.check()
        await pause_for(hypervisor, end)
        await machine.check()
        asked.append(end)

    monkeypatch.setattr(machine.stopping, "pause_for", looked_at)

    # a policy has the watch begin anew, which the power cycle ends before it has looked once
    await running.update('memory 200; maxMemory 256; vcpus 1; maxVcpus 4; updateMode "reboot";')

    assert asked
    await machine.check()


async def test_policies_change_without_touching_the_guest(running):
    await running.start(BEFORE)
    before = await running.facts()

    await running.update(f'{BEFORE} domainLivenessDelay 50; onGuestShutdown "ignore";')

    assert await running.facts() == before
    found = await running.bench.one.process.services.get(HypervisorPool).get("test:///default")
    await found.shutdown(before.uuid)
    await until(lambda: running.vm.value("state") == "shutoff")
    assert running.bench.one.process.apps


@pytest.mark.parametrize(
    ("more", "size", "words"),
    [
        (f'{BEFORE} domainName "test";', "8m", "a domain called test exists already"),
        (f'{BEFORE} ip "10.1.2.3"; netmask "255.0.0.0";', "8m", "needs another machine"),
        (f'{BEFORE} baseImage "/etc";', "8m", "volumes would have to be made anew"),
        (BEFORE, "4m", "volumes grow, they are never cut"),
        (f'{BEFORE} volumeSize "4m";', "8m", "volumes grow, they are never cut"),
        (f'{BEFORE} dataVolumes [|[|"db", "4m"|]|];', "8m", "only their sizes can change"),
        (BEFORE, "9000t", "NoSpace"),
    ],
)
async def test_what_would_lose_something_is_refused_and_changes_nothing(running, more, size, words):
    await running.start(BEFORE)
    before = await running.facts()

    with pytest.raises(EngineError, match="refuses the update") as failure:
        await running.update(more, size)

    assert words in str(failure.value.fault.chain())
    assert await running.facts() == before
    assert running.vm.ready


async def test_another_identity_is_another_machine_on_the_same_volumes_if_allowed(running):
    await running.start(BEFORE)
    before = await running.facts()
    (volume,) = [
        path for path in (running.bench.one.process.work_folder / "volumes").iterdir()
        if path.suffix not in {".json", ".lock"}
    ]  # fmt: skip
    with volume.open("r+b") as file:
        file.write(b"written by the guest")

    await running.update(f'{BEFORE} mac "52:54:00:00:00:09"; allowReplace true; sfMinReadyTime 0;')

    after = await running.facts()
    assert after.id != before.id
    assert after.active
    assert volume.read_bytes().startswith(b"written by the guest")


async def test_the_plan_says_of_each_change_how_it_takes_effect(running):
    await running.start(BEFORE)
    new = running.root(
        'memory 96; maxMemory 128; vcpus 1; maxVcpus 4; machine "q35"; restartLimit 1;'
    )

    found = await running.bench.one.plan("app", new)

    (row,) = [row for row in found.rows if row.path == "vm"]
    assert dict(zip(row.attributes, row.ways, strict=True)) == {
        "memory": "live", "machine": "next power cycle", "restartLimit": "at once",
    }  # fmt: skip
