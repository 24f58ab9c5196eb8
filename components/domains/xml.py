"""From a domain's specification to its libvirt XML, and back to its owner. Pure.

`DomainSpec` says what is wanted, `domain_xml` writes it. In between stands one class for each XML
element (`DomainXml`, `DiskXml`, ...): every attribute is one line that names its place in the
document. Adding a thing means adding such a line, and setting it in the matching `_..._xml`.
"""

from __future__ import annotations

import re
import uuid as uuids
import xml.etree.ElementTree as ET
from functools import cache
from typing import Annotated, Literal, get_type_hints

import msgspec

from components.hypervisor.owner import OwnerRecord, owner_element, owner_of

__all__ = [
    "BadSpecError", "DiskSpec", "DomainSpec", "InterfaceSpec", "OwnerRecord", "domain_xml",
    "owner_of",
]  # fmt: skip

Kind = Literal["kvm", "qemu", "xen", "test"]


class BadSpecError(ValueError):
    """A specification that no domain can be made of; the text names the field and the trouble."""


# -- what is wanted -------------------------------------------------------------------------------


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
        readonly: Refuse writes of the guest.
    """

    path: str
    target: str
    kind: Literal["file", "block"] = "file"
    format: str = "raw"
    bus: str = "virtio"
    driver: str = ""
    cache: str = ""
    readonly: bool = False


class InterfaceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One network interface.

    Attributes:
        kind: On a libvirt network, on a bridge of the host, or through user-mode networking.
        source: Name of the network or bridge; empty for "user".
        mac: Six octets with colons.
        model: "virtio", "e1000", ...; empty: the hypervisor's default.
    """

    kind: Literal["network", "bridge", "user"]
    mac: str
    source: str = ""
    model: str = ""


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
    on_poweroff: Literal["destroy", "preserve"] = "destroy"
    on_reboot: Literal["restart", "destroy"] = "restart"
    on_crash: Literal["destroy", "preserve", "restart"] = "destroy"
    cpu_model: str = ""
    tb_cache_mib: int | None = None
    balloon_stats_s: int | None = None


# -- the elements ---------------------------------------------------------------------------------


class At(msgspec.Struct, frozen=True):
    """Place of a value below its element.

    "a/b" is the text of <a><b/></a>, "a/@b" an attribute. True is an empty element; a none, False
    or "" is left out. Elements are put below the path, "." being the element itself.
    """

    path: str


