"""A host's limits hold before anything is made; what has no component is told, and no more."""

from __future__ import annotations

import asyncio
import itertools
import shutil

import pytest

import sfdl
from components.hosts.facts import storage_here
from components.hosts.reservations import Reservations
from components.hypervisor.owner import OwnerRecord
from components.hypervisor.pool import HypervisorPool
from engine.core.faults import EngineError
from engine.testing.kit import begin, engines, until
from engine.wire.codec import flatten
from engine.wire.messages import Graft
from tests.components.hypervisor.worlds import domain_xml

URI = "test:///default"
POOL = """
#include "components/vm.sf"
Guest extends KvmDomain {{ diskless true; memory 1024; }}
sfConfig extends Compound {{
    host extends {kind} {{ hypervisorUri "test:///default"; {limits} {machines} }}
}}
"""


def pool(machines, limits="", kind="PhysicalHost"):
    return POOL.format(kind=kind, limits=limits, machines=machines)


def guests(count, more=""):
    return " ".join(f"vm{number} extends Guest {{ {more} }}" for number in range(count))


async def hypervisor(bench):
    return await bench.holder.process.services.get(HypervisorPool).get(URI)


async def ours(bench):
    return [each for each in await (await hypervisor(bench)).facts() if each.name != "test"]


def held(bench):
    return set(bench.holder.process.services.get(Reservations).at(URI))


async def test_a_machine_too_many_for_the_memory_is_refused_before_anything_is_made(bench):
    with pytest.raises(EngineError) as failure:
        await bench.deploy(pool(guests(3), "memoryOvercommit 1.0;"))

    fault = failure.value.fault
    assert fault.where == "app:host:vm2"
    words = "asked 1 GiB, free 512 MiB, reserved 2 GiB by 2 machines, factor 1"
    assert words in fault.message
    assert await ours(bench) == []
    assert held(bench) == set()
    assert not (bench.work / "console").exists()


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ("cpuOvercommit 0.1;", "CPUs are short: asked 1, free 0.6, reserved 1 by 1 machine"),
        ("maxDomains 1;", "it has 1 machine already, and maxDomains is 1"),
        ("reservedMemory 1536; memoryOvercommit 1.0;", "free 512 MiB"),
        ("maintenance true;", "in maintenance"),
    ],
)
async def test_each_limit_refuses_with_its_figures(bench, limits, words):
    with pytest.raises(EngineError) as failure:
        await bench.deploy(pool(guests(2), limits))

    assert words in failure.value.fault.message
    assert await ours(bench) == []
    assert held(bench) == set()


async def test_a_compound_above_can_give_the_limits_as_well(bench):
    with pytest.raises(EngineError, match="memory is short"):
        await bench.deploy(pool(guests(3), "memoryOvercommit 1;", kind="Compound"))

    with pytest.raises(EngineError, match="maxDomains above it must be a whole number"):
        await bench.deploy(pool(guests(1), 'maxDomains "few";', kind="Compound"))


async def test_the_test_drivers_memory_bounds_nobody_who_did_not_ask_for_that(bench):
    await bench.deploy(pool(guests(5)))

    assert len(await ours(bench)) == 5
    await bench.one.terminate("app")
    assert held(bench) == set()


async def test_what_an_application_has_is_free_again_for_the_next_one(bench):
    await bench.deploy(pool(guests(2), "memoryOvercommit 1;"))
    with pytest.raises(EngineError, match="reserved 2 GiB"):
        await bench.deploy(pool(guests(1), "memoryOvercommit 1;"), name="more")
    await bench.one.terminate("app")

    await bench.deploy(pool(guests(2), "memoryOvercommit 1;"), name="more")

    await bench.one.terminate("more")


async def test_a_host_publishes_what_it_has_and_who_is_on_it(bench):
    await bench.deploy(pool(guests(2), 'memoryOvercommit 1; labels [|"ssd"|];'))
    host = bench.find("host")

    assert host.value("state") == "up"
    assert host.value("capacity").get("cpus") == 16
    assert host.value("capacity").get("memory").value == 3 * 2**30
    await until(lambda: len(host.value("domains").items) == 2)
    assert host.value("domains").items == ("app:host:vm0", "app:host:vm1")
    reserved = host.value("reserved")
    assert (reserved.get("cpus"), reserved.get("memory").value) == (2, 2 * 2**30)
    assert reserved.get("memoryLimit").value == int(2.5 * 2**30)
    assert "network=default" in host.value("facts").items
    await bench.one.terminate("app")


