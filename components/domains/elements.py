"""The elements of a domain's XML: one class each, one line for each thing in it."""

from __future__ import annotations

from typing import Annotated

from components.hypervisor.owner import OwnerRecord
from components.hypervisor.xmltree import At, Element


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
    io: Annotated[str, At("driver/@io")]
    file: Annotated[str, At("source/@file")]
    block: Annotated[str, At("source/@dev")]
    target: Annotated[str, At("target/@dev")]
    bus: Annotated[str, At("target/@bus")]
    readonly: Annotated[bool, At("readonly")]
    shareable: Annotated[bool, At("shareable")] = False
    boot: Annotated[str, At("boot/@order")] = ""
    alias: Annotated[str, At("alias/@name")] = ""
    backend_domain: Annotated[str, At("backenddomain/@name")] = ""
    discard: Annotated[str, At("driver/@discard")] = ""
    total_bytes: Annotated[int | None, At("iotune/total_bytes_sec")] = None
    read_bytes: Annotated[int | None, At("iotune/read_bytes_sec")] = None
    write_bytes: Annotated[int | None, At("iotune/write_bytes_sec")] = None
    total_iops: Annotated[int | None, At("iotune/total_iops_sec")] = None
    read_iops: Annotated[int | None, At("iotune/read_iops_sec")] = None
    write_iops: Annotated[int | None, At("iotune/write_iops_sec")] = None


class InterfaceXml(Element, frozen=True):
    """<interface>."""

    type: Annotated[str, At("@type")]
    mac: Annotated[str, At("mac/@address")]
    network: Annotated[str, At("source/@network")]
    bridge: Annotated[str, At("source/@bridge")]
    model: Annotated[str, At("model/@type")]
    rom: Annotated[str, At("rom/@enabled")]
    script: Annotated[str, At("script/@path")] = ""
    alias: Annotated[str, At("alias/@name")] = ""
    backend_domain: Annotated[str, At("backenddomain/@name")] = ""
    inbound: Annotated[int | None, At("bandwidth/inbound/@average")] = None
    outbound: Annotated[int | None, At("bandwidth/outbound/@average")] = None


class SerialXml(Element, frozen=True):
    """<serial>: the console, for whoever opens it, and appended to a file."""

    path: Annotated[str, At("log/@file")]
    type: Annotated[str, At("@type")] = "pty"
    append: Annotated[str, At("log/@append")] = "on"
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


class FilesystemXml(Element, frozen=True):
    """<filesystem>: a folder of the host."""

    type: Annotated[str, At("@type")]
    accessmode: Annotated[str, At("@accessmode")]
    driver: Annotated[str, At("driver/@type")]
    folder: Annotated[str, At("source/@dir")]
    tag: Annotated[str, At("target/@dir")]
    readonly: Annotated[bool, At("readonly")]


class TpmXml(Element, frozen=True):
    """<tpm>: emulated on the host."""

    model: Annotated[str, At("@model")] = "tpm-crb"
    backend: Annotated[str, At("backend/@type")] = "emulator"
    version: Annotated[str, At("backend/@version")] = "2.0"


class FirmwareFeatureXml(Element, frozen=True):
    """<feature> of firmware: what it must be able to do."""

    enabled: Annotated[str, At("@enabled")]
    name: Annotated[str, At("@name")]


class RngXml(Element, frozen=True):
    """<rng>: random numbers of the host."""

    model: Annotated[str, At("@model")] = "virtio"
    backend: Annotated[str, At("backend/@model")] = "random"
    source: Annotated[str, At("backend")] = "/dev/urandom"


class WatchdogXml(Element, frozen=True):
    """<watchdog>."""

    action: Annotated[str, At("@action")]
    model: Annotated[str, At("@model")] = "i6300esb"


class PanicXml(Element, frozen=True):
    """<panic>."""

    model: Annotated[str, At("@model")] = "isa"


class GraphicsXml(Element, frozen=True):
    """<graphics>: a screen, at a port that is free."""

    type: Annotated[str, At("@type")]
    listen: Annotated[str, At("@listen")]
    port: Annotated[str, At("@port")] = "-1"
    autoport: Annotated[str, At("@autoport")] = "yes"


class DevicesXml(Element, frozen=True):
    """<devices>; each list under its element's name."""

    emulator: Annotated[str, At("emulator")] = ""
    controller: Annotated[tuple[ControllerXml, ...], At(".")] = ()
    disk: Annotated[tuple[DiskXml, ...], At(".")] = ()
    interface: Annotated[tuple[InterfaceXml, ...], At(".")] = ()
    filesystem: Annotated[tuple[FilesystemXml, ...], At(".")] = ()
    serial: Annotated[tuple[SerialXml, ...], At(".")] = ()
    console: Annotated[tuple[ConsoleXml, ...], At(".")] = ()
    channel: Annotated[tuple[ChannelXml, ...], At(".")] = ()
    video: Annotated[tuple[VideoXml, ...], At(".")] = ()
    graphics: Annotated[tuple[GraphicsXml, ...], At(".")] = ()
    watchdog: Annotated[tuple[WatchdogXml, ...], At(".")] = ()
    memballoon: Annotated[tuple[BalloonXml, ...], At(".")] = ()
    tpm: Annotated[tuple[TpmXml, ...], At(".")] = ()
    rng: Annotated[tuple[RngXml, ...], At(".")] = ()
    panic: Annotated[tuple[PanicXml, ...], At(".")] = ()


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
    cpuset: Annotated[str, At("vcpu/@cpuset")]
    cpu_shares: Annotated[int | None, At("cputune/shares")]
    cpu_period: Annotated[int | None, At("cputune/period")]
    cpu_quota: Annotated[int | None, At("cputune/quota")]
    io_threads: Annotated[int | None, At("iothreads")]
    numa_mode: Annotated[str, At("numatune/memory/@mode")]
    numa_nodes: Annotated[str, At("numatune/memory/@nodeset")]
    huge_pages: Annotated[bool, At("memoryBacking/hugepages")]
    no_sharing: Annotated[bool, At("memoryBacking/nosharepages")]
    locked: Annotated[bool, At("memoryBacking/locked")]
    memory_source: Annotated[str, At("memoryBacking/source/@type")]
    memory_access: Annotated[str, At("memoryBacking/access/@mode")]
    allocation: Annotated[str, At("memoryBacking/allocation/@mode")]
    bootloader: Annotated[str, At("bootloader")]
    bootloader_args: Annotated[str, At("bootloader_args")]
    firmware: Annotated[str, At("os/@firmware")]
    feature: Annotated[tuple[FirmwareFeatureXml, ...], At("os/firmware")]
    arch: Annotated[str, At("os/type/@arch")]
    machine: Annotated[str, At("os/type/@machine")]
    os_type: Annotated[str, At("os/type")]
    loader: Annotated[str, At("os/loader")]
    loader_type: Annotated[str, At("os/loader/@type")]
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
