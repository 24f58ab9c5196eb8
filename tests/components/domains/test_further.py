"""Disks that are there and further interfaces: read, placed, claimed, plugged in and out."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET

import pytest
from msgspec.structs import replace

import sfdl
from components.domains.extras import mac_beside, targets_in
from components.domains.further import (
    Existing,
    FurtherDisk,
    FurtherInterface,
    disks_kind,
    interfaces_kind,
    placed,
)
from components.domains.plugging import devices_of, keys_in, plugs_between
from components.domains.xml import BadSpecError, domain_xml
from components.hypervisor.pool import HypervisorPool
from components.kvm.profile import KvmProfile
from components.xen.profile import XenProfile
from engine.core.faults import EngineError
from engine.runtime.kinds import BadValueError
from engine.testing.kit import engines
from tests.components.domains.test_xml import BOOTLOADER, FURTHER_NIC, KVM, MACHINE


def said(text):
    return sfdl.compile(f"sfConfig extends {{ x {text}; }}").root.get("x")


def test_a_disk_is_a_path_or_a_component():
    assert disks_kind.read(said('["/a", (extends { path "/b"; format "qcow2"; readOnly true; })]')) == (
        FurtherDisk("/a"), FurtherDisk("/b", "qcow2", read_only=True),
    )  # fmt: skip


def test_an_interface_is_a_network_or_a_component():
    text = (
        '["lan", (extends { bridge "br1"; mac "52-54-00-00-00-01"; ip "10.1.0.2"; netmask 24; })]'
    )

    assert interfaces_kind.read(said(text)) == (
        FurtherInterface("network", "lan"),
        FurtherInterface(
            "bridge", "br1", mac="52:54:00:00:00:01", ip="10.1.0.2", netmask="255.255.255.0"
        ),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[3]", "must be a list of components"),
        ("[(extends { format \"raw\"; })]", "a disk needs a path"),
        ('[(extends { path "/a"; file 1; })]', "a disk has no file; it has boot, format"),
        ('[(extends { path "/a"; format "vmdk"; })]', "format must be raw or qcow2"),
        ('[(extends { path "/a"; target "disk1"; })]', "target must be such as vdb"),
        ('[(extends { path "/a"; readOnly "yes"; })]', "true or false"),
        ('["/a", "/a"]', "path /a is there twice"),
        ('[(extends { path "/a"; target "vdb"; }), (extends { path "/b"; target "vdb"; })]',
         "target vdb is there twice"),
        ('[(extends { path "/a"; boot true; }), (extends { path "/b"; boot true; })]',
         "boot true is there twice"),
        ('[(extends { path "/a"; format "qcow2"; shareable true; })]', "shareable needs format raw"),
    ],
)  # fmt: skip
def test_a_disk_that_makes_no_sense_is_refused(text, words):
    with pytest.raises(BadValueError, match=words):
        disks_kind.read(said(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[(extends { })]", "has a network or a bridge, one of them"),
        ('[(extends { network "a"; bridge "b"; })]', "has a network or a bridge, one of them"),
        ('[(extends { network "a"; mac "1"; })]', "is no MAC address"),
        ('[(extends { network "a"; ip "1.2.3"; })]', "is no IPv4 address"),
        ('[(extends { network "a"; vlan 3; })]', "an interface has no vlan"),
        ('[(extends { network "a"; mac "52:54:00:00:00:01"; }), '
         '(extends { network "b"; mac "52:54:00:00:00:01"; })]', "mac 52:54:00:00:00:01 is there twice"),
    ],
)  # fmt: skip
def test_an_interface_that_makes_no_sense_is_refused(text, words):
    with pytest.raises(BadValueError, match=words):
        interfaces_kind.read(said(text))


def test_names_in_the_guest_fill_what_is_free():
    disks = (
        Existing("/a", "file", "raw"),
        Existing("/b", "file", "raw", target="vdb"),
        Existing("/c", "file", "raw"),
    )

    assert [disk.target for disk in placed(disks, "vd", ("vda", "vdc"))] == ["vdd", "vdb", "vde"]


def test_a_mac_address_does_not_depend_on_interfaces_of_other_networks():
    uuid = "6ba7b810-9dad-51d1-80b4-00c04fd430c8"
    macs = {
        mac_beside(uuid, "network", "a", 0), mac_beside(uuid, "network", "a", 1),
        mac_beside(uuid, "bridge", "a", 0), mac_beside(uuid, "network", "b", 0),
    }  # fmt: skip

    assert len(macs) == 4
    assert all(mac.startswith("52:54:00:") for mac in macs)


@pytest.mark.parametrize("profile", [KVM, BOOTLOADER], ids=["kvm", "xen"])
def test_a_name_of_the_other_hypervisor_is_refused(profile):
    other = "xvdb" if isinstance(profile, KvmProfile) else "vdb"
    machine = replace(MACHINE, further=(Existing("/a", "file", "raw", target=other),))

    with pytest.raises(BadSpecError, match=f"target: {other}"):
        profile.spec(machine)


def test_an_hvm_guest_of_xen_boots_from_its_first_disk_only():
    profile = replace(BOOTLOADER, mode="hvm", bootloader="", bootloader_args="")
    assert isinstance(profile, XenProfile)

    with pytest.raises(BadSpecError, match="boots from xvda, not from xvdc"):
        profile.spec(replace(MACHINE, further=(Existing("/a", "file", "raw", boot=True),)))


def xml_with(*disks, nics=()):
    return domain_xml(
        KVM.spec(replace(MACHINE, further=disks, interfaces=(*MACHINE.interfaces, *nics)))
    )


A, B = Existing("/a", "file", "raw", target="vdx"), Existing("/b", "file", "raw", target="vdy")


def test_only_what_was_described_beside_is_ever_plugged():
    assert [(each.word, each.key) for each in devices_of(xml_with(A, nics=(FURTHER_NIC,)))] == [
        ("disks", "vdx"), ("interfaces", FURTHER_NIC.mac),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "live", "out", "into"),
    [
        ((), (A,), (), [], ["vdx"]),
        ((A,), (), (A,), ["vdx"], []),
        ((A,), (A, B), (A,), [], ["vdy"]),
        ((A,), (replace(A, read_only=True),), (A,), ["vdx"], ["vdx"]),
        ((A, B), (A,), (A,), [], []),  # it was to be plugged in at the next power cycle
        ((A,), (A, B), (), [], ["vdx", "vdy"]),
        ((A,), (A,), (A,), [], []),
    ],
)  # fmt: skip
def test_a_running_guest_gets_what_it_has_not(old, new, live, out, into):
    plugs = plugs_between(xml_with(*old), xml_with(*new), xml_with(*live))

    assert [device.key for device in plugs.out] == out
    assert [device.key for device in plugs.into] == into


def test_a_disk_keeps_its_name_while_others_come_and_go():
    assert targets_in(xml_with(A, B)) == {"/a": "vdx", "/b": "vdy"}
    assert ("interfaces", MACHINE.interfaces[0].mac) in keys_in(xml_with())


TWO = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    sfUpdatable true; sfSyncTerminate true; hypervisorUri "test:///default";
    lan extends Network { networkName "lan"; subnet "10.61.0.1/24"; forward "isolated"; }
    MORE
    one extends KIND { memory 64; ONE }
    two extends KIND { memory 64; diskless NOT; TWO }
}
"""


