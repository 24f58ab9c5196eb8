"""Disks and interfaces that come, grow and go by actions: described so from then on, whatever was said."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET

import pytest

import sfdl
from components.domains.attaching import row, without
from components.domains.further import interfaces_kind
from components.hypervisor.pool import HypervisorPool
from components.storage.declared import data_kind
from components.storage.resizing import with_size
from engine.core.faults import BadDescription, EngineError, NotFound, Refused
from engine.runtime.kinds import BadValueError
from engine.testing.kit import begin, engines, until
from sfdl.values import Description, Vector

MIB = 2**20
URI = "test:///default"
ONE = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    sfSyncTerminate true; hypervisorUri "test:///default";
    lan extends Network { networkName "lan"; subnet "10.62.0.1/24"; forward "isolated"; }
    store extends BACKEND { baseImage "IMAGE"; spaceReserve 0; STORE }
    vm extends KvmDomain { memory 64; storageBackend LAZY ATTRIB store; VM }
}
"""


class Machine:
    """One machine, what it is told to do, and what can be seen of it."""

    def __init__(self, network, engine, folder):
        self.network, self.engine, self.folder = network, engine, folder
        for name in ("a", "b"):
            (folder / f"{name}.img").write_bytes(bytes(4096))
        (folder / "base.img").write_bytes(bytes(MIB))

    async def start(self, store="", vm="", backend="LoopbackStorageBackend"):
        text = ONE.replace("STORE", f'swapSize "1m"; {store}').replace("VM }", f"{vm} }}")
        text = text.replace("BACKEND", backend).replace("IMAGE", str(self.folder / "base.img"))
        await self.engine.deploy("app", sfdl.compile(text).root)

    def live(self, name="vm"):
        return next(each for each in self.engine.process.lives.values() if each.name == name)

    async def act(self, action, *words):
        return await self.engine.call("app:vm", action, *words)

    async def xml(self):
        found = await self.engine.process.services.get(HypervisorPool).get(URI)
        return ET.fromstring(await found.xml(self.live().value("uuid")))

    def defined(self):
        return ET.fromstring(self.live().prim.making.xml)

    def disks(self):
        found = self.defined().findall("devices/disk")
        return {one.find("target").get("dev"): one.find("source").get("file") for one in found}

    def macs(self):
        return [one.get("address") for one in self.defined().findall("devices/interface/mac")]

    def sizes(self):
        return {
            made.effect.path.rpartition("-")[2]: made.effect.size_bytes
            for made in self.live("store").effects
            if hasattr(made.effect, "size_bytes")
        }

    async def restart(self):
        self.network.kill(self.engine.process)
        peers = {"host1": "host1:3800"}
        state = self.folder.parent / "state" / "host1"
        self.engine = await begin(self.network, state, "host1", "host1:3800", peers, threads=True)
        await until(lambda: self.live().ready)


@pytest.fixture
async def machine(tmp_path):
    (tmp_path / "disks").mkdir()
    async with engines(tmp_path / "state", 1, threads=True) as (network, (engine,)):
        one = Machine(network, engine, tmp_path / "disks")
        try:
            yield one
        finally:
            if one.engine is not engine:
                network.verbs.pop("host1:3800", None)
                await one.engine.process.stop()
                await engine.process.services.close()


# -- growing


@pytest.mark.parametrize("said_by", ["store", "vm"])
@pytest.mark.parametrize("called", ["root", "vda"])
async def test_a_volume_grows_and_whoever_said_its_size_says_the_new_one(machine, said_by, called):
    await machine.start(**{said_by: 'volumeSize "8m";'})

    assert await machine.act("resize_disk", called, "12m") == "next power cycle"
    assert await machine.act("resize_disk", called, 12) == "next power cycle"  # done already

    assert machine.sizes()["volume1"] == 12 * MIB
    assert machine.live(said_by).value("volumeSize") == 12
    assert machine.live().value("pendingChanges") == "volumeSize"
    with pytest.raises(Refused, match="cannot become 8388608 bytes: it has 12582912"):
        await machine.act("resize_disk", called, "8m")
    await machine.restart()
    assert machine.live(said_by).value("volumeSize") == 12
    assert machine.live("store").bound["volumeSize"] == 12 * MIB
    assert await machine.act("resize_disk", called, "16m") == "next power cycle"
    assert machine.sizes()["volume1"] == 16 * MIB


