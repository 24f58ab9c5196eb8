"""The life of a domain on libvirt's test driver: names, storage, liveness, staged stop."""

from __future__ import annotations

import pytest

from components.hypervisor.faulty import FaultyHypervisor, Raise
from components.hypervisor.pool import HypervisorPool
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.testing.kit import until
from sfdl.errors import SmartDomainsError

POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate true;
    host extends PhysicalHost {{
        hypervisorUri "test:///default";
        loop extends LoopbackStorageBackend {{
            baseImage "/usr/share/common-licenses"; volumeSize "8m"; swapSize "1m"; spaceReserve 0;
        }}
        vm extends KvmDomain {{ storageBackend LAZY ATTRIB loop; memory 64; {more} }}
        {beside}
    }}
}}
"""


def text(more="", beside=""):
    return POOL.format(more=more, beside=beside)


async def hypervisor(bench):
    return await bench.holder.process.services.get(HypervisorPool).get("test:///default")


async def ours(bench):
    return [facts for facts in await (await hypervisor(bench)).facts() if facts.name != "test"]


async def test_a_domain_runs_with_its_owner_recorded_and_leaves_nothing(bench):
    await bench.deploy(text())

    (facts,) = await ours(bench)
    assert facts.name == "app-host-vm"
    assert facts.active
    assert facts.owner.path == "app:host:vm"
    vm = bench.find("vm")
    assert vm.ready
    assert vm.value("uuid") == facts.uuid
    await bench.one.terminate("app")
    assert await ours(bench) == []
    assert list((bench.work / "volumes").iterdir()) == []
    assert list((bench.work / "console").iterdir()) == []


async def test_a_machine_written_before_its_storage_has_its_disks_and_its_volumes_go_last(bench):
    lines = text().splitlines(keepends=True)
    machine = next(line for line in lines if "vm extends" in line)
    lines.remove(machine)
    lines.insert(next(at for at, line in enumerate(lines) if "loop extends" in line), machine)
    await bench.deploy("".join(lines))

    (facts,) = await ours(bench)
    assert sorted(path.rpartition("/")[2] for path in facts.disks) == [
        "app-host-vm-volume1", "app-host-vm-volume1-swap",
    ]  # fmt: skip
    assert bench.find("loop").ready
    ended = await bench.one.terminate("app")
    assert ended.leftovers == ()
    assert await ours(bench) == []
    assert list((bench.work / "volumes").iterdir()) == []


async def test_a_redeployment_finds_the_same_uuid(bench):
    await bench.deploy(text())
    first = bench.find("vm").value("uuid")
    await bench.one.terminate("app")

    await bench.deploy(text())

    assert bench.find("vm").value("uuid") == first
    await bench.one.terminate("app")


async def test_a_foreign_domain_of_that_name_is_named_and_not_touched(bench):
    with pytest.raises(EngineError, match="exists already") as failure:
        await bench.deploy(text('domainName "test";'))

    assert "not made by smartdomains" in failure.value.fault.message
    (facts,) = await (await hypervisor(bench)).facts()
    assert (facts.name, facts.active) == ("test", True)


async def test_a_guest_that_shuts_itself_down_ends_the_application_normally(bench):
    await bench.deploy(text())
    (facts,) = await ours(bench)

    await (await hypervisor(bench)).shutdown(facts.uuid)

    await until(lambda: not bench.one.process.apps)
    record = bench.one.process.ended_application("app")
    assert record.type == "normal"
    assert "app-host-vm" in record.description
    assert await ours(bench) == []


async def test_a_guest_destroyed_from_outside_is_noticed_by_event(bench):
    await bench.deploy(text("domainLivenessDelay 60000;"))
    (facts,) = await ours(bench)

    await (await hypervisor(bench)).destroy(facts.uuid, gentle=False)

    await until(lambda: not bench.one.process.apps)
    record = bench.one.process.ended_application("app")
    assert record.type == "abnormal"
    assert "app-host-vm" in record.description


async def test_a_guest_whose_event_was_lost_is_noticed_by_looking(bench):
    pool = bench.holder.process.services.get(HypervisorPool)
    faulty = FaultyHypervisor(await pool.get("test:///default"))
    faulty.drop_events(lambda event: True)
    pool._open["test:///default"] = faulty
    await bench.deploy(text("domainLivenessDelay 50; domainLivenessFactor 3;"))
    (facts,) = await ours(bench)

    await faulty.destroy(facts.uuid, gentle=False)

    await until(lambda: not bench.one.process.apps)
    record = bench.one.process.ended_application("app")
    assert "is shutoff" in record.description


async def test_without_the_check_a_lost_event_goes_unnoticed(bench):
    pool = bench.holder.process.services.get(HypervisorPool)
    faulty = FaultyHypervisor(await pool.get("test:///default"))
    faulty.drop_events(lambda event: True)
    pool._open["test:///default"] = faulty
    await bench.deploy(text("domainLivenessCheck false; domainLivenessDelay 50;"))
    (facts,) = await ours(bench)
    await faulty.destroy(facts.uuid, gentle=False)

    with pytest.raises(AssertionError):
        await until(lambda: not bench.one.process.apps, timeout_s=1.0)

    await bench.one.terminate("app")


async def test_a_guest_that_does_not_shut_down_is_destroyed(bench):
    pool = bench.holder.process.services.get(HypervisorPool)
    faulty = FaultyHypervisor(await pool.get("test:///default"))
    faulty.fail("shutdown", Raise(), times=100)
    pool._open["test:///default"] = faulty
    await bench.deploy(text("stopTimeout 1;"))

    gone = await bench.one.terminate("app")

    assert gone.leftovers == ()
    assert await ours(bench) == []


async def test_storage_that_ends_first_stops_its_domain_before_a_volume_goes(bench):
    pool = bench.holder.process.services.get(HypervisorPool)
    faulty = FaultyHypervisor(await pool.get("test:///default"))
    pool._open["test:///default"] = faulty
    await bench.deploy(text().replace("sfSyncTerminate true;", ""))
    volume = bench.work / "volumes" / "app-host-vm-volume1"
    assert volume.exists()

    bench.holder.process.finish(bench.find("loop"), Record.normal("volume first"))

    await until(lambda: not bench.one.process.apps)
    assert await ours(bench) == []
    assert not volume.exists()


async def test_a_backend_shared_by_two_domains_is_refused(bench):
    beside = "vm2 extends KvmDomain { storageBackend LAZY ATTRIB loop; memory 64; }"

    with pytest.raises(EngineError, match="serves app:host:vm already"):
        await bench.deploy(text(beside=beside))

    assert await ours(bench) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("memory 0;", "at least"),
        ('memory "lots";', "must be a size"),
        ("vcpus 0;", "at least 1"),
        ("vcpus 1.5;", "vcpus"),
        ('domainName "a/b";', "'/' is not allowed"),
        ('ramdisk "/x";', "needs a kernel"),
        ('network "n"; bridge "b";', "not both"),
        ('ip "123.456.78.90";', "no IPv4 address"),
        ('kernel "/nowhere/vmlinuz";', "there is no file"),
        ('startMode "boted";', 'did you mean "booted"'),
        ("storageBackend 5;", "must be a reference"),
        ("storageBackend NULL;", "storageBackend must be given"),
        ("storageBackend LAZY ATTRIB nothing;", "cannot resolve nothing"),
        ('hypervisorUri "qemu:///nowhere";', "nowhere"),
    ],
)
async def test_a_wrong_attribute_is_refused_before_anything_is_made(bench, more, words):
    with pytest.raises(SmartDomainsError) as failure:
        await bench.deploy(text(more))

    assert words in str(failure.value)
    assert not (bench.work / "volumes").exists()
    assert bench.one.process.lives == bench.two.process.lives == {}
