"""What a domain shall be: the specification that its XML is written from. Pure."""

from __future__ import annotations

import re
import uuid as uuids
from typing import Literal

import msgspec

from components.domains.backing import Backing
from components.hypervisor.owner import OwnerRecord
from components.hypervisor.xmltree import BadSpecError
from components.storage.limits import IoLimits

Kind = Literal["kvm", "qemu", "xen", "test"]


class DiskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One disk.

    Attributes:
        path: File or block device on the hypervisor's host.
        target: Name in the guest, such as "vda", "xvda1".
        kind: Whether `path` is a file or a block device.
        format: "raw" or "qcow2"; never guessed by looking inside.
        bus: "virtio", "xen", "sata", ...
        driver: Who serves it: "qemu", "phy", ...; empty: what is usual for the domain's kind.
        cache: Host cache mode, such as "none"; empty: the hypervisor's default.
        io: "native", "threads" or "io_uring"; empty: the hypervisor's default.
        backend_domain: Xen domain that serves it; empty: dom0.
        readonly: Refuse writes of the guest.
        shareable: Other guests may have it as well.
        boot: The guest boots from it, whatever else it has.
        alias: Its name at the hypervisor while it is plugged in; empty: the hypervisor's choice.
        device: What the guest takes it for.
        limits: Most the guest gets of it in a second; nothing: no limits.
        discard: What the guest gives up is given back to the host.
    """

    path: str
    target: str
    kind: Literal["file", "block"] = "file"
    format: str = "raw"
    bus: str = "virtio"
    driver: str = ""
    cache: str = ""
    io: str = ""
    backend_domain: str = ""
    readonly: bool = False
    shareable: bool = False
    boot: bool = False
    alias: str = ""
    device: Literal["disk", "cdrom"] = "disk"
    limits: IoLimits | None = None
    discard: bool = False


class InterfaceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One network interface.

    Attributes:
        kind: On a libvirt network, on a bridge of the host, or through user-mode networking.
        source: Name of the network or bridge; empty for "user".
        mac: Six octets with colons.
        model: "virtio", "e1000", ...; empty: the hypervisor's default.
        script: Program that plugs it into a bridge, for "xen" only; empty: the usual one.
        backend_domain: Xen domain that serves it; empty: dom0.
        alias: Its name at the hypervisor while it is plugged in; empty: the hypervisor's choice.
        into_kbps: Most Kbit/s into the guest; 0: no limit.
        out_kbps: Most Kbit/s out of it; 0: no limit.
    """

    kind: Literal["network", "bridge", "user"]
    mac: str
    source: str = ""
    model: str = ""
    script: str = ""
    backend_domain: str = ""
    alias: str = ""
    into_kbps: int = 0
    out_kbps: int = 0


class FolderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of the host that the guest can mount.

    Attributes:
        path: On the hypervisor's host.
        tag: Name the guest mounts it by.
        driver: Who serves it.
        readonly: Refuse writes of the guest; not with virtiofs.
    """

    path: str
    tag: str
    driver: Literal["virtiofs", "9p"] = "9p"
    readonly: bool = False


class DomainSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A domain as it shall be defined.

    Attributes:
        kind: Hypervisor type; "qemu" is emulation without acceleration.
        name: 1 to 63 of letters, digits and `._+-`, beginning with a letter or digit.
        uuid: With dashes.
        memory_bytes: Memory at boot, in bytes, > 0.
        title: For people; the component's path.
        owner: Whose it is; none writes no record.
        max_memory_bytes: Ceiling of ballooning; none: `memory_bytes`.
        vcpus: At boot, >= 1.
        max_vcpus: Ceiling of adding while it runs; none: `vcpus`.
        cpu_shares: Its weight beside others for processor time; none: the hypervisor's default.
        cpu_percent: Most processor time it gets, where 100 is one CPU; none: no limit.
        cpu_pin: Processors of the host it may run on; empty: all.
        numa_node: Node of the host its memory is on; none: any.
        huge_pages: Back its memory with huge pages of the host.
        backing: What else holds of its memory on the host, for "kvm" and "qemu" only.
        firmware: "bios" or "efi"; empty: what the hypervisor takes.
        loader: Firmware file, for "xen" only.
        emulator: Program that emulates its devices; empty: the hypervisor's.
        io_threads: Threads of their own for disks; 0: none.
        rng: Give it random numbers of the host.
        watchdog: What its watchdog does when it bites; empty: it has none.
        panic: Let it tell that its system has panicked.
        graphics: "vnc" or "spice"; empty: no screen.
        graphics_listen: Address the screen is shown at.
        arch: Architecture of the guest's CPU.
        machine: Machine type, such as "pc-q35-7.2", "xenpv"; empty: the hypervisor's default.
        kernel: Kernel on the host for direct boot; empty: boot from the first disk.
        initrd: Initial RAM disk on the host; needs `kernel`.
        cmdline: Kernel command line; needs `kernel`.
        bootloader: Program on the host that finds the kernel, for "xen" only.
        bootloader_args: Its arguments.
        disks: In the order the guest sees them.
        interfaces: In the order the guest sees them.
        console_log: File on the host that the serial console is appended to; not for Xen.
        agent: Give the guest a guest-agent channel; not for Xen.
        folders: Of the host, that it can mount.
        tpm: Give it a TPM 2.0, emulated on the host.
        secure_boot: Boot only what is signed; needs firmware "efi".
        on_poweroff: What the end of the guest does to the domain.
        on_reboot: What a reboot of the guest does to it.
        on_crash: What a crash of the guest does to it.
        cpu_model: A model's name, or "host-model", "host-passthrough", "maximum"; empty: default.
        tb_cache_mib: MiB for translated code, for "qemu" only; none: QEMU's default, 1 GiB at most.
        balloon_stats_s: Seconds between the guest's memory reports; none: no reports.
    """

    kind: Kind
    name: str
    uuid: str
    memory_bytes: int
    title: str = ""
    owner: OwnerRecord | None = None
    max_memory_bytes: int | None = None
    vcpus: int = 1
    max_vcpus: int | None = None
    cpu_shares: int | None = None
    cpu_percent: int | None = None
    cpu_pin: tuple[int, ...] = ()
    numa_node: int | None = None
    huge_pages: bool = False
    backing: tuple[Backing, ...] = ()
    firmware: Literal["", "bios", "efi"] = ""
    loader: str = ""
    emulator: str = ""
    io_threads: int = 0
    rng: bool = False
    watchdog: Literal["", "none", "reset", "poweroff", "pause"] = ""
    panic: bool = False
    graphics: Literal["", "vnc", "spice"] = ""
    graphics_listen: str = "127.0.0.1"
    arch: str = "x86_64"
    machine: str = ""
    kernel: str = ""
    initrd: str = ""
    cmdline: str = ""
    bootloader: str = ""
    bootloader_args: str = ""
    disks: tuple[DiskSpec, ...] = ()
    interfaces: tuple[InterfaceSpec, ...] = ()
    console_log: str = ""
    agent: bool = False
    folders: tuple[FolderSpec, ...] = ()
    tpm: bool = False
    secure_boot: bool = False
    on_poweroff: Literal["destroy", "preserve"] = "destroy"
    on_reboot: Literal["restart", "destroy"] = "restart"
    on_crash: Literal["destroy", "preserve", "restart"] = "destroy"
    cpu_model: str = ""
    tb_cache_mib: int | None = None
    balloon_stats_s: int | None = None


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


