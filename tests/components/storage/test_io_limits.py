"""Disks are as fast as is said, and give back what their guest gives up."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

import sfdl
from components.hypervisor.pool import HypervisorPool
from components.storage.limits import IoLimits
from components.storage.offers import DiskOffer
from components.xen.profile import XenProfile
from engine.core.faults import EngineError
from engine.wire.codec import flatten
from engine.wire.messages import Update
from tests.components.conftest import placed

URI = "test:///default"
TEXT = """
#include "components/vm.sf"
sfConfig extends Compound {{
    hypervisorUri "test:///default"; sfUpdatable true;
    layers extends OverlayStorageBackend {{
        baseImage "{image}"; volumeSize "8m"; swapSize "1m"; spaceReserve 0; {disks}
    }}
    vm extends KvmDomain {{
        storageBackend LAZY ATTRIB layers; domainName "d"; memory 64; startMode "defined"; {vm}
    }}
}}
"""


@pytest.fixture
def text(tmp_path):
    image = tmp_path / "disk.raw"
    image.write_bytes(bytes(2**20))

    def written(disks="", vm=""):
        return TEXT.format(image=image, disks=disks, vm=vm)

    return written


async def disks_of(bench):
    hypervisor = await bench.holder.process.services.get(HypervisorPool).get(URI)
    (facts,) = [each for each in await hypervisor.facts() if each.name == "d"]
    return ET.fromstring(await hypervisor.xml(facts.uuid)).findall("devices/disk")


def limits_of(disk):
    return {each.tag: each.text for each in disk.iterfind("iotune/*")}


async def test_limits_hold_for_each_volume_and_those_of_the_machine_win(bench, text):
    slow = 'ioLimits extends DATA { readBytes "20m"; writeBytes "10m"; iops 500; }'
    await bench.deploy(text(disks=slow))
    expected = {
        "read_bytes_sec": "20971520", "write_bytes_sec": "10485760", "total_iops_sec": "500",
    }  # fmt: skip
    assert [limits_of(disk) for disk in await disks_of(bench)] == [expected, expected]
    await bench.one.terminate("app")

    await bench.deploy(text(slow, "ioLimits extends DATA { iops 7; }"))
    assert [limits_of(disk) for disk in await disks_of(bench)] == [{"total_iops_sec": "7"}] * 2
    await bench.one.terminate("app")


async def test_a_layer_gives_back_what_its_guest_gives_up_unless_that_is_not_wished(bench, text):
    for said, expected in (("", ["unmap", None]), ("discard false;", [None, None])):
        await bench.deploy(text(said))
        drivers = [disk.find("driver") for disk in await disks_of(bench)]
        assert [driver.get("discard") for driver in drivers] == expected
        await bench.one.terminate("app")


def test_limits_on_xen_are_refused_in_words():
    profile = XenProfile(mode="pv", root="", root_target="xvda", swap_target="xvdb", console="hvc0")
    with pytest.raises(ValueError, match="ioLimits: Xen has none for disks"):
        profile.disk(DiskOffer("root", "/srv/d", "file", "raw", IoLimits(total_iops=1)), 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ioLimits extends DATA { iops 8; }", "ioLimits count when its machine is made"),
        ('volumeBaseName "other";', "volumeBaseName: the volumes would have to be made anew"),
    ],
)
async def test_an_update_that_would_need_other_volumes_is_refused_and_changes_nothing(
    bench, text, change, words
):
    await bench.deploy(text("ioLimits extends DATA { iops 7; }"))
    before = [limits_of(disk) for disk in await disks_of(bench)]
    same = "ioLimits extends DATA { iops 7; }"
    root = sfdl.compile(text(change if "iops" in change else same + change)).root
    if bench.holder is bench.two:
        root = placed(root, "host2")

    with pytest.raises(EngineError, match=words) as why:
        await bench.one.submit(Update("app", flatten(root)))

    assert "SF-STORE-022" in {fault.code for fault in why.value.fault.chain()}
    assert [limits_of(disk) for disk in await disks_of(bench)] == before
    await bench.one.terminate("app")
