"""How a Xen guest is specified; pure."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from components.domains.further import ALIAS, Existing, free_target, placed
from components.domains.needs import Needs
from components.domains.profile import Machine
from components.domains.xml import BadSpecError, DiskSpec, DomainSpec, InterfaceSpec
from components.storage.offers import CONTEXT, DiskOffer

CONSOLES = "/var/log/xen/console"
"""Where xenconsoled keeps its logs; libvirt's Xen driver cannot be told another file."""

NOT_HERE = ("firmware", "hugePages", "memoryBacking", "secureBoot", "shares", "tpm", "watchdog")
"""Attributes of QEMU's guests that somebody may rely on; those of Xen have none of it."""
MACHINES = {"pv": "xenpv", "pvh": "xenpvh", "hvm": "xenfv"}


class XenProfile(Struct, frozen=True):
    """What a description says of a Xen guest beyond what every machine has.

    Attributes:
        mode: `pv`, `pvh` or `hvm`.
        root: Root device for the kernel's command line, with its flags.
        root_target: Name of the root disk in the guest; a bare filesystem is a partition.
        swap_target: Name of the swap disk in the guest.
        console: Console the kernel writes to, unless the description names one.
        loader: Firmware file of an hvm guest; empty: Xen's.
        emulator: Program that emulates the devices of an hvm guest; empty: Xen's.
        driver_domain: Domain that serves its disks and network; empty: dom0.
        vif_script: Program that plugs its interface into a bridge; empty: the usual one.
        bootloader: Program on the host that finds the kernel in the guest's disk.
    """

    mode: str
    root: str
    root_target: str
    swap_target: str
    console: str
    bootloader: str = ""
    bootloader_args: str = ""
    loader: str = ""
    emulator: str = ""
    driver_domain: str = ""
    vif_script: str = ""

    @property
    def targets(self) -> tuple[str, ...]:
        """Return how names of disks begin: Xen has one kind."""
        return ("xvd",)

    @property
    def agent_channel(self) -> bool:
        """Say no: Xen has no such channel."""
        return False

    @property
    def cannot(self) -> tuple[str, ...]:
        """Return what libvirt's Xen driver gives no guest."""
        return NOT_HERE

    @property
    def needs(self) -> Needs:
        """Return nothing beyond Xen itself; libvirt's driver for it shares no folders."""
        return Needs()

    @property
    def probes(self) -> bool:
        """Say no: there is nothing to choose."""
        return False

    def check(self) -> None:
        """Refuse nothing: what cannot be had together is refused before."""

    @property
    def emulated(self) -> bool:
        """Say no: Xen runs guests on the host's own processors."""
        return False

    def spec(self, machine: Machine) -> DomainSpec:
        """Return what is to be defined."""
        return DomainSpec(
            kind="xen",
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
            machine=MACHINES[self.mode],
            kernel=machine.kernel,
            initrd=machine.ramdisk,
            bootloader=self.bootloader,
            bootloader_args=self.bootloader_args,
            cmdline=self._command_line(machine),
            disks=self._disks(machine),
            interfaces=tuple(self._interface(each) for each in machine.interfaces),
            loader=self.loader if self.mode == "hvm" else "",
            emulator=self.emulator if self.mode == "hvm" else "",
        )

    def _command_line(self, machine: Machine) -> str:
        if not machine.kernel:
            return ""
        words = [f"root={self.root}"] if self.root else []
        if self.console and "console=" not in machine.extra:
            words.append(f"console={self.console}")
        return " ".join([*words, *([machine.extra] if machine.extra else [])])

    def _interface(self, interface: InterfaceSpec) -> InterfaceSpec:
        script = self.vif_script if interface.kind == "bridge" else ""
        return replace(interface, script=script, backend_domain=self.driver_domain)

    def _disks(self, machine: Machine) -> tuple[DiskSpec, ...]:
        """Put together all disks; what tells the guest has a name that no other has."""
        volumes = [self.disk(offer, index) for index, offer in enumerate(machine.disks)]
        names = [disk.target for disk in volumes]
        if machine.disks and machine.disks[-1].role == CONTEXT and names[-1] in names[:-1]:
            volumes[-1] = replace(volumes[-1], target=free_target("xvd", names))
        taken = [disk.target for disk in volumes]
        further = placed(machine.further, "xvd", taken)
        first = [
            self._further(disk) for disk in further if disk.boot
        ]  # a bootloader takes the first
        last = [self._further(disk) for disk in further if not disk.boot]
        return (*first, *volumes, *last)

    def _further(self, disk: Existing) -> DiskSpec:
        if not disk.target.startswith("xvd"):
            raise BadSpecError(f"target: {disk.target} is no name of Xen's, such as xvdb")
        if disk.boot and self.mode == "hvm" and disk.target != "xvda":
            raise BadSpecError(f"boot: an hvm guest of Xen boots from xvda, not from {disk.target}")
        raw = disk.kind == "block" or disk.format == "raw"
        return DiskSpec(
            path=disk.path,
            target=disk.target,
            kind=disk.kind,
            format=disk.format,
            bus="xen",
            driver="phy" if raw else "qemu",
            backend_domain=self.driver_domain,
            readonly=disk.read_only,
            shareable=disk.shareable,
            alias=f"{ALIAS}{disk.target}",
        )

    def disk(self, offer: DiskOffer, index: int) -> DiskSpec:
        """Return how a disk is seen by the guest: by its role, else in order."""
        if offer.role == CONTEXT:
            emulated = self.mode == "hvm"
            return DiskSpec(
                path=offer.path, target="xvdc", bus="xen", driver="qemu", readonly=True,
                device="cdrom" if emulated else "disk",
            )  # fmt: skip
        if offer.limits is not None:
            raise BadSpecError("ioLimits: Xen has none for disks; leave them out")
        named = {"root": self.root_target, "swap": self.swap_target}
        # A raw file becomes a loop device, by Xen's own script; all else needs a QEMU in dom0.
        raw = offer.kind == "block" or offer.format == "raw"
        return DiskSpec(
            path=offer.path,
            target=named.get(offer.role, f"xvd{chr(ord('a') + index)}"),
            kind="block" if offer.kind == "block" else "file",
            format=offer.format,
            bus="xen",
            driver="phy" if raw else "qemu",
            backend_domain=self.driver_domain,
        )

    def console_log(self, name: str) -> str:
        """Return where xenconsoled logs it, if it logs the consoles of guests."""
        return f"{CONSOLES}/guest-{name}.log"