class Element(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the element classes."""


class FeaturesXml(Element, frozen=True):
    """<features>."""

    acpi: Annotated[bool, At("acpi")] = True
    apic: Annotated[bool, At("apic")] = True
    tb_cache: Annotated[int | None, At("tcg/tb-cache")] = None
    tb_cache_unit: Annotated[str, At("tcg/tb-cache/@unit")] = ""


class CpuXml(Element, frozen=True):
    """<cpu>."""

    mode: Annotated[str, At("@mode")]
    match: Annotated[str, At("@match")] = ""
    check: Annotated[str, At("@check")] = ""
    model: Annotated[str, At("model")] = ""
    fallback: Annotated[str, At("model/@fallback")] = ""


class DiskXml(Element, frozen=True):
    """<disk>."""

    type: Annotated[str, At("@type")]
    device: Annotated[str, At("@device")]
    driver: Annotated[str, At("driver/@name")]
    format: Annotated[str, At("driver/@type")]
    cache: Annotated[str, At("driver/@cache")]
    file: Annotated[str, At("source/@file")]
    block: Annotated[str, At("source/@dev")]
    target: Annotated[str, At("target/@dev")]
    bus: Annotated[str, At("target/@bus")]
    readonly: Annotated[bool, At("readonly")]


class InterfaceXml(Element, frozen=True):
    """<interface>."""

    type: Annotated[str, At("@type")]
    mac: Annotated[str, At("mac/@address")]
    network: Annotated[str, At("source/@network")]
    bridge: Annotated[str, At("source/@bridge")]
    model: Annotated[str, At("model/@type")]
    rom: Annotated[str, At("rom/@enabled")]


class SerialXml(Element, frozen=True):
    """<serial>: the console, appended to a file."""

    path: Annotated[str, At("source/@path")]
    type: Annotated[str, At("@type")] = "file"
    append: Annotated[str, At("source/@append")] = "on"
    port: Annotated[str, At("target/@port")] = "0"


class ConsoleXml(Element, frozen=True):
    """<console>: Xen's own."""

    type: Annotated[str, At("@type")] = "pty"
    target: Annotated[str, At("target/@type")] = "xen"
    port: Annotated[str, At("target/@port")] = "0"


class ChannelXml(Element, frozen=True):
    """<channel>: to the guest agent."""

    type: Annotated[str, At("@type")] = "unix"
    target: Annotated[str, At("target/@type")] = "virtio"
    name: Annotated[str, At("target/@name")] = "org.qemu.guest_agent.0"


class ControllerXml(Element, frozen=True):
    """<controller>: no USB, as nothing uses it and its emulation costs time."""

    type: Annotated[str, At("@type")] = "usb"
    model: Annotated[str, At("@model")] = "none"


class VideoXml(Element, frozen=True):
    """<video>: none."""

    model: Annotated[str, At("model/@type")] = "none"


class BalloonXml(Element, frozen=True):
    """<memballoon>."""

    model: Annotated[str, At("@model")] = "virtio"
    period: Annotated[int | None, At("stats/@period")] = None


class DevicesXml(Element, frozen=True):
    """<devices>; each list under its element's name."""

    controller: Annotated[tuple[ControllerXml, ...], At(".")] = ()
    disk: Annotated[tuple[DiskXml, ...], At(".")] = ()
    interface: Annotated[tuple[InterfaceXml, ...], At(".")] = ()
    serial: Annotated[tuple[SerialXml, ...], At(".")] = ()
    console: Annotated[tuple[ConsoleXml, ...], At(".")] = ()
    channel: Annotated[tuple[ChannelXml, ...], At(".")] = ()
    video: Annotated[tuple[VideoXml, ...], At(".")] = ()
    memballoon: Annotated[tuple[BalloonXml, ...], At(".")] = ()


class DomainXml(Element, frozen=True):
    """<domain>."""

    type: Annotated[str, At("@type")]
    name: Annotated[str, At("name")]
    uuid: Annotated[str, At("uuid")]
    title: Annotated[str, At("title")]
    owner: Annotated[OwnerRecord | None, At("metadata")]
    memory_unit: Annotated[str, At("memory/@unit")]
    memory: Annotated[int, At("memory")]
    current_memory_unit: Annotated[str, At("currentMemory/@unit")]
    current_memory: Annotated[int, At("currentMemory")]
    vcpu: Annotated[int, At("vcpu")]
    vcpu_current: Annotated[int, At("vcpu/@current")]
    bootloader: Annotated[str, At("bootloader")]
    bootloader_args: Annotated[str, At("bootloader_args")]
    arch: Annotated[str, At("os/type/@arch")]
    machine: Annotated[str, At("os/type/@machine")]
    os_type: Annotated[str, At("os/type")]
    kernel: Annotated[str, At("os/kernel")]
    initrd: Annotated[str, At("os/initrd")]
    cmdline: Annotated[str, At("os/cmdline")]
    boot: Annotated[str, At("os/boot/@dev")]
    features: Annotated[FeaturesXml | None, At(".")]
    cpu: Annotated[CpuXml | None, At(".")]
    clock: Annotated[str, At("clock/@offset")]
    on_poweroff: Annotated[str, At("on_poweroff")]
    on_reboot: Annotated[str, At("on_reboot")]
    on_crash: Annotated[str, At("on_crash")]
    devices: Annotated[DevicesXml, At(".")]


# -- the writer -----------------------------------------------------------------------------------

# Line breaks and tabs are legal in XML, but no value here needs them, and they hide things in logs.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def _text(value: str | int, where: str) -> str:
    text = str(value)
    if found := _FORBIDDEN.search(text):
        raise BadSpecError(
            f"{where}: character {found[0]!r} at position {found.start() + 1} is not allowed"
        )
    return text


@cache
def _places(kind: type[Element]) -> tuple[tuple[str, At], ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple((name, hints[name].__metadata__[0]) for name in kind.__struct_fields__)


def _build(tag: str, element: Element) -> ET.Element:
    root = ET.Element(tag)
    for name, at in _places(type(element)):
        _put(root, at.path, name, getattr(element, name))
    return root


def _put(root: ET.Element, path: str, name: str, value: object) -> None:
    if value is None or value is False or value in {"", ()}:
        return
    path, _, attribute = path.partition("@")
    for tag in path.strip("/").split("/"):
        if tag not in {"", "."}:
            found = root.find(tag)
            root = ET.SubElement(root, tag) if found is None else found
    match value:
        case True:
            pass  # the element's being there is all
        case str() | int() if attribute:
            root.set(attribute, _text(value, name))
        case str() | int():
            root.text = _text(value, name)
        case _:
            root.extend(_elements(name, value))


def _elements(name: str, value: object) -> list[ET.Element]:
    match value:
        case tuple():
            return [_build(name, one) for one in value]
        case Element():
            return [_build(name, value)]
        case OwnerRecord():
            for field in ("community", "application", "path"):
                _text(getattr(value, field), f"owner {field}")
            return [owner_element(value)]
        case _:
            raise TypeError(f"{name}: cannot be written as XML: {value!r}")


# -- from specification to elements ---------------------------------------------------------------


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
    _check(spec)
    root = _build("domain", _domain(spec))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


def _check(spec: DomainSpec) -> None:
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


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) and len(name) <= 63:
        return
    good = _NAME.match(name)
    end = good.end() if good else 0
    trouble = f"character {name[end]!r} at position {end + 1} is not allowed" if name[end:] else ""
    if not trouble:
        trouble = f"{len(name)} characters, where 1 to 63 are allowed"
    raise BadSpecError(f"name: {name!r}: {trouble}")


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
        bootloader=spec.bootloader,
        bootloader_args=spec.bootloader_args,
        arch=spec.arch,
        machine=spec.machine,
        os_type=_os_type(spec),
        kernel=spec.kernel,
        initrd=spec.initrd,
        cmdline=spec.cmdline,
        boot="hd" if spec.disks and not spec.kernel and _os_type(spec) == "hvm" else "",
        features=_features(spec),
        cpu=_cpu(spec.cpu_model),
        clock="utc",
        on_poweroff=spec.on_poweroff,
        on_reboot=spec.on_reboot,
        on_crash=spec.on_crash,
        devices=_devices(spec),
    )