async def test_a_data_volume_grows_alone_and_those_that_do_not_grow_say_so(machine):
    await machine.start('dataVolumes [|[|"db", "4m", "none"|], [|"log", 4|]|]; volumeSize 8;')

    await machine.act("resize_disk", "db", "6m")

    assert machine.sizes() == {"volume1": 8 * MIB, "swap": MIB, "db": 6 * MIB, "log": 4 * MIB}
    now = data_kind.read(machine.live("store").value("dataVolumes"))
    assert [(one.name, one.size_bytes) for one in now] == [("db", 6 * MIB), ("log", 4 * MIB)]
    assert now[0].make_fs == ("none",)
    with pytest.raises(Refused, match="a swap volume stays as large as it was made"):
        await machine.act("resize_disk", "swap", "2m")
    with pytest.raises(NotFound, match="there is no volume nothing") as missing:
        await machine.act("resize_disk", "nothing", "2m")
    assert missing.value.fault.hint == "it has root, db, log"
    with pytest.raises(BadDescription, match="size must be a size"):
        await machine.act("resize_disk", "db", "much")


async def test_what_cannot_grow_leaves_what_is_described_as_it_was(machine, monkeypatch):
    await machine.start(vm='volumeSize "8m";')

    async def fail(self, at, size_bytes):
        raise Refused("the disk is broken")

    monkeypatch.setattr("components.storage.volume_file.VolumeFile.enlarge", fail)
    with pytest.raises(Refused, match="the disk is broken"):
        await machine.act("resize_disk", "root", "12m")

    assert machine.live().value("volumeSize") == "8m"
    assert machine.live("store").bound["volumeSize"] == 8 * MIB


async def test_a_layer_grows_while_its_guest_is_off(machine):
    await machine.start('volumeSize "8m";', backend="OverlayStorageBackend")
    with pytest.raises(Refused, match="a qcow2 file that a guest has open"):
        await machine.act("resize_disk", "root", "12m")

    await machine.act("destroy")
    assert await machine.act("resize_disk", "root", "12m") == "at once"

    path = next(iter(machine.disks().values()))
    told = subprocess.check_output(["qemu-img", "info", "--output=json", path])
    assert json.loads(told)["virtual-size"] == 12 * MIB


async def test_a_disk_that_was_there_stays_as_it_is(machine):
    await machine.start(vm=f'disks ["{machine.folder / "a.img"}"];')

    with pytest.raises(Refused, match="was there before its machine, and stays as it is"):
        await machine.act("resize_disk", "vdc", "1g")

    assert (machine.folder / "a.img").stat().st_size == 4096


def test_sizes_that_stay_are_written_so_that_they_are_read_alike():
    before = data_kind.read(Vector((Vector(("a", "1.00001g", "mkfs.xfs -K")), Vector(("b", "2m")))))

    again = data_kind.read(with_size(before, 1, "3m"))

    assert again[0] == before[0]
    assert again[1].size_bytes == 3 * MIB


# -- coming and going


async def test_a_disk_comes_and_goes_and_is_described_so_from_then_on(machine):
    await machine.start()
    a, b = machine.folder / "a.img", machine.folder / "b.img"

    first = await machine.act("attach", "disk", str(a))
    second = await machine.act("attach", "disk", str(b), "readOnly=true target=vdx")

    later = "next power cycle"
    assert (first, second) == (
        {"device": "vdc", "effect": later}, {"device": "vdx", "effect": later},
    )  # fmt: skip
    assert (machine.disks()["vdc"], machine.disks()["vdx"]) == (str(a), str(b))
    assert machine.live().value("pendingChanges") == "disks"
    assert await machine.act("attach", "disk", str(a)) == {
        "device": "vdc", "effect": "nothing to do",
    }  # fmt: skip
    await machine.restart()
    assert [disk.path for disk in machine.live().bound["disks"]] == [str(a), str(b)]
    assert await machine.act("detach", "vdc") == {"device": "vdc", "effect": later}
    assert await machine.act("detach", str(a)) == {"device": str(a), "effect": "nothing to do"}
    await machine.act("destroy")
    assert await machine.act("detach", str(b)) == {"device": str(b), "effect": "at once"}
    assert machine.disks().keys() == {"vda", "vdb"}
    assert (await machine.xml()).find("devices/disk/source").get("file") == machine.disks()["vda"]
    await machine.act("start")
    assert not machine.live().value("pendingChanges")


