from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import lxml.etree  # type: ignore[import-untyped]  # has no types of its own
import msgspec
import pytest

from components.domains.further import Existing
from components.domains.overriding import QEMU, overridden, override
from components.domains.profile import Machine
from components.domains.shares import SharedFolder
from components.domains.xml import (
    BadSpecError,
    DiskSpec,
    DomainSpec,
    InterfaceSpec,
    OwnerRecord,
    domain_xml,
    owner_of,
)
from components.hypervisor.connection import LibvirtHypervisor
from components.kvm.profile import KvmProfile
from components.storage.limits import IoLimits
from components.storage.offers import DiskOffer
from components.xen.profile import XenProfile

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")

OWNER = OwnerRecord(community="lab", application="pool", path="pool:host1:vm1", incarnation=3)
MIB = 2**20
PLAIN = DomainSpec(
    kind="test",
    name="vm1",
    uuid="6ba7b810-9dad-51d1-80b4-00c04fd430c8",
    title="pool:host1:vm1",
    owner=OWNER,
    memory_bytes=512 * MIB,
)
MACHINE = Machine(
    name="vm1",
    uuid=PLAIN.uuid,
    title=PLAIN.title,
    owner=OWNER,
    memory_bytes=512 * MIB,
    vcpus=2,
    kernel="",
    ramdisk="",
    extra="",
    disks=(
        DiskOffer("root", "/dev/vg1/vm1-volume1", "block", "raw"),
        DiskOffer("swap", "/srv/vm1-volume1-swap", "file", "raw"),
    ),
    interfaces=(InterfaceSpec(kind="network", source="lan", mac="52:54:0a:14:01:0b"),),
    console_log="/srv/console/vm1.log",
)
DIRECT = msgspec.structs.replace(
    MACHINE, kernel="/srv/vmlinuz", ramdisk="/srv/initrd.gz", extra="quiet"
)
XEN = XenProfile(
    mode="pv", root="/dev/xvda1 ro", root_target="xvda1", swap_target="xvda2", console="hvc0"
)
BOOTLOADER = XenProfile(
    mode="pv", root="", root_target="xvda", swap_target="xvdb", console="hvc0",
    bootloader="pygrub", bootloader_args="--entry=0",
)  # fmt: skip
KVM = KvmProfile(
    accelerator="kvm", cpu_model="", machine="pc-q35-7.2", disk_bus="virtio", disk_cache="none",
    nic_model="virtio", agent_channel=True,
)  # fmt: skip
ON_BRIDGE = InterfaceSpec(kind="bridge", source="br0", mac="52:54:0A:4D:00:65", model="virtio")
FURTHER_NIC = InterfaceSpec(
    kind="bridge", source="br1", mac="52:54:00:01:02:03", model="e1000", alias="ua-nic-525400010203"
)

