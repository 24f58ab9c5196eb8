"""What a machine needs of its host beside the hypervisor, and whether the host has it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, cast

from msgspec import Struct

from components.domains.backing import check_lock, check_pages
from components.domains.firmware import check_firmware, described
from components.domains.shares import SharedFolder, check_shares
from components.hypervisor.choice import scheme_of, sees_our_files
from engine.core.faults import Refused
from engine.runtime.commands import search_path

if TYPE_CHECKING:
    from components.domains.domain import Domain


def host_arch() -> str:
    """Return the architecture of this host in libvirt's words."""
    found = platform.machine()
    return "i686" if found in {"i386", "i486", "i586"} else found


class Needs(Struct, frozen=True):
    """What one kind of machine needs.

    Attributes:
        programs: That must be installed.
        shares: Folders of the host that the guest can mount.
        firmware: Boot by UEFI, also so that only what is signed is booted.
        machine: Type of machine that the firmware is for; empty: any.
        huge_pages: Huge pages for all of its memory.
        locked: Memory that is never swapped out.
    """

    programs: tuple[str, ...] = ()
    shares: tuple[SharedFolder, ...] = ()
    firmware: Literal["", "efi", "secure"] = ""
    machine: str = ""
    huge_pages: bool = False
    locked: bool = False


async def check_needs(domain: Domain, needs: Needs, values: Mapping[str, object]) -> None:
    """Refuse what its host has not.

    Args:
        domain: The machine; where its hypervisor is not on this host, nothing is looked at.
        needs: What it needs.
        values: Its attributes: those it has, or those it is to have.

    Raises:
        BadDescription: Two attributes contradict each other.
        Refused: The host has not got something; the text says what.
    """
    check_shares(domain, needs.shares, domain.uri)
    if not sees_our_files(domain.uri) or scheme_of(domain.uri) == "test":
        return
    for program in needs.programs:
        if shutil.which(program, path=search_path()) is None:
            raise Refused(
                f"there is no program {program} on this host", code="SF-DOM-023",
                where=domain.path, hint=f"install it: apt install {program}",
            )  # fmt: skip
    if needs.firmware:
        arch, secure = str(values["arch"] or host_arch()), needs.firmware == "secure"
        there = await domain.run_blocking(described)
        check_firmware(there, arch, needs.machine, secure=secure, where=domain.path)
    if needs.locked:
        check_lock(domain.uri, root=os.geteuid() == 0, where=domain.path)
    if needs.huge_pages:
        memory = cast("int", values["maxMemory"] or values["memory"])
        node = cast("int | None", values["numaNode"])
        await domain.run_blocking(check_pages, memory, node, domain.path)