class Pool:
    """An application of two machines at the test driver."""

    def __init__(self, engine, folder):
        self.engine = engine
        self.folder = folder
        for name in ("a", "b", "c"):
            (folder / f"{name}.img").write_bytes(bytes(4096))
        (folder / "q.img").write_bytes(b"QFI\xfb" + bytes(4096))

    def root(self, one, two="", *, kind="KvmDomain", more=""):
        text = TWO.replace("MORE", more).replace("NOT", "false" if "disks" in two else "true")
        text = text.replace("ONE", one).replace("TWO", two).replace("KIND", kind)
        return sfdl.compile(text.replace("DIR", str(self.folder))).root

    async def start(self, *texts, **more):
        await self.engine.deploy("app", self.root(*texts, **more))

    async def update(self, *texts, **more):
        await self.engine.update("app", self.root(*texts, **more))

    async def plan(self, *texts):
        found = await self.engine.plan("app", self.root(*texts))
        (row,) = [row for row in found.rows if row.path == "one"]
        return dict(zip(row.attributes, row.ways, strict=True))

    def live(self, name="one"):
        return next(each for each in self.engine.process.lives.values() if each.name == name)

    async def xml(self, name="one"):
        found = await self.engine.process.services.get(HypervisorPool).get("test:///default")
        uuid = self.live(name).value("uuid")
        return ET.fromstring(await found.xml(uuid))

    async def network(self):
        found = await self.engine.process.services.get(HypervisorPool).get("test:///default")
        return await found.networks.by_name("lan")


