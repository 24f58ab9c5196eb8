"""What a machine's description may not want, seen in its deploy phase, before anything is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from components.domains import uplink
from components.domains.booting import check_kernel
from components.domains.conduct import check_conduct, check_sizes
from components.domains.needs import check_needs
from components.domains.profile import Profile
from components.hypervisor.capabilities import Capability
from components.hypervisor.protocol import Hypervisor
from components.hypervisor.xmltree import BadSpecError
from engine.core.faults import BadDescription, Refused
from sfdl.values import Value, Vector

if TYPE_CHECKING:
    from components.domains.domain import Domain

NOTHING = (None, False, "", "none", "bios", Vector(()))
"""Values of attributes that ask for nothing."""


def check_attributes(domain: Domain) -> None:
    """Refuse attributes that contradict each other, and files that are not there.

    Raises:
        BadDescription: The text names the attributes.
        Refused: A kernel is missing.
    """
    given = [word for word in ("ramdisk", "extra") if domain.live.value(word)]
    if given and not domain.boots_directly:
        word = given[0]
        raise BadDescription(f"{word} needs a kernel", code="SF-DOM-001", where=domain.path)
    if domain.network.given and domain.bridge.given:
        raise BadDescription(
            "give network or bridge, not both", code="SF-DOM-002", where=domain.path
        )
    check_conduct(domain)
    if domain.ip:
        uplink.check_address(
            domain.ip, domain.netmask, "" if domain.gateway_on_link else domain.gateway, domain.path
        )
    if not (domain.storage_backend.given or domain.diskless or domain.disks):
        raise BadDescription(
            "storageBackend must be given", code="SF-DOM-003", where=domain.path,
            hint="or disks that are there, or say diskless true",
        )  # fmt: skip
    check_kernel(domain)
    check_sizes(domain)


async def check_profile(domain: Domain) -> None:
    """Refuse what its kind of machine cannot have together, and what its host has not.

    Raises:
        BadDescription: The text names the attributes, or the disk.
        Refused: A folder, a program, firmware or memory is missing.
    """
    profile = domain.make_profile()
    check_kind(domain, profile, domain.live.value)
    go_without(domain, profile)
    check_together(profile, domain.path)
    domain.making.extras.check_wanted(domain.disks or ())
    await check_needs(domain, profile.needs, domain.live.bound)


def check_kind(domain: Domain, profile: Profile, value_of: Callable[[str], Value]) -> None:
    """Refuse what this kind of machine has not; one of any kind may go without.

    Args:
        domain: Which one it is.
        profile: What kind of machine it is, or is to be.
        value_of: Gives each attribute as it is, or is to be.

    Raises:
        BadDescription: The text names the attributes.
    """
    wanted = _lacking(profile, value_of)
    strict = value_of("capabilityPolicy") == "strict"
    if wanted and (strict or not domain.takes_any_hypervisor):
        raise BadDescription(
            f"{', '.join(wanted)}: guests at {domain.uri} have no such thing", code="SF-DOM-019",
            where=domain.path, hint="leave it out, or use a KvmDomain",
        )  # fmt: skip


def go_without(domain: Domain, profile: Profile) -> None:
    """Say what a machine that is as it is described now goes without."""
    for name in _lacking(profile, domain.live.value):
        domain.degrade(name, f"guests at {domain.uri} have no such thing, and it goes without")


def _lacking(profile: Profile, value_of: Callable[[str], Value]) -> list[str]:
    return [name for name in profile.cannot if value_of(name) not in NOTHING]


def check_together(profile: Profile, where: str) -> None:
    """Refuse what one kind of machine cannot have together.

    Raises:
        BadDescription: The text names the attributes.
    """
    try:
        profile.check()
    except BadSpecError as error:
        raise BadDescription(str(error), code="SF-DOM-005", where=where) from error


def check_capabilities(domain: Domain, hypervisor: Hypervisor) -> None:
    """Take in what its hypervisor cannot do.

    Raises:
        Refused: It is not to be done another way.
    """
    if domain.start_mode == "created" and Capability.START_PAUSED not in hypervisor.caps:
        if domain.capability_policy == "strict":
            raise Refused(
                f"{hypervisor.uri} cannot start a guest with its processors held",
                code="SF-DOM-019", where=domain.path,
                hint='capabilityPolicy "degrade" holds them at once after the start',
            )  # fmt: skip
        domain.degrade("start-paused", "its processors are held at once after the start")