CASES = {
    "test_driver": PLAIN,
    "kvm_kernel_boot": msgspec.structs.replace(
        PLAIN,
        kind="kvm",
        machine="pc-q35-7.2",
        kernel="/srv/vmlinuz",
        initrd="/srv/initrd.gz",
        cmdline="console=ttyS0 root=/dev/vda1 ro quiet",
        vcpus=1,
        max_vcpus=4,
        max_memory_bytes=1024 * MIB,
        cpu_model="host-model",
        disks=(DiskSpec(path="/srv/vm1.img", target="vda", cache="none"),),
        interfaces=(ON_BRIDGE,),
        console_log="/srv/console/vm1.log",
        agent=True,
        balloon_stats_s=5,
    ),
    "kvm_disk_boot": msgspec.structs.replace(
        PLAIN,
        kind="kvm",
        on_crash="preserve",
        disks=(
            DiskSpec(path="/srv/vm1.qcow2", target="vda", format="qcow2", cache="none"),
            DiskSpec(path="/dev/vg1/data", target="vdb", kind="block", readonly=True),
        ),
        interfaces=(
            InterfaceSpec(kind="network", source="lan", mac="52:54:00:00:00:01", model="virtio"),
            InterfaceSpec(kind="user", mac="52:54:00:00:00:02", model="e1000"),
        ),
    ),
    "qemu_tiny_guest": msgspec.structs.replace(
        PLAIN,
        kind="qemu",
        memory_bytes=96 * MIB,
        machine="pc",
        kernel="/srv/tiny/vmlinuz",
        initrd="/srv/tiny/initrd.gz",
        cmdline="console=ttyS0 quiet panic=1 sd.name=vm1 sd.beat=1",
        cpu_model="qemu64",
        tb_cache_mib=32,
        disks=(DiskSpec(path="/srv/tiny/vm1.qcow2", target="vda", format="qcow2"),),
        interfaces=(ON_BRIDGE,),
        console_log="/srv/tiny/vm1.log",
        agent=True,
        balloon_stats_s=2,
    ),
    "xen_pv": msgspec.structs.replace(
        PLAIN,
        kind="xen",
        machine="xenpv",
        kernel="/srv/vmlinuz",
        initrd="/srv/initrd.gz",
        cmdline="root=/dev/xvda1 ro console=hvc0 fastboot nousb",
        disks=(
            DiskSpec(path="/dev/vg1/root", target="xvda1", kind="block", bus="xen"),
            DiskSpec(path="/srv/swap.img", target="xvda2", bus="xen"),
        ),
        interfaces=(InterfaceSpec(kind="bridge", source="br0", mac="52:54:0a:14:01:0b"),),
    ),
    "profile_xen_pv_kernel": XEN.spec(DIRECT),
    "profile_xen_pv_bootloader": BOOTLOADER.spec(MACHINE),
    "profile_xen_pvh_kernel": msgspec.structs.replace(XEN, mode="pvh").spec(DIRECT),
    "profile_xen_hvm_disk": msgspec.structs.replace(
        XEN, mode="hvm", root_target="xvda", swap_target="xvdb"
    ).spec(MACHINE),
    "profile_kvm_kernel": KVM.spec(DIRECT),
    "profile_kvm_disk": KVM.spec(MACHINE),
    "profile_kvm_devices": msgspec.structs.replace(
        KVM,
        firmware="efi",
        disk_io="native",
        io_threads=2,
        huge_pages=True,
        rng=True,
        watchdog="none",
        panic=True,
    ).spec(msgspec.structs.replace(MACHINE, numa_node=1, graphics="vnc")),
    "profile_xen_driver_domain": msgspec.structs.replace(
        XEN,
        mode="hvm",
        driver_domain="disks",
        loader="/usr/lib/xen/boot/hvmloader",
        emulator="/usr/bin/qemu-system-i386",
        vif_script="vif-route",
    ).spec(msgspec.structs.replace(MACHINE, interfaces=(ON_BRIDGE,))),
    "profile_kvm_limits": KVM.spec(
        msgspec.structs.replace(
            MACHINE,
            max_memory_bytes=1024 * MIB,
            max_vcpus=4,
            cpu_shares=512,
            cpu_percent=150,
            cpu_pin=(0, 2),
            interfaces=(msgspec.structs.replace(ON_BRIDGE, into_kbps=8192, out_kbps=4096),),
        )
    ),
    "profile_kvm_further": KVM.spec(
        msgspec.structs.replace(
            MACHINE,
            further=(
                Existing("/srv/data.img", "file", "raw"),
                Existing("/srv/tools.qcow2", "file", "qcow2", read_only=True, target="sdb"),
                Existing("/dev/vg1/shared", "block", "raw", shareable=True),
                Existing("/srv/system.img", "file", "raw", boot=True),
            ),
            interfaces=(*MACHINE.interfaces, FURTHER_NIC),
        )
    ),
    "profile_kvm_io_limits": KVM.spec(
        msgspec.structs.replace(
            MACHINE,
            disks=(
                DiskOffer(
                    "root",
                    "/srv/vm1.qcow2",
                    "file",
                    "qcow2",
                    IoLimits(read_bytes=20 * MIB, write_bytes=10 * MIB, total_iops=500),
                    discard=True,
                ),
                DiskOffer("swap", "/srv/vm1-swap", "file", "raw", IoLimits(total_bytes=MIB)),
            ),
        )
    ),
    "profile_xen_further": BOOTLOADER.spec(
        msgspec.structs.replace(
            MACHINE,
            further=(
                Existing("/srv/data.img", "file", "raw", read_only=True, target="xvdd"),
                Existing("/dev/vg1/shared", "block", "raw", shareable=True),
                Existing("/srv/system.img", "file", "raw", boot=True),
            ),
            interfaces=(*MACHINE.interfaces, FURTHER_NIC),
        )
    ),
    "profile_kvm_i686_keeps_crashed": KVM.spec(
        msgspec.structs.replace(MACHINE, arch="i686", keeps_crashed=True)
    ),
    "profile_kvm_virtiofs": msgspec.structs.replace(
        KVM,
        shares=(SharedFolder("/srv/data", "data"), SharedFolder("/srv/ro", "ro", True)),
        huge_pages=True,
    ).spec(msgspec.structs.replace(MACHINE, virtiofs=True)),
    "profile_kvm_9p": msgspec.structs.replace(
        KVM, shares=(SharedFolder("/srv/data", "data"), SharedFolder("/srv/ro", "ro", True))
    ).spec(MACHINE),
    "profile_kvm_secure": msgspec.structs.replace(
        KVM, firmware="efi", secure_boot=True, tpm=True, machine=""
    ).spec(MACHINE),
    "profile_kvm_memory_backing": msgspec.structs.replace(
        KVM, backing=("shared", "locked", "nosharepages", "immediate")
    ).spec(msgspec.structs.replace(MACHINE, numa_node=0)),
    "profile_tcg_disk": msgspec.structs.replace(KVM, accelerator="tcg", disk_bus="sata").spec(
        MACHINE
    ),
}

