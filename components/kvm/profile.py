"""How a QEMU guest is specified; pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from components.domains.backing import Backing
from components.domains.further import ALIAS, Existing, placed
from components.domains.needs import Needs
from components.domains.profile import Machine
from components.domains.shares import SharedFolder
from components.domains.xml import BadSpecError, DiskSpec, DomainSpec, FolderSpec
from components.storage.offers import CONTEXT, DiskOffer

CACHE_MIB = 32
"""Translation cache of an emulated guest: most of its memory at the host."""


class KvmProfile(Struct, frozen=True):
    """What a description says of a QEMU guest beyond what every machine has."""

    accelerator: str
    cpu_model: str
    machine: str
    disk_bus: str
    disk_cache: str
    nic_model: str
    agent_channel: bool
    context_bus: str = "virtio"
    console: str = "ttyS0"
    firmware: Literal["bios", "efi"] = "bios"
    disk_io: str = ""
    io_threads: int = 0
    huge_pages: bool = False
    backing: tuple[Backing, ...] = ()
    balloon_s: int = 5
    rng: bool = False
    watchdog: Literal["", "none", "reset", "poweroff", "pause"] = ""
    panic: bool = False

    shares: tuple[SharedFolder, ...] = ()
    tpm: bool = False
    secure_boot: bool = False

    @property
    def cannot(self) -> tuple[str, ...]:
        """Return none: what only Xen's guests have says how they are made, and promises nothing."""
        return ()

    @property
    def needs(self) -> Needs:
        """Return what it needs of its host beside QEMU."""
        efi: Literal["efi", "secure"] = "secure" if self.secure_boot else "efi"
        return Needs(
            programs=("swtpm",) if self.tpm else (),
            shares=self.shares,
            firmware=efi if self.firmware == "efi" else "",
            machine=self.machine or ("q35" if self.secure_boot else ""),
            huge_pages=self.huge_pages,
            locked="locked" in self.backing,
        )

    @property
    def probes(self) -> bool:
        """Say whether its accelerator is to be found out."""
        return self.accelerator == "auto"

    def check(self) -> None:
        """Refuse what QEMU cannot do together.

        Raises:
            BadSpecError: The text names the attributes.
        """
        for wrong, text in (
            (self.secure_boot and self.firmware != "efi", 'secureBoot needs firmware "efi"'),
            (
                self.secure_boot and bool(self.machine) and "q35" not in self.machine,
                f'secureBoot needs a machine of kind q35, not "{self.machine}"',
            ),
        ):
            if wrong:
                raise BadSpecError(text)

    @property
    def targets(self) -> tuple[str, ...]:
        """Return how names of disks begin: those on virtio, and the others."""
        return ("vd", "sd")

    @property
    def emulated(self) -> bool:
        """Say whether QEMU emulates its processors, or may have to."""
        return self.accelerator != "kvm"

    def spec(self, machine: Machine) -> DomainSpec:
        """Return what is to be defined."""
        emulated = self.emulated and not (self.probes and machine.accelerated)
        return DomainSpec(
            kind="qemu" if emulated else "kvm",
            name=machine.name,
            uuid=machine.uuid,
            title=machine.title,
            owner=machine.owner,
            memory_bytes=machine.memory_bytes,
            max_memory_bytes=machine.max_memory_bytes,
            vcpus=machine.vcpus,
            max_vcpus=machine.max_vcpus,
            cpu_shares=machine.cpu_shares,
            cpu_percent=machine.cpu_percent,
            cpu_pin=machine.cpu_pin,
            numa_node=machine.numa_node,
            graphics=machine.graphics,
            graphics_listen=machine.graphics_listen,
            arch=machine.arch,
            on_crash="preserve" if machine.keeps_crashed else "destroy",
            machine=self.machine or ("q35" if self.secure_boot else ""),
            kernel=machine.kernel,
            initrd=machine.ramdisk,
            cmdline=self._command_line(machine),
            disks=self._disks(machine),
            interfaces=tuple(
                replace(nic, model=nic.model or self.nic_model) for nic in machine.interfaces
            ),
            console_log=machine.console_log,
            agent=self.agent_channel,
            cpu_model=self.cpu_model or ("qemu64" if emulated else "host-model"),
            tb_cache_mib=CACHE_MIB if emulated else None,
            balloon_stats_s=self.balloon_s,
            firmware=self.firmware,
            io_threads=self.io_threads,
            huge_pages=self.huge_pages,
            backing=self.backing,
            rng=self.rng,
            watchdog=self.watchdog,
            panic=self.panic,
            folders=tuple(
                FolderSpec(
                    path=one.path,
                    tag=one.tag,
                    readonly=one.read_only,
                    driver=one.driver(virtiofs=machine.virtiofs),
                )
                for one in self.shares
            ),
            tpm=self.tpm,
            secure_boot=self.secure_boot,
        )

    def _command_line(self, machine: Machine) -> str:
        if not machine.kernel:
            return ""
        words = [] if "console=" in machine.extra else [f"console={self.console}"]
        return " ".join([*words, *([machine.extra] if machine.extra else [])])

    def _disks(self, machine: Machine) -> tuple[DiskSpec, ...]:
        volumes = tuple(self.disk(offer, index) for index, offer in enumerate(machine.disks))
        prefix = "vd" if self.disk_bus == "virtio" else "sd"
        further = placed(machine.further, prefix, [disk.target for disk in volumes])
        return (*volumes, *(self._further(disk) for disk in further))

    def _further(self, disk: Existing) -> DiskSpec:
        bus = "scsi" if self.disk_bus == "scsi" else "sata"
        if disk.target.startswith("xvd"):
            raise BadSpecError(f"target: {disk.target} is a name of Xen's; here they are vdb, sdb")
        return DiskSpec(
            path=disk.path,
            target=disk.target,
            kind=disk.kind,
            format=disk.format,
            bus="virtio" if disk.target.startswith("vd") else bus,
            cache=self.disk_cache,
            io=self.disk_io,
            readonly=disk.read_only,
            shareable=disk.shareable,
            boot=disk.boot,
            alias=f"{ALIAS}{disk.target}",
        )

    def disk(self, offer: DiskOffer, index: int) -> DiskSpec:
        """Return how the `index`-th disk is seen by the guest."""
        told = offer.role == CONTEXT
        if told and self.context_bus == "sata":
            return DiskSpec(
                path=offer.path, target="sdz", bus="sata", readonly=True, device="cdrom"
            )  # fmt: skip
        bus = "virtio" if told else self.disk_bus
        prefix = "vd" if bus == "virtio" else "sd"
        return DiskSpec(
            path=offer.path,
            target=f"{prefix}{chr(ord('a') + index)}",
            kind="block" if offer.kind == "block" else "file",
            format=offer.format,
            bus=bus,
            cache="" if told else self.disk_cache,
            io="" if told else self.disk_io,
            readonly=told,
            limits=offer.limits,
            discard=offer.discard,
        )

    def console_log(self, name: str) -> str:
        """Return nothing: QEMU logs to a file of ours."""
        del name
        return ""