def _os_type(spec: DomainSpec) -> str:
    """Give libvirt's guest type, which for Xen follows from the machine."""
    if spec.kind != "xen":
        return "hvm"
    types = {"xenpv": "linux", "": "linux", "xenpvh": "xenpvh", "xenfv": "hvm"}
    if spec.machine not in types:
        raise BadSpecError(f"machine: {spec.machine!r} is not one of xenpv, xenpvh, xenfv")
    return types[spec.machine]


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
    return DevicesXml(
        controller=() if xen else (ControllerXml(),),
        disk=tuple(_disk(disk, spec.kind) for disk in spec.disks),
        interface=tuple(_interface(one, spec.kind) for one in spec.interfaces),
        serial=(SerialXml(path=spec.console_log),) if spec.console_log else (),
        console=(ConsoleXml(),) if xen else (),
        channel=(ChannelXml(),) if spec.agent else (),
        video=() if xen else (VideoXml(),),
        memballoon=() if xen else (BalloonXml(period=spec.balloon_stats_s),),
    )


def _disk(disk: DiskSpec, kind: Kind) -> DiskXml:
    return DiskXml(
        type=disk.kind,
        device="disk",
        driver=disk.driver or ("phy" if kind == "xen" else "qemu"),
        format=disk.format,
        cache=disk.cache,
        file=disk.path if disk.kind == "file" else "",
        block=disk.path if disk.kind == "block" else "",
        target=disk.target,
        bus=disk.bus,
        readonly=disk.readonly,
    )


def _interface(interface: InterfaceSpec, kind: Kind) -> InterfaceXml:
    return InterfaceXml(
        type=interface.kind,
        mac=interface.mac.lower(),
        network=interface.source if interface.kind == "network" else "",
        bridge=interface.source if interface.kind == "bridge" else "",
        model=interface.model,
        # Without network boot the firmware does not wait for it.
        rom="no" if kind in {"kvm", "qemu"} else "",
    )