@pytest.fixture
async def pool(tmp_path):
    async with engines(tmp_path / "state", 1, threads=True) as (_, (engine,)):
        (tmp_path / "disks").mkdir()
        yield Pool(engine, tmp_path / "disks")


@pytest.mark.parametrize(("kind", "target"), [("KvmDomain", "vda"), ("XenDomain", "xvda")])
async def test_a_machine_has_disks_without_a_backend_and_interfaces_beside_the_first(
    pool, kind, target
):
    await pool.start(
        'disks ["DIR/a.img"]; network "default"; interfaces [(extends { network LAZY ATTRIB lan; '
        'ip "10.61.0.9"; netmask 24; }), "default"];',
        kind=kind,
    )

    xml = await pool.xml()
    assert [each.get("dev") for each in xml.findall("devices/disk/target")] == [target]
    assert [each.get("network") for each in xml.findall("devices/interface/source")] == [
        "default", "lan", "default",
    ]  # fmt: skip
    macs = [each.get("address") for each in xml.findall("devices/interface/mac")]
    assert macs[1] == "52:54:0a:3d:00:09"
    assert len(set(macs)) == 3
    assert [(host.mac, host.ip) for host in (await pool.network()).hosts] == [
        (macs[1], "10.61.0.9")
    ]


async def test_where_a_disk_is_may_be_said_by_what_makes_it(pool):
    path = pool.folder / "a.img"
    holder = f'holder extends Compound {{ at "{path}"; }}'

    await pool.start("disks [(extends { path LAZY ATTRIB holder:at; })];", more=holder)

    assert (await pool.xml()).find("devices/disk/source").get("file") == str(path)


@pytest.mark.parametrize(
    ("one", "two", "words"),
    [
        ('disks ["DIR/none.img"];', "", "No such file"),
        ('disks ["DIR"];', "", "is no file and no block device"),
        ('disks ["DIR/q.img"];', "", "looks like qcow2, and no format is given"),
        ('disks [(extends { path "DIR/a.img"; format "qcow2"; })];', "", "is no qcow2 file"),
        ('disks [(extends { path "DIR/a.img"; target "xvdb"; })];', "",
         "target xvdb is no name it can have, such as vdb or sdb"),
        ('disks ["DIR/a.img"]; diskless true;', "", "diskless is true, and there are disks"),
        ('disks ["DIR/a.img"];', 'disks ["DIR/../disks/a.img"];', "has it already"),
        ('disks [(extends { path "DIR/a.img"; readOnly true; })];', 'disks ["DIR/a.img"];',
         "has it already"),
        ('disks ["DIR/a.img"]; interfaces ["none"];', "", "there is no network none"),
        ('disks ["DIR/a.img"]; interfaces [(extends { bridge "sdnone0"; })];', "", "sdnone0"),
        ('disks ["DIR/a.img"]; interfaces [(extends { bridge LAZY ATTRIB lan; })];', "",
         "bridge leads to"),
        ('disks ["DIR/a.img"]; mac "52:54:00:00:00:01"; '
         'interfaces [(extends { network "default"; mac "52:54:00:00:00:01"; })];', "",
         "is that of two of its interfaces"),
        ('disks ["DIR/a.img"]; mac "52:54:00:00:00:01";',
         'interfaces [(extends { network "default"; mac "52:54:00:00:00:01"; })];',
         "is held by app:one already"),
        ('disks ["DIR/a.img"]; interfaces [(extends { network "default"; mac "aa:bb:cc:dd:ee:ff"; })];',
         "", "is that of domain test already"),
        ('disks ["/guest/diskimage1"];', "", "No such file"),
    ],
)  # fmt: skip
async def test_what_cannot_be_had_is_refused_with_its_holder_before_anything_is_made(
    pool, one, two, words
):
    with pytest.raises(EngineError) as failure:
        await pool.start(one, two)

    assert words in " ".join(str(each) for each in failure.value.fault.chain())
    assert not pool.engine.process.apps