def check(spec: DomainSpec) -> None:
    """Refuse a specification that is out of range or contradicts itself.

    Raises:
        BadSpecError: The text names the field.
    """
    _check_name(spec.name)
    try:
        uuids.UUID(spec.uuid)
    except ValueError:
        raise BadSpecError(f"uuid: {spec.uuid!r} is not a UUID") from None
    most = spec.max_memory_bytes or spec.memory_bytes
    for wrong, text in (
        (spec.memory_bytes <= 0, "memory_bytes: must be > 0"),
        (most < spec.memory_bytes, "max_memory_bytes: below memory_bytes"),
        (spec.vcpus < 1, "vcpus: must be >= 1"),
        ((spec.max_vcpus or spec.vcpus) < spec.vcpus, "max_vcpus: below vcpus"),
        (bool(spec.initrd or spec.cmdline) and not spec.kernel, "kernel: initrd, cmdline need it"),
        (spec.kind == "xen" and bool(spec.console_log), "console_log: Xen keeps its own"),
        (spec.kind == "xen" and spec.agent, "agent: Xen has no such channel"),
        (bool(spec.bootloader) and spec.kind != "xen", "bootloader: for xen only"),
        (bool(spec.bootloader) and bool(spec.kernel), "bootloader: excludes kernel"),
        (spec.secure_boot and spec.firmware != "efi", "secure_boot: needs firmware efi"),
        (spec.kind == "xen" and bool(spec.backing), "backing: Xen holds all memory its own way"),
        (spec.kind == "xen" and bool(spec.folders), "folders: Xen shares none"),
        (
            any(folder.readonly and folder.driver == "virtiofs" for folder in spec.folders),
            "folders: virtiofs knows no reading only",
        ),
        (spec.kind != "qemu" and spec.tb_cache_mib is not None, "tb_cache_mib: for qemu only"),
    ):
        if wrong:
            raise BadSpecError(text)
    for interface in spec.interfaces:
        if not _MAC.fullmatch(interface.mac):
            raise BadSpecError(f"mac: {interface.mac!r} is not six octets with colons")
        if bool(interface.source) == (interface.kind == "user"):
            needs = "takes no" if interface.source else "needs a"
            raise BadSpecError(f"source: an interface of kind {interface.kind} {needs} source")
        if interface.kind == "user" and spec.kind == "xen":
            raise BadSpecError("kind: Xen makes no user network up")
    _check_once("target", "disks", [disk.target for disk in spec.disks])
    _check_once("mac", "interfaces", [one.mac.lower() for one in spec.interfaces])


def _check_once(field: str, things: str, values: list[str]) -> None:
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise BadSpecError(f"{field}: {twice} is that of two {things}")


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) and len(name) <= 63:
        return
    good = _NAME.match(name)
    end = good.end() if good else 0
    trouble = f"character {name[end]!r} at position {end + 1} is not allowed" if name[end:] else ""
    if not trouble:
        trouble = f"{len(name)} characters, where 1 to 63 are allowed"
    raise BadSpecError(f"name: {name!r}: {trouble}")