async def test_an_interface_comes_and_goes_and_the_others_keep_their_addresses(machine):
    await machine.start(vm='network "default";')

    first = (await machine.act("attach", "network", "default"))["device"]
    second = (await machine.act("attach", "network", "default"))["device"]
    fixed = await machine.act("attach", "network", "LAZY lan", "ip=10.62.0.9 netmask=24")

    assert len({*machine.macs(), first, second}) == 4
    assert fixed["device"] == "52:54:0a:3e:00:09"
    assert (await machine.act("detach", first.upper().replace(":", "-")))["device"] == first
    assert machine.macs()[1:] == [second, fixed["device"]]
    await machine.act("detach", second)
    await machine.act("detach", fixed["device"])
    assert len(machine.macs()) == 1


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        (("tape", "/dev/st0"), BadDescription, "kind must be disk, network or bridge"),
        (("disk", "DIR/a.img", "readOnly"), BadDescription, "must be name=value"),
        (("disk", "DIR/a.img", "colour=red"), BadDescription, "a disk has no colour"),
        (("disk", "DIR/none.img"), Refused, "No such file"),
        (("disk", "DIR/b.img", "target=xvdb"), EngineError, "is no name it can have"),
        (("disk", "DIR/a.img", "readOnly=true"), BadDescription, "is there twice"),
        (("network", "none"), Refused, "there is no network none"),
        (("network", "default", "mac=aa:bb:cc:dd:ee:ff"), Refused, "is that of domain test"),
        (("bridge", "sdnone0"), Refused, "sdnone0"),
    ],
)  # fmt: skip
async def test_what_cannot_be_attached_is_refused_and_nothing_is_changed(
    machine, words, error, text
):
    await machine.start(vm=f'disks ["{machine.folder / "a.img"}"];')
    before = machine.live().prim.making.xml

    with pytest.raises(error, match=text):
        await machine.act("attach", *(word.replace("DIR", str(machine.folder)) for word in words))

    assert machine.live().prim.making.xml == before
    assert [disk.path for disk in machine.live().bound["disks"]] == [str(machine.folder / "a.img")]
    assert machine.live().value("interfaces") is None


async def test_what_fails_on_the_way_is_taken_back(machine, monkeypatch):
    await machine.start()
    rewrite = machine.live().prim.making.rewrite
    answers = [Refused("no longer")]

    async def fail():
        if answers:
            raise answers.pop()
        return await rewrite()

    monkeypatch.setattr(machine.live().prim.making, "rewrite", fail)
    with pytest.raises(Refused, match="no longer"):
        await machine.act("attach", "disk", str(machine.folder / "a.img"))

    assert machine.live().value("disks") is None
    assert machine.disks().keys() == {"vda", "vdb"}


@pytest.mark.parametrize("device", ["vda", "first"])
async def test_what_it_is_made_of_is_not_taken_away(machine, device):
    await machine.start(vm='network "default";')

    with pytest.raises(Refused, match="it stays"):
        await machine.act("detach", device if device == "vda" else machine.macs()[0])


async def test_a_machine_that_leaves_nothing_has_its_new_disk_after_a_restart(machine):
    await machine.start(vm="persistent false;")
    await machine.act("attach", "disk", str(machine.folder / "a.img"))

    await machine.restart()

    assert machine.disks()["vdc"] == str(machine.folder / "a.img")


def test_options_are_read_as_descriptions_are():
    found = row("network", "lan", "ip=10.0.0.5 netmask=24 model=e1000")
    assert found.attributes == (
        ("network", "lan"), ("ip", "10.0.0.5"), ("netmask", 24), ("model", "e1000"),
    )  # fmt: skip
    with pytest.raises(BadValueError, match="each name once"):
        row("disk", "/a", "target=vdb target=vdc")


def test_interfaces_counted_after_the_one_that_goes_keep_their_addresses():
    rows = ("a", "b", "a", Description((("network", "a"), ("model", "e1000"))))
    left = without(rows, interfaces_kind.read(Vector(rows)), ["1", "2", "3", "4"], 0)

    assert left.items[0] == "b"
    assert left.items[1].attributes == (("network", "a"), ("mac", "3"))
    assert left.items[2].attributes == (("network", "a"), ("model", "e1000"), ("mac", "4"))
