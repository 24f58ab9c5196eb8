"""From a domain's specification to its libvirt XML, and back to its owner. Pure.

`spec` says what is wanted, `elements` has one class for each XML element. Adding a thing means adding
a line there, and setting it in the matching function here.
"""

from __future__ import annotations

import msgspec

from components.domains.elements import (
    BalloonXml,
    ChannelXml,
    ConsoleXml,
    ControllerXml,
    CpuXml,
    DevicesXml,
    DiskXml,
    DomainXml,
    FeaturesXml,
    FilesystemXml,
    FirmwareFeatureXml,
    GraphicsXml,
    InterfaceXml,
    PanicXml,
    RngXml,
    SerialXml,
    TpmXml,
    VideoXml,
    WatchdogXml,
)
from components.domains.spec import (
    DiskSpec,
    DomainSpec,
    FolderSpec,
    InterfaceSpec,
    Kind,
    check,
)
from components.hypervisor.machines import kib_per_s
from components.hypervisor.owner import OwnerRecord, owner_of
from components.hypervisor.xmltree import BadSpecError, write

SECURE = (
    FirmwareFeatureXml(enabled="yes", name="secure-boot"),
    FirmwareFeatureXml(enabled="yes", name="enrolled-keys"),
)
PLAIN = (FirmwareFeatureXml(enabled="no", name="secure-boot"),)
"""Said aloud: libvirt gives a q35 machine firmware that boots only what is signed, if it has one."""
PERIOD_US = 100_000
"""Microseconds over which a limit of processor time is held."""

__all__ = [
    "BadSpecError", "DiskSpec", "DomainSpec", "FolderSpec", "InterfaceSpec", "OwnerRecord", "domain_xml",
    "owner_of",
]  # fmt: skip


def domain_xml(spec: DomainSpec) -> str:
    """Write a domain's XML.

    The same specification always gives the same text.

    Args:
        spec: What is wanted.

    Returns:
        An indented document, without XML declaration, valid by libvirt's schema.

    Raises:
        BadSpecError: A field is out of range, contradicts another, or holds a control character.

    Example:
        >>> spec = DomainSpec(kind="test", name="a", memory_bytes=2**26,
        ...                   uuid="6ba7b810-9dad-41d1-80b4-00c04fd430c8")
        >>> domain_xml(spec).splitlines()[1]
        '  <name>a</name>'
    """
    check(spec)
    return write("domain", _domain(spec))


def _domain(spec: DomainSpec) -> DomainXml:
    return DomainXml(
        type=spec.kind,
        name=spec.name,
        uuid=spec.uuid,
        title=spec.title,
        owner=spec.owner,
        memory_unit="b",
        memory=spec.max_memory_bytes or spec.memory_bytes,
        current_memory_unit="b",
        current_memory=spec.memory_bytes,
        vcpu=spec.max_vcpus or spec.vcpus,
        vcpu_current=spec.vcpus,
        cpuset=",".join(map(str, spec.cpu_pin)),
        cpu_shares=spec.cpu_shares,
        cpu_period=PERIOD_US if spec.cpu_percent else None,
        cpu_quota=spec.cpu_percent * PERIOD_US // 100 if spec.cpu_percent else None,
        io_threads=spec.io_threads or None,
        numa_mode="strict" if spec.numa_node is not None else "",
        numa_nodes="" if spec.numa_node is None else str(spec.numa_node),
        huge_pages=spec.huge_pages,
        no_sharing="nosharepages" in spec.backing,
        locked="locked" in spec.backing,
        memory_source="memfd" if _shares_memory(spec) else "",
        memory_access="shared" if _shares_memory(spec) else "",
        allocation="immediate" if "immediate" in spec.backing else "",
        bootloader=spec.bootloader,
        bootloader_args=spec.bootloader_args,
        firmware="efi" if spec.firmware == "efi" else "",
        feature=_firmware_features(spec),
        arch=spec.arch,
        machine=spec.machine,
        os_type=_os_type(spec),
        loader=spec.loader,
        loader_type="rom" if spec.loader else "",
        kernel=spec.kernel,
        initrd=spec.initrd,
        cmdline=spec.cmdline,
        boot=_boot(spec),
        features=_features(spec),
        cpu=_cpu(spec.cpu_model),
        clock="utc",
        on_poweroff=spec.on_poweroff,
        on_reboot=spec.on_reboot,
        on_crash=spec.on_crash,
        devices=_devices(spec),
    )


def _shares_memory(spec: DomainSpec) -> bool:
    """Say whether somebody outside of the guest must see its memory, as who serves virtiofs does."""
    served = any(folder.driver == "virtiofs" for folder in spec.folders)
    return served or "shared" in spec.backing


