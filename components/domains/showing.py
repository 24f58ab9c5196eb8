"""What a domain shows of its guest in its own attributes, as its hypervisor tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.hypervisor.errors import HypervisorError
from components.hypervisor.trusted_xml import parsed
from components.reporting import moment
from sfdl.values import Vector

if TYPE_CHECKING:
    from components.domains.domain import Domain


def screen_port(xml: str) -> int | None:
    """Return the port at which a running machine's screen is shown.

    Example:
        >>> screen_port("<domain><devices><graphics type='vnc' port='5901'/></devices></domain>")
        5901
        >>> screen_port("<domain><devices><graphics type='vnc' port='-1'/></devices></domain>")
    """
    screen = parsed(xml).find("devices/graphics")
    port = int(screen.get("port") or "-1") if screen is not None else -1
    return port if port > 0 else None


async def show(domain: Domain, *, began: bool = False) -> None:
    """Publish where the guest is, its number, its addresses and its screen; what is unknown stays.

    Args:
        domain: Whose guest.
        began: It has been started just now.
    """
    domain.host = domain.live.process.node_name
    if domain.making.xml:
        domain.xml = domain.making.xml
    if began:
        domain.bootTime = moment()
    try:
        hypervisor = await domain.hypervisor()
        facts = await hypervisor.fact(domain.uuid)
        if facts is None:
            return
        domain.stateReason = facts.reason
        domain.live.write("id", facts.id)
        if not facts.active:
            return
        found = tuple(await hypervisor.addresses(domain.uuid))
        if domain.graphics != "none":
            domain.live.write("vncPort", screen_port(await hypervisor.xml(domain.uuid)))
    except HypervisorError as error:
        domain.log.debug("its hypervisor cannot be asked now: %s", error)
        return
    domain.addresses = Vector(found)
    if found and not domain.ip:
        domain.address = found[0]
