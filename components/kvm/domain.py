"""`KvmDomain`: a QEMU guest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, cast

from typing_extensions import override

from components.domains.backing import Backing, backing_kind
from components.domains.domain import Domain
from components.domains.profile import Profile
from components.domains.shares import SharedFolder, shares_kind
from components.kvm.profile import KvmProfile
from engine.runtime.attributes import attr
from engine.runtime.kinds import bool_, duration_s, int_, str_


class KvmDomain(Domain, type="kvm.domain"):
    """A virtual machine run by QEMU, accelerated by KVM or emulated."""

    schemes: ClassVar[frozenset[str]] = frozenset({"qemu", "test"})

    accelerator = attr(
        str_, "tcg", choices=("kvm", "tcg", "auto"),
        doc="kvm; tcg for emulation; or auto: kvm if a probe guest has come up under it once on this "
        "host within 30 s. Never libvirt's word alone: it offers kvm where no guest runs.",
    )  # fmt: skip
    cpu_model = attr(str_, "", doc="CPU the guest sees.", called="cpuModel")
    machine = attr(str_, "", doc="Machine type; the hypervisor's default if empty.")
    disk_bus = attr(str_, "virtio", choices=("virtio", "sata", "scsi"), doc="Bus of disks.",
                    called="diskBus")  # fmt: skip
    disk_cache = attr(
        str_, "", doc="Host cache mode of disks; the hypervisor's default if empty.",
        called="diskCache",
    )  # fmt: skip
    disk_io = attr(
        str_, "", choices=("", "native", "threads", "io_uring"), called="diskIo",
        doc="How QEMU reads and writes disks; its default if empty.",
    )  # fmt: skip
    io_threads = attr(
        int_, 0, ge=0, le=64, called="ioThreads", doc="Threads of their own for disks."
    )
    firmware = attr(
        str_, "bios", choices=("bios", "efi"), doc="What boots it, where no kernel is given."
    )
    huge_pages = attr(
        bool_, False, called="hugePages",
        doc="Back its memory with huge pages of the host, which must have enough of them free.",
    )  # fmt: skip
    memory_backing = attr(
        backing_kind, (), called="memoryBacking",
        doc="What else holds of its memory on the host, a list of shared (programs beside QEMU see it), "
        "locked (never swapped out), nosharepages (not merged with that of others) and immediate (taken "
        "at the start). With shares by virtiofs it is shared anyway.",
    )  # fmt: skip
    balloon_stats_period = attr(
        duration_s, 5, ge=1, le=3600, called="balloonStatsPeriod",
        doc="Seconds between the guest's reports of its memory.",
    )  # fmt: skip
    rng = attr(bool_, True, doc="Give it random numbers of the host.")
    watchdog = attr(
        str_, "", choices=("", "none", "reset", "poweroff", "pause"),
        doc="What its watchdog does when it bites, before onGuestCrash; no watchdog if empty.",
    )  # fmt: skip
    panic_device = attr(
        bool_, True, called="panicDevice", doc="Let it tell that its system has panicked."
    )
    shares = attr(
        shares_kind, (),
        doc="Folders of the host it can mount, a list of [folder, tag, readOnly]: by virtiofs where the "
        "host serves that, which needs root and cannot be read only, else by 9p.",
    )  # fmt: skip
    tpm = attr(bool_, False, doc="Give it a TPM 2.0, emulated by swtpm on the host.")
    secure_boot = attr(
        bool_, False, called="secureBoot",
        doc='Boot only what is signed; needs firmware "efi" and a machine of kind q35, which it gets.',
    )  # fmt: skip
    context_bus = attr(
        str_, "virtio", choices=("virtio", "sata"),
        doc="How a context disk is seen: a read-only disk, or a CD-ROM, which not every kernel for "
        "virtual machines has a driver for.",
        called="contextBus",
    )  # fmt: skip
    nic_model = attr(str_, "virtio", doc="Model of network interfaces.", called="nicModel")
    agent_channel = attr(
        bool_, True, doc="Give the guest a channel for its agent.", called="agentChannel"
    )

    @override
    @classmethod
    def profile_of(cls, values: Mapping[str, object]) -> Profile:
        def word(name: str) -> str:
            return cast("str", values[name])

        return KvmProfile(
            accelerator=word("accelerator"),
            cpu_model=word("cpuModel"),
            machine=word("machine"),
            disk_bus=word("diskBus"),
            disk_cache=word("diskCache"),
            nic_model=word("nicModel"),
            context_bus=word("contextBus"),
            agent_channel=values["agentChannel"] is True,
            firmware=cast('Literal["bios", "efi"]', values["firmware"]),
            disk_io=word("diskIo"),
            io_threads=cast("int", values["ioThreads"]),
            huge_pages=values["hugePages"] is True,
            backing=cast("tuple[Backing, ...]", values["memoryBacking"]),
            balloon_s=round(cast("float", values["balloonStatsPeriod"])),
            rng=values["rng"] is True,
            watchdog=cast('Literal["", "none", "reset", "poweroff", "pause"]', values["watchdog"]),
            panic=values["panicDevice"] is True,
            shares=cast("tuple[SharedFolder, ...]", values["shares"]),
            tpm=values["tpm"] is True,
            secure_boot=values["secureBoot"] is True,
        )
