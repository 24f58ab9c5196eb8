"""`KvmDomain`: a QEMU guest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

from typing_extensions import override

from components.domains.domain import Domain
from components.domains.profile import Profile
from components.kvm.profile import KvmProfile
from engine.runtime.attributes import attr
from engine.runtime.kinds import bool_, str_


class KvmDomain(Domain, type="kvm.domain"):
    """A virtual machine run by QEMU, accelerated by KVM or emulated."""

    schemes: ClassVar[frozenset[str]] = frozenset({"qemu", "test"})

    accelerator = attr(
        str_, "tcg", choices=("kvm", "tcg"),
        doc="kvm, or tcg for emulation. Never libvirt's word: it offers kvm where no guest runs.",
    )  # fmt: skip
    cpu_model = attr(str_, "", doc="CPU the guest sees.", called="cpuModel")
    machine = attr(str_, "", doc="Machine type; the hypervisor's default if empty.")
    disk_bus = attr(str_, "virtio", choices=("virtio", "sata", "scsi"), doc="Bus of disks.",
                    called="diskBus")  # fmt: skip
    disk_cache = attr(
        str_, "", doc="Host cache mode of disks; the hypervisor's default if empty.",
        called="diskCache",
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
        )