def _firmware_features(spec: DomainSpec) -> tuple[FirmwareFeatureXml, ...]:
    if spec.firmware != "efi":
        return ()
    return SECURE if spec.secure_boot else PLAIN


def _os_type(spec: DomainSpec) -> str:
    """Give libvirt's guest type, which for Xen follows from the machine."""
    if spec.kind != "xen":
        return "hvm"
    types = {"xenpv": "linux", "": "linux", "xenpvh": "xenpvh", "xenfv": "hvm"}
    if spec.machine not in types:
        raise BadSpecError(f"machine: {spec.machine!r} is not one of xenpv, xenpvh, xenfv")
    return types[spec.machine]


def _boot(spec: DomainSpec) -> str:
    """Say what it boots from, unless one of its disks says so."""
    by_disk = spec.kernel or not spec.disks or any(disk.boot for disk in spec.disks)
    return "" if by_disk or _os_type(spec) != "hvm" else "hd"


def _features(spec: DomainSpec) -> FeaturesXml | None:
    if _os_type(spec) != "hvm":
        return None
    unit = "MiB" if spec.tb_cache_mib else ""
    return FeaturesXml(tb_cache=spec.tb_cache_mib, tb_cache_unit=unit)


def _cpu(model: str) -> CpuXml | None:
    if not model:
        return None
    if model in {"host-model", "host-passthrough", "maximum"}:
        return CpuXml(mode=model)
    return CpuXml(mode="custom", match="exact", check="none", model=model, fallback="forbid")


def _devices(spec: DomainSpec) -> DevicesXml:
    xen = spec.kind == "xen"
    screens = (GraphicsXml(type=spec.graphics, listen=spec.graphics_listen),)
    return DevicesXml(
        emulator=spec.emulator,
        controller=() if xen else (ControllerXml(),),
        disk=tuple(_disk(disk, spec.kind) for disk in spec.disks),
        interface=tuple(_interface(one, spec.kind) for one in spec.interfaces),
        filesystem=tuple(_folder(folder) for folder in spec.folders),
        serial=(SerialXml(path=spec.console_log),) if spec.console_log else (),
        console=(ConsoleXml(),) if xen else (),
        channel=(ChannelXml(),) if spec.agent else (),
        video=() if xen else (VideoXml(model="vga" if spec.graphics else "none"),),
        graphics=screens if spec.graphics else (),
        watchdog=(WatchdogXml(action=spec.watchdog),) if spec.watchdog else (),
        tpm=(TpmXml(),) if spec.tpm else (),
        rng=(RngXml(),) if spec.rng else (),
        panic=(PanicXml(),) if spec.panic else (),
        memballoon=() if xen else (BalloonXml(period=spec.balloon_stats_s),),
    )


def _disk(disk: DiskSpec, kind: Kind) -> DiskXml:
    limits = {} if disk.limits is None else msgspec.structs.asdict(disk.limits)
    return DiskXml(
        type=disk.kind,
        device=disk.device,
        driver=disk.driver or ("phy" if kind == "xen" else "qemu"),
        format=disk.format,
        cache=disk.cache,
        io=disk.io,
        backend_domain=disk.backend_domain,
        file=disk.path if disk.kind == "file" else "",
        block=disk.path if disk.kind == "block" else "",
        target=disk.target,
        bus=disk.bus,
        readonly=disk.readonly,
        shareable=disk.shareable,
        boot="1" if disk.boot else "",
        alias=disk.alias,
        discard="unmap" if disk.discard else "",
        **limits,
    )


def _folder(folder: FolderSpec) -> FilesystemXml:
    virtiofs = folder.driver == "virtiofs"
    return FilesystemXml(
        type="mount",
        accessmode="passthrough" if virtiofs else "mapped",
        driver="virtiofs" if virtiofs else "",
        folder=folder.path,
        tag=folder.tag,
        readonly=folder.readonly,
    )


def _interface(interface: InterfaceSpec, kind: Kind) -> InterfaceXml:
    return InterfaceXml(
        type=interface.kind,
        mac=interface.mac.lower(),
        network=interface.source if interface.kind == "network" else "",
        bridge=interface.source if interface.kind == "bridge" else "",
        model=interface.model,
        script=interface.script,
        alias=interface.alias,
        backend_domain=interface.backend_domain,
        # Without network boot the firmware does not wait for it.
        rom="no" if kind in {"kvm", "qemu"} else "",
        inbound=kib_per_s(interface.into_kbps) or None,
        outbound=kib_per_s(interface.out_kbps) or None,
    )