OVERRIDES = {
    "override_set_add_remove": (
        override("devices/disk[1]/driver/@discard", "set", "unmap"),
        override("/domain/devices/disk/driver/@cache", "remove", ""),
        override("devices/controller", "remove", ""),
        override("clock", "add", "<timer name='hpet' present='no'/>"),
        override("on_reboot", "set", "destroy"),
    ),
    "override_passed_through": (
        override(
            "/domain/devices", "add",
            "<hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev>",
        ),
        override(
            ".", "add",
            f"<q:commandline xmlns:q='{QEMU}'><q:arg value='-no-hpet'/></q:commandline>",
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_document_is_the_golden_one(case):
    assert domain_xml(CASES[case]) == (GOLDEN / f"{case}.xml").read_text()


def test_every_golden_file_has_its_case():
    assert {path.stem for path in GOLDEN.glob("*.xml")} == set(CASES) | set(OVERRIDES)


@pytest.fixture(scope="module")
def schema():
    if not SCHEMA.exists():
        pytest.skip("libvirt's XML schemas are not installed")
    return lxml.etree.RelaxNG(lxml.etree.parse(SCHEMA))


@pytest.mark.parametrize("case", OVERRIDES)
def test_an_overridden_document_is_the_golden_one_and_valid(case, schema):
    text = overridden(domain_xml(KVM.spec(MACHINE)), OVERRIDES[case])

    assert text == (GOLDEN / f"{case}.xml").read_text()
    schema.assertValid(lxml.etree.fromstring(text))


@pytest.mark.parametrize("case", CASES)
def test_the_document_is_valid_by_libvirts_schema(case, schema):
    schema.assertValid(lxml.etree.fromstring(domain_xml(CASES[case])))


def test_the_schema_would_notice(schema):
    odd = domain_xml(PLAIN).replace("<clock", "<klock")

    assert not schema.validate(lxml.etree.fromstring(odd))


@pytest.mark.parametrize("case", CASES)
async def test_the_test_driver_takes_the_document_and_gives_the_owner_back(case):
    hypervisor = await LibvirtHypervisor.open("test:///default")
    try:
        # This driver takes every type, and gives it back.
        uuid = await hypervisor.define(domain_xml(CASES[case]))
        found = await hypervisor.fact(uuid)
        assert found is not None
        assert (found.name, found.owner, found.type) == ("vm1", OWNER, CASES[case].kind)
        assert owner_of(await hypervisor.xml(uuid)) == OWNER
    finally:
        await hypervisor.close()


HOSTILE = [
    "a'b",
    'a"/><evil x="',
    "</title></domain><domain>",
    "<!-- & -->",
    "]]>",
    "&amp;",
    "grün/日本/🙂",
    "'; DROP",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_markup_in_a_value_stays_a_value(text, schema):
    spec = msgspec.structs.replace(
        PLAIN,
        title=text,
        kernel=f"/srv/{text}",
        owner=msgspec.structs.replace(OWNER, path=text),
        disks=(DiskSpec(path=f"/srv/{text}", target="vda"),),
    )

    document = domain_xml(spec)

    root = ET.fromstring(document)
    assert root.findtext("title") == text
    assert root.findtext("os/kernel") == f"/srv/{text}"
    source, owner = root.find("devices/disk/source"), owner_of(document)
    assert source is not None
    assert source.get("file") == f"/srv/{text}"
    assert owner is not None
    assert owner.path == text
    plain = msgspec.structs.replace(
        spec, title="t", kernel="/k", owner=OWNER, disks=(DiskSpec(path="/d", target="vda"),)
    )
    assert [e.tag for e in root.iter()] == [e.tag for e in ET.fromstring(domain_xml(plain)).iter()]


@pytest.mark.parametrize(
    "bad", ["\0", "\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\ud800", "\ufffe"]
)
@pytest.mark.parametrize("field", ["title", "kernel", "machine", "console_log", "cpu_model"])
def test_a_control_character_is_refused_and_shown(field, bad):
    spec = msgspec.structs.replace(PLAIN, **{field: f"ab{bad}c"})

    with pytest.raises(BadSpecError, match="at position 3 is not allowed") as caught:
        domain_xml(spec)

    assert repr(bad) in str(caught.value)


def test_a_control_character_in_the_owner_or_a_disk_is_refused():
    for spec in (
        msgspec.structs.replace(PLAIN, owner=msgspec.structs.replace(OWNER, path="a\x00b")),
        msgspec.structs.replace(PLAIN, disks=(DiskSpec(path="/a\nb", target="vda"),)),
    ):
        with pytest.raises(BadSpecError, match="position"):
            domain_xml(spec)


BAD = [
    ({"name": "a/b"}, r"name: 'a/b': character '/' at position 2"),
    ({"name": "-a"}, "character '-' at position 1"),
    ({"name": "a<b"}, "character '<' at position 2"),
    ({"name": "a\n"}, r"character '\\n' at position 2"),
    ({"name": ""}, "0 characters"),
    ({"name": "a" * 64}, "64 characters"),
    ({"uuid": "x"}, "uuid: 'x'"),
    ({"memory_bytes": 0}, "memory_bytes"),
    ({"max_memory_bytes": MIB}, "max_memory_bytes: below"),
    ({"vcpus": 0}, "vcpus"),
    ({"vcpus": 2, "max_vcpus": 1}, "max_vcpus: below"),
    ({"initrd": "/i"}, "kernel: initrd, cmdline need it"),
    ({"kind": "xen", "agent": True}, "agent: Xen"),
    ({"kind": "xen", "console_log": "/l"}, "console_log: Xen"),
    ({"kind": "xen", "machine": "pc"}, "machine: 'pc'"),
    ({"kind": "kvm", "tb_cache_mib": 32}, "tb_cache_mib"),
    ({"interfaces": (InterfaceSpec(kind="user", mac="52-54"),)}, "mac: '52-54'"),
    ({"interfaces": (InterfaceSpec(kind="bridge", mac="52:54:00:00:00:01"),)}, "needs a source"),
    (
        {"disks": (DiskSpec(path="/a", target="vda"), DiskSpec(path="/b", target="vda"))},
        "target: vda is that of two disks",
    ),
    (
        {"interfaces": (ON_BRIDGE, ON_BRIDGE)},
        "mac: 52:54:0a:4d:00:65 is that of two interfaces",
    ),
    (
        {"interfaces": (InterfaceSpec(kind="user", source="x", mac="52:54:00:00:00:01"),)},
        "takes no source",
    ),
]


@pytest.mark.parametrize(("changes", "text"), BAD, ids=[text for _, text in BAD])
def test_a_specification_out_of_range_is_refused(changes, text):
    with pytest.raises(BadSpecError, match=text):
        domain_xml(msgspec.structs.replace(PLAIN, **changes))


def test_xen_machines_become_their_guest_types():
    for machine, kind in (("xenpv", "linux"), ("xenpvh", "xenpvh"), ("xenfv", "hvm")):
        spec = msgspec.structs.replace(PLAIN, kind="xen", machine=machine)
        assert ET.fromstring(domain_xml(spec)).findtext("os/type") == kind