@pytest.mark.parametrize(
    ("one", "words"),
    [
        ('disks ["DIR/none.img"];', "No such file"),
        ('disks ["DIR/b.img"];', "app:two has it already"),
        ('disks [(extends { path "DIR/c.img"; target "xvdb"; })];', "is no name it can have"),
        ('disks ["DIR/a.img"]; interfaces ["none"];', "there is no network none"),
        ('disks ["DIR/a.img"]; interfaces [(extends { network "default"; '
         'mac "52:54:00:00:00:01"; })];', "is held by app:two already"),
        ('disks ["DIR/a.img"]; interfaces [(extends { network "default"; '
         'mac "aa:bb:cc:dd:ee:ff"; })];', "is that of domain test already"),
    ],
)  # fmt: skip
async def test_what_cannot_be_had_is_refused_before_an_update_changes_anything(pool, one, words):
    two = 'disks ["DIR/b.img"]; network "default"; mac "52:54:00:00:00:01";'
    await pool.start('disks ["DIR/a.img"];', two)
    before = ET.tostring(await pool.xml())

    with pytest.raises(EngineError, match="refuses the update") as failure:
        await pool.update(one, two)

    assert words in " ".join(str(each) for each in failure.value.fault.chain())
    assert ET.tostring(await pool.xml()) == before


async def test_machines_that_all_say_so_have_a_disk_together(pool):
    shared = 'disks [(extends { path "DIR/a.img"; shareable true; })];'

    await pool.start(shared, shared)

    for name in ("one", "two"):
        assert (await pool.xml(name)).find("devices/disk/shareable") is not None


async def test_without_hot_plug_devices_come_and_go_at_the_next_power_cycle(pool):
    await pool.start('disks ["DIR/a.img", "DIR/b.img"]; interfaces ["default"];')
    before = await pool.xml()
    more = 'disks ["DIR/b.img", "DIR/c.img"]; interfaces ["default", "lan"];'

    assert await pool.plan(more) == {
        "disks": "next power cycle", "interfaces": "next power cycle",
    }  # fmt: skip
    await pool.update(more)

    assert (await pool.xml()).get("id") == before.get("id")
    assert pool.live().value("pendingChanges") == "disks, interfaces"

    await pool.update(f'{more} updateMode "reboot"; extra "";')
    await pool.update('disks ["DIR/b.img"]; interfaces ["default", "lan"]; updateMode "reboot";')

    xml = await pool.xml()
    assert not pool.live().value("pendingChanges")
    disks = {
        each.find("source").get("file"): each.find("target").get("dev")
        for each in xml.findall("devices/disk")
    }
    assert disks == {str(pool.folder / "b.img"): "vdb"}  # it has kept its name
    macs = [each.get("address") for each in xml.findall("devices/interface/mac")]
    assert before.find("devices/interface/mac").get("address") == macs[0]


NIC = "interfaces [(extends { network LAZY ATTRIB second; })];"
SECOND = (
    'second extends Network { networkName "second"; subnet "10.62.0.1/24"; forward "isolated"; }'
)


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_network_comes_and_goes_with_an_interface_on_it_and_the_guest_goes_on(
    pool, at_once
):
    disk = 'disks ["DIR/a.img"]; updateMode "reboot";'
    await pool.start(disk)

    await pool.update(f"{disk} {NIC}", more=SECOND)

    assert (await pool.xml()).find("devices/interface/source").get("network") == "second"
    if not at_once:
        await pool.update(disk, more=SECOND)
    await pool.update(disk)

    xml = await pool.xml()
    assert int(xml.get("id")) > 0
    assert xml.find("devices/interface") is None
    found = await pool.engine.process.services.get(HypervisorPool).get("test:///default")
    await gone(found)


async def gone(hypervisor):
    for _ in range(1200):
        if await hypervisor.networks.by_name("second") is None:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the network is still there")


async def test_what_a_machine_has_given_up_another_may_have(pool):
    await pool.start(
        'disks ["DIR/a.img"]; interfaces [(extends { network LAZY ATTRIB lan; ip "10.61.0.9"; })]; '
        'updateMode "reboot";',
        'disks ["DIR/b.img"];',
    )

    await pool.update('disks ["DIR/c.img"]; updateMode "reboot";', 'disks ["DIR/b.img"];')

    assert not (await pool.network()).hosts
    await pool.update(
        'disks ["DIR/c.img"]; updateMode "reboot";',
        'disks ["DIR/b.img", "DIR/a.img"]; updateMode "reboot"; '
        'interfaces [(extends { network LAZY ATTRIB lan; ip "10.61.0.9"; })];',
    )
    assert [host.ip for host in (await pool.network()).hosts] == ["10.61.0.9"]
