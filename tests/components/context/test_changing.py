"""What a guest is told changes: it counts at the next start, or at once by one power cycle."""

from __future__ import annotations

import io
import subprocess

import pycdlib
import pytest
import yaml

import sfdl
from components.hypervisor.pool import HypervisorPool
from engine.core.faults import EngineError
from engine.testing.kit import engines
from engine.testing.sabotage import Plan, Saboteur

POOL = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    sfUpdatable true; sfSyncTerminate true; hypervisorUri "test:///default"; BESIDE
    vm extends KvmDomain { memory 64; hostname "web"; DISKS VM }
    AFTER
}
"""
OWN = 'context extends Context { mode "nocloud"; %s }'
SHARED = 'all extends Context { mode "nocloud"; %s }'
REFERS = "context LAZY ATTRIB all;"
NOTHING = "diskless true;"


class Told:
    """One machine whose guest is told something else."""

    def __init__(self, engine):
        self.engine = engine

    def root(self, vm="", beside="", after="", disks=NOTHING):
        words = {"BESIDE": beside, "DISKS": disks, "VM }": f"{vm} }}", "AFTER": after}
        text = POOL
        for word, with_ in words.items():
            text = text.replace(word, with_)
        return sfdl.compile(text).root

    async def start(self, *said, **more):
        await self.engine.deploy("app", self.root(*said, **more))

    async def update(self, *said, **more):
        await self.engine.update("app", self.root(*said, **more))

    async def plan(self, *said, **more):
        found = await self.engine.plan("app", self.root(*said, **more))
        assert found.problems == ()
        return {
            (row.path, name): way
            for row in found.rows
            for name, way in zip(row.attributes, row.ways, strict=False)
        }

    async def hypervisor(self):
        return await self.engine.process.services.get(HypervisorPool).get("test:///default")

    async def instance(self):
        """Return the number of the running instance: another one has been started since."""
        return (await (await self.hypervisor()).fact(self.vm.value("uuid"))).id

    async def cycle(self):
        await self.engine.call(self.vm.path, "destroy")
        await self.engine.call(self.vm.path, "start")

    @property
    def vm(self):
        return next(each for each in self.engine.process.lives.values() if each.name == "vm")

    @property
    def pending(self):
        return self.vm.value("pendingChanges")

    @property
    def disk(self):
        (path,) = (self.engine.process.work_folder / "context").iterdir()
        return path

    def file(self, name):
        iso = pycdlib.PyCdlib()
        iso.open(str(self.disk))
        try:
            out = io.BytesIO()
            iso.get_file_from_iso_fp(out, rr_path=f"/{name}")
            return out.getvalue().decode()
        finally:
            iso.close()

    @property
    def name(self):
        return yaml.safe_load(self.file("meta-data"))["local-hostname"]

    @property
    def identity(self):
        return yaml.safe_load(self.file("meta-data"))["instance-id"]


@pytest.fixture
async def told(tmp_path):
    async with engines(tmp_path / "state", 1, threads=True) as (_, (engine,)):
        yield Told(engine)


async def test_a_changed_context_counts_at_the_next_start_under_another_instance_id(told):
    await told.start(OWN % "")
    before, running = told.identity, await told.instance()
    wanted = OWN % 'runCommands [|"date"|];'

    assert await told.plan(wanted) == {("vm:context", "runCommands"): "next power cycle"}
    await told.update(wanted)

    assert (await told.instance(), told.pending, told.identity) == (running, "context", before)
    await told.cycle()
    assert told.pending == ""
    assert told.identity != before
    assert "date" in told.file("user-data")


async def test_an_instance_that_is_given_stays_and_the_disk_is_made_anew_all_the_same(told):
    await told.start(OWN % 'instanceId "golden-1";')
    await told.update(OWN % 'instanceId "golden-1"; runCommands [|"date"|];')
    assert told.pending == "context"
    await told.cycle()
    assert (told.identity, told.pending) == ("golden-1", "")
    assert "date" in told.file("user-data")

    await told.update(OWN % 'instanceId "golden-2"; runCommands [|"date"|];')
    assert told.pending == "context"
    await told.cycle()
    assert told.identity == "golden-2"


async def test_or_at_once_by_one_power_cycle(told):
    await told.start(OWN % "")
    running = await told.instance()
    wanted = OWN % 'applyNow true; runCommands [|"date"|];'

    assert await told.plan(wanted) == {
        ("vm:context", "runCommands"): "now, by a power cycle",
        ("vm:context", "applyNow"): "at once",
    }
    await told.update(wanted)

    assert await told.instance() == running + 1
    assert "date" in told.file("user-data")
    assert (told.pending, told.vm.ready) == ("", True)
    await told.update(wanted)
    assert await told.instance() == running + 1  # nothing has changed


@pytest.mark.parametrize("where", ["beside", "after"])
async def test_one_it_refers_to_may_change_while_the_machine_itself_does_not(told, where):
    await told.start(REFERS, **{where: SHARED % ""})
    running, wanted = await told.instance(), {where: SHARED % 'sshKeys [|"ssh-ed25519 AAAA a"|];'}

    assert await told.plan(REFERS, **wanted) == {("all", "sshKeys"): "next power cycle"}
    await told.update(REFERS, **wanted)

    assert (await told.instance(), told.pending) == (running, "context")
    await told.cycle()
    assert "ssh-ed25519 AAAA a" in told.file("user-data")
    now = {where: SHARED % 'sshKeys [|"ssh-ed25519 BBBB b"|]; applyNow true;'}
    await told.update(REFERS, **now)
    assert "BBBB" in told.file("user-data")
    assert told.pending == ""


async def test_the_machine_may_have_another_host_name_and_gets_it_with_its_next_start(told):
    await told.start(OWN % "")

    wanted = OWN % "" + 'hostname "db";'
    assert (await told.plan(wanted))["vm", "hostname"] == "next power cycle"
    await told.update(wanted)

    assert (told.name, told.pending) == ("web", "hostname")
    await told.update(OWN % "")  # back, before anybody has heard of it
    assert told.pending == ""
    await told.update(wanted + 'updateMode "reboot";')
    assert (told.name, told.pending) == ("db", "")


async def test_another_context_is_another_thing_to_be_told(told):
    both = SHARED % "" + ' other extends Context { mode "script-iso"; mtu 1400; }'
    await told.start(REFERS, both)

    await told.update("context LAZY ATTRIB other;", both)

    assert told.pending == "context"
    await told.cycle()
    assert told.vm.value("contextMode") == "script-iso"
    assert "MTU='1400'" in told.file("context")


async def test_a_way_without_a_disk_takes_the_disk_away(told):
    await told.start(OWN % "")

    await told.update('context extends Context { mode "none"; }')
    assert told.pending == "context"
    await told.cycle()

    assert not list((told.engine.process.work_folder / "context").iterdir())
    assert ".iso" not in await (await told.hypervisor()).xml(told.vm.value("uuid"))
    await told.update(OWN % "")
    await told.cycle()
    assert str(told.disk) in await (await told.hypervisor()).xml(told.vm.value("uuid"))


async def test_what_is_off_hears_of_it_as_it_starts(told):
    await told.start(OWN % "" + 'startMode "defined";')
    wanted = OWN % 'packages [|"nginx"|];' + 'startMode "defined";'

    assert await told.plan(wanted) == {("vm:context", "packages"): "at once"}
    await told.update(wanted)
    assert not told.pending
    await told.engine.call(told.vm.path, "start")

    assert "nginx" in told.file("user-data")


async def test_files_in_its_volume_are_written_again_while_it_is_off(told, tmp_path):
    (tmp_path / "tree" / "etc").mkdir(parents=True)
    loop = f"""loop extends LoopbackStorageBackend {{ baseImage "{tmp_path}/tree";
        volumeSize "8m"; swapSize 0; spaceReserve 0; makeFs "mkfs.ext4"; }}"""
    disks = "storageBackend LAZY ATTRIB loop;"
    inject = 'context extends Context { mode "inject"; } '
    await told.start(inject, loop, disks=disks)
    volume = told.engine.process.work_folder / "volumes" / "app-vm-volume1"

    def hostname():
        return subprocess.check_output(
            ["debugfs", "-R", "cat /etc/hostname", str(volume)], stderr=subprocess.DEVNULL
        ).decode()

    assert hostname() == "web\n"
    await told.update(inject + 'hostname "db";', loop, disks=disks)
    assert (hostname(), told.pending) == ("web\n", "hostname")
    await told.cycle()
    assert (hostname(), told.pending) == ("db\n", "")


async def test_words_for_the_kernel_are_told_anew_as_well(told, tmp_path):
    (tmp_path / "kernel").write_bytes(b"k")
    word = f'kernel "{tmp_path}/kernel"; context extends Context {{ mode "kernel"; interface "NAME"; }}'
    await told.start(word.replace("NAME", "eth0"))

    await told.update(word.replace("NAME", "ens3"))

    assert told.pending == "context"
    await told.cycle()
    assert "ens3:dhcp" in await (await told.hypervisor()).xml(told.vm.value("uuid"))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (OWN % 'userData "#cloud-config\\n- a";', "no mapping"),
        ('context extends Context { mode "kernel"; }', "there is no kernel"),
        ('context extends Context { mode "script-iso"; packages [|"nginx"|]; }', "cannot tell packages"),
        (OWN % 'hostKeys "fixed";', "needs hostKey"),
        (OWN % 'hostKeys "fixed"; hostKey "none";', "a private key in the form of OpenSSH"),
        (OWN % "" + 'gateway "10.9.9.9";', ""),
        (OWN % "" + 'ip "10.1.2.3";', "ip: another one needs another machine"),
    ],
)  # fmt: skip
async def test_what_cannot_be_told_is_refused_before_anything_is_changed(told, wanted, words):
    await told.start(OWN % "")
    before = told.identity

    if words:
        with pytest.raises(EngineError, match="refuses the update") as failure:
            await told.update(wanted)
        assert words in str(failure.value.fault.chain())
        assert not told.pending
    else:  # without an address there is nothing it could be outside of
        await told.update(wanted)
    assert told.identity == before


async def test_a_gateway_outside_the_subnet_is_refused(told):
    with_ip = OWN % "" + 'network "default"; ip "192.168.122.6"; netmask 24;'
    await told.start(with_ip)

    with pytest.raises(EngineError) as failure:
        await told.update(with_ip + 'gateway "10.9.9.9";')
    assert "is outside" in str(failure.value.fault.chain())
    await told.update(with_ip + 'gateway "192.168.122.1";')
    assert told.pending == "gateway"


async def test_a_prefix_that_is_in_the_address_of_a_machine_stays(told):
    mac = 'context extends Context { mode "mac"; macPrefix "PREFIX"; }'
    with_ip = mac + 'network "default"; ip "192.168.122.6"; netmask 24;'
    await told.start(with_ip.replace("PREFIX", "52:54"))

    with pytest.raises(EngineError) as failure:
        await told.update(with_ip.replace("PREFIX", "56:54"))
    assert "macPrefix 52:54 is in the MAC address" in str(failure.value.fault.chain())


@pytest.mark.parametrize("when", ["making", "made"])
async def test_a_disk_that_cannot_be_made_anew_leaves_the_guest_with_what_it_was_told(told, when):
    await told.start(OWN % "")
    told.engine.process.keeper.saboteur = Saboteur([Plan("context disk", when, "raise")])
    wanted = OWN % 'packages [|"nginx"|];'
    await told.update(wanted)
    await told.cycle()

    assert told.vm.ready
    assert told.disk.exists()
    await told.cycle()
    assert "nginx" in told.file("user-data")


async def test_and_an_update_that_wants_it_at_once_says_that_it_could_not(told):
    revert = 'sfUpdateFailure "revert";'
    await told.start(OWN % "", revert)
    told.engine.process.keeper.saboteur = Saboteur([Plan("context disk", "making", "raise")])

    with pytest.raises(EngineError, match="could not be told what has changed"):
        await told.update(OWN % 'packages [|"nginx"|]; applyNow true;', revert)

    assert (told.vm.ready, told.pending) == (True, "")
    assert "nginx" not in told.file("user-data")


async def test_after_a_restart_of_the_daemon_it_is_known_what_the_guest_was_told(told):
    await told.start(OWN % "")
    live = told.vm
    live.prim.making.retelling._heard = None
    await live.prim.making.retelling.adopted()

    await told.update(OWN % 'packages [|"nginx"|];')

    assert told.pending == "context"


async def test_an_address_of_a_pool_stays_with_its_machine_through_an_update(told):
    pool = 'range extends IpPool { subnets [|"192.168.122.0/24"|]; gateway "192.168.122.1"; }'
    ours = OWN + ' network "default"; ipPool LAZY ATTRIB range;'
    await told.start(ours % "", pool)
    address = told.vm.value("address")

    await told.update(ours % "" + "priority 7;", pool)
    assert (told.vm.value("address"), told.pending) == (address, "")
    await told.update(ours % 'packages [|"nginx"|];', pool)
    await told.cycle()

    assert f"{address}/24" in told.file("network-config")
    assert told.vm.value("address") == address


async def test_its_network_knows_it_by_its_new_host_name_as_well(told):
    ours = OWN % "" + 'network "default"; ip "192.168.122.77"; netmask 24;'
    await told.start(ours)

    async def names():
        facts = await (await told.hypervisor()).networks.by_name("default")
        return [host.name for host in facts.hosts if host.ip == "192.168.122.77"]

    assert await names() == ["web"]
    await told.update(ours + 'hostname "db";')
    await told.cycle()

    assert await names() == ["db"]
    await told.engine.terminate("app")
    assert await names() == []