async def graft(bench, name, text):
    whole = sfdl.compile(f'#include "components/vm.sf"\nsfConfig extends {text}').root
    return await bench.one.submit(Graft(name, flatten(whole), ref="app:host"))


async def test_maintenance_takes_no_new_machines_and_leaves_those_that_are_there(bench):
    await bench.deploy(pool(guests(1)))
    await bench.one.set("app:host", "maintenance", value=True)
    assert bench.find("host").value("state") == "maintenance"

    guest = "KvmDomain { diskless true; memory 64; }"
    with pytest.raises(EngineError, match="maintenance"):
        await graft(bench, "more", guest)
    assert [each.name for each in await ours(bench)] == ["app-host-vm0"]

    await bench.one.set("app:host", "maintenance", value=False)
    await graft(bench, "more", guest)
    assert {each.name for each in await ours(bench)} == {"app-host-vm0", "app-host-more"}
    await bench.one.terminate("app")


async def test_machines_are_created_as_many_at_a_time_as_is_said(bench):
    lines = await hypervisor(bench)
    inside, most = 0, 0
    start = lines.start

    async def slow(uuid, *, paused=False):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.05)
        await start(uuid, paused=paused)
        inside -= 1

    lines.start = slow
    await bench.deploy(pool(guests(6), "sfConcurrency 0; maxParallelCreates 2;"))

    assert most == 2
    await bench.one.terminate("app")


async def test_after_a_restart_those_adopted_count_again(tmp_path):
    root = sfdl.compile(pool(guests(2), "memoryOvercommit 1;")).root
    async with engines(tmp_path, 1, threads=True) as (network, (one,)):
        await one.deploy("app", root)
        old = one.process
        network.kill(old)
        peers = {"host1": "host1:3800"}
        again = await begin(network, tmp_path / "host1", "host1", "host1:3800", peers, threads=True)
        try:
            reservations = again.process.services.get(Reservations)
            assert set(reservations.at(URI)) == {"app:host:vm0", "app:host:vm1"}
            with pytest.raises(EngineError, match="reserved 2 GiB by 2 machines"):
                await again.deploy("more", root)
            await again.terminate("app")
            assert set(reservations.at(URI)) == set()
        finally:
            network.verbs.pop("host1:3800", None)
            await again.process.stop()
            await old.services.close()


# -- orphans

numbers = itertools.count(1)


async def stray(bench, name, *, daemon, community="", path="gone:host:vm"):
    """Define and start a domain with a record of ours, as one nobody looks after any more has."""
    lines = await hypervisor(bench)
    owner = OwnerRecord(
        community=community or bench.holder.process.community, application=path.partition(":")[0], path=path, incarnation=7,
        daemon=daemon,
    )  # fmt: skip
    uuid = f"aaaaaaaa-0000-4000-8000-{next(numbers):012d}"
    await lines.define(domain_xml(name, uuid, owner))
    await lines.start(uuid)
    return uuid


async def names(bench):
    return {each.name for each in await (await hypervisor(bench)).facts()}


async def test_orphans_are_reported_and_left_alone(bench):
    mine = bench.holder.process.daemon_id
    await stray(bench, "lost", daemon=mine)
    await stray(bench, "theirs", daemon="another")
    await stray(bench, "foreign", daemon=mine, community="somebody else")
    await bench.deploy(pool(guests(1), "lookPeriod 0.05;"))
    host = bench.find("host")

    await until(lambda: host.changes.get("orphans") and len(host.value("orphans").items) == 2)

    assert host.value("orphans").items == (
        "lost (gone:host:vm)",
        "theirs (gone:host:vm, made by a daemon not known here)",
    )
    await bench.one.terminate("app")
    assert await names(bench) == {"test", "lost", "theirs", "foreign"}


