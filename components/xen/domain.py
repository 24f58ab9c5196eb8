"""`XenDomain`: a Xen guest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

from typing_extensions import override

from components.domains.domain import Domain
from components.domains.profile import Profile
from components.xen.profile import XenProfile
from engine.core.faults import BadDescription
from engine.runtime.attributes import attr
from engine.runtime.kinds import str_

XEN_MACS = "00:16:3e"
"""First octets of the MAC addresses of Xen's guests."""


class XenDomain(Domain, type="xen.domain"):
    """A virtual machine under Xen: paravirtual, pvh, or with full emulation."""

    schemes: ClassVar[frozenset[str]] = frozenset({"xen", "test"})

    guest_mode = attr(
        str_, None, choices=("pv", "pvh", "hvm"),
        doc="pv if a kernel or bootloader is given, else pvh.", called="guestMode",
    )  # fmt: skip
    bootloader = attr(str_, "", doc="Finds the kernel in the guest's disk, such as pygrub.")
    bootloader_args = attr(str_, "", doc="Its arguments.", called="bootloaderArgs")
    root = attr(str_, "/dev/xvda1 ro", doc="Root device and flags for the kernel.")
    root_target = attr(str_, "xvda1", doc="Root disk in the guest.", called="rootTarget")
    swap_target = attr(str_, "xvda2", doc="Swap disk in the guest.", called="swapTarget")
    vif_script = attr(
        str_, "", called="vifScript",
        doc="Program on the host that plugs its interface into its bridge; vif-bridge if empty.",
    )  # fmt: skip
    hvm_loader = attr(
        str_, "", called="hvmLoader", doc="Firmware file of an hvm guest; Xen's own if empty."
    )
    device_model = attr(
        str_, "", called="deviceModel",
        doc="Program that emulates the devices of an hvm guest; Xen's own if empty.",
    )  # fmt: skip
    driver_domain = attr(
        str_, "", called="driverDomain",
        doc="Xen domain that serves its disks and network; dom0 if empty.",
    )  # fmt: skip
    console = attr(str_, "hvc0", doc="Console of the kernel.", called="xenConsole")

    @override
    @classmethod
    def profile_of(cls, values: Mapping[str, object]) -> Profile:
        direct = "kernel" not in values or values["kernel"] or values["bootloader"]

        def word(name: str) -> str:
            return cast("str", values[name])

        return XenProfile(
            mode=cast("str", values["guestMode"] or ("pv" if direct else "pvh")),
            root=word("root"),
            root_target=word("rootTarget"),
            swap_target=word("swapTarget"),
            console=word("xenConsole"),
            bootloader=word("bootloader"),
            bootloader_args=word("bootloaderArgs"),
            loader=word("hvmLoader"),
            emulator=word("deviceModel"),
            driver_domain=word("driverDomain"),
            vif_script=word("vifScript"),
        )

    @property
    @override
    def mac_begins(self) -> str:
        return self.mac_prefix or (XEN_MACS if self.mac_mode == "uuid" else "")

    @override
    async def on_deploy(self) -> None:
        if self.boots_directly and self.bootloader:
            raise BadDescription(
                "give kernel or bootloader, not both", code="SF-DOM-001", where=self.path
            )
        await super().on_deploy()
