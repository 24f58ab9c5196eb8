"""User networks: each machine's emulator makes one up for it, so that nobody needs to be root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.hypervisor.choice import scheme_of
from engine.core.faults import BadDescription, Refused

if TYPE_CHECKING:
    from components.networks.network import Network

WITHOUT = (
    "networkName", "bridge", "subnet", "range", "dhcpHosts", "domain", "mtu", "vlan", "autostart",
)  # fmt: skip
"""Attributes of a network of the hypervisor that a user network has not."""


def check_attributes(network: Network) -> None:
    """Refuse what only a network of the hypervisor has, and ports without a user network.

    Raises:
        BadDescription: The text names the attribute.
    """
    if not network.user_network:
        if network.forwards:
            raise BadDescription(
                "forwards are for a user network", code="SF-NET-006", where=network.path,
                hint="say userNetwork true; machines on any other network are reached by their address",
            )  # fmt: skip
        return
    given = [name for name in WITHOUT if network.live.bound.get(name) not in {None, "", False}]
    if network.forward != "nat":
        given.append("forward")
    if given:
        raise BadDescription(
            f"a user network has no {', '.join(given)}: the emulator of each machine on it makes it up",
            code="SF-NET-006", where=network.path, hint="leave that out, or userNetwork",
        )  # fmt: skip


def check_hypervisor(network: Network, uri: str) -> None:
    """Refuse a hypervisor that has no user networks.

    Raises:
        Refused: The text names it.
    """
    if scheme_of(uri) not in {"qemu", "test"}:
        raise Refused(
            f"there are no user networks at {uri}, only with QEMU", code="SF-NET-012",
            where=network.path, hint="leave userNetwork out",
        )  # fmt: skip