async def test_only_an_orphan_that_this_daemon_made_is_removed_and_only_after_the_grace(bench):
    mine = bench.holder.process.daemon_id
    await stray(bench, "lost", daemon=mine)
    await stray(bench, "theirs", daemon="another")
    await stray(bench, "foreign", daemon=mine, community="somebody else")
    peer = bench.two if bench.holder is bench.one else bench.one
    await stray(bench, "peers", daemon=peer.process.daemon_id)
    limits = 'lookPeriod 0.05; orphanPolicy "remove"; orphanGrace 0.5;'
    await bench.deploy(pool(guests(1), limits))
    host = bench.find("host")
    await until(lambda: host.changes.get("orphans") and host.value("orphans").items)
    assert "lost" in await names(bench)

    await until(lambda: len(host.value("orphans").items) == 1)

    assert host.value("orphans").items[0].startswith("theirs")
    assert await names(bench) == {"test", "theirs", "foreign", "peers", "app-host-vm0"}
    await bench.one.terminate("app")


KEPT = """
#include "components/vm.sf"
sfConfig extends Compound {
    hypervisorUri "test:///default";
    lan extends Network { networkName "lan"; subnet "10.77.9.1/24"; keepNetwork true; }
    loop extends LoopbackStorageBackend {
        domainName "d"; baseImage "/usr/share/common-licenses"; makeFs "mkfs.ext4"; keepVolumes true;
        volumeSize "8m"; swapSize 0; spaceReserve 0;
    }
    layer extends OverlayStorageBackend {
        domainName "o"; baseImage "%s"; keepVolumes true; swapSize 0; volumeSize "8m"; spaceReserve 0;
    }
}
"""


async def test_networks_and_volumes_that_nobody_has_are_told_of_and_stay(bench, tmp_path):
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(2**20))
    kept = KEPT % disk
    await bench.deploy(kept, name="before")
    await bench.deploy(pool("", 'lookPeriod 0.05; orphanPolicy "remove"; orphanGrace 0;'))
    host = bench.find("host")
    await until(lambda: host.changes.get("orphans"))
    assert host.value("orphans").items == ()

    await bench.one.terminate("before")
    await until(lambda: len(host.value("orphans").items) == 3)

    volumes = bench.work / "volumes"
    assert host.value("orphans").items == (
        "network lan (before:lan)",
        f"volume {volumes}/d-volume1 (before:loop)",
        f"volume {volumes}/o-volume1 (before:layer)",
    )
    assert (volumes / "d-volume1").exists()
    await bench.deploy(kept.replace("keepVolumes true", "keepVolumes false").replace(
        "keepNetwork true", "keepNetwork false"), name="before")  # fmt: skip
    await until(lambda: host.value("orphans").items == ())
    await bench.one.terminate("before")
    await bench.one.terminate("app")


async def test_a_host_says_what_it_is_like_and_a_contradiction_is_refused(bench):
    figures = 'powerIdle 90; powerMax 210; pricePerHour 0.12; reliability 0.999; zone "cellar";'
    await bench.deploy(pool("", figures))
    host = bench.find("host")
    assert {"arch=i686", "hypervisor=TEST", "zone=cellar"} <= set(host.value("facts").items)
    assert (host.prim.power_idle, host.prim.power_max, host.prim.reliability) == (90, 210, 0.999)
    await bench.one.terminate("app")

    with pytest.raises(EngineError, match="powerMax 50 is less than powerIdle 90"):
        await bench.deploy(pool("", "powerIdle 90; powerMax 50;"))


def test_what_can_keep_volumes_here_is_found_by_looking():
    kinds = list(storage_here())
    assert kinds[0] == "loop"
    assert ("overlay" in kinds) == bool(shutil.which("qemu-img"))


async def test_a_machine_of_another_application_here_is_no_orphan(bench):
    await bench.deploy(pool(guests(1)), name="first")
    await bench.deploy(
        pool(guests(1), 'lookPeriod 0.05; orphanPolicy "remove"; orphanGrace 0;'), name="second"
    )
    live = next(each for each in bench.holder.process.lives.values() if each.path == "second:host")
    await until(lambda: "orphans" in live.changes)
    await asyncio.sleep(0.3)

    assert live.value("orphans").items == ()
    assert await names(bench) == {"test", "first-host-vm0", "second-host-vm0"}
    await bench.one.terminate("second")
    await bench.one.terminate("first")
