"""What becomes of a running machine when its description changes, attribute by attribute; pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import cast

from msgspec import Struct


class Way(Enum):
    """How a change takes effect."""

    NOW = "at once"
    LIVE = "live"
    POWER = "next power cycle"
    REPLACE = "replacement"


POLICIES = frozenset({
    "domainLivenessCheck", "domainLivenessDelay", "domainLivenessFactor", "domainLivenessMethods",
    "consoleQuiet", "connectionGrace", "agentTimeout", "startMode", "readyMarker", "readyChecks",
    "bootTimeout", "onGuestShutdown", "onGuestReboot", "onGuestCrash", "restartLimit", "restartWindow",
    "stopMode", "onDaemonStop", "stopTimeout", "updateMode", "allowReplace", "driftPolicy",
    "driftPeriod", "priority", "minMemory", "capabilityPolicy", "labels",
})  # fmt: skip
"""What only we go by."""
LIVE = frozenset({
    "memory", "vcpus", "cpuShares", "cpuQuota", "cpuPin", "bandwidthIn", "bandwidthOut", "autostart",
})  # fmt: skip
"""What its hypervisor changes while it runs."""
GROWN = frozenset({"volumeSize", "dataVolumes"})
"""What its storage does while it runs; a hypervisor that can tells the guest at once."""
PLUGGED = frozenset({"disks", "interfaces"})
"""What is plugged into it and out of it while it runs, where its hypervisor can."""
REMADE = frozenset({"arch"})
"""What its volumes are for, so that another one needs others."""
NAMED = frozenset({"domainName"})
"""What is changed while its guest is off."""
TOLD = frozenset({"context", "hostname", "netmask", "gateway", "gatewayOnLink"})
"""What its guest is told as it starts."""
IDENTITY = frozenset({
    "hypervisorUri", "ip", "ipPool", "mac", "network", "bridge", "storageBackend", "shell",
    "diskless", "persistent", "guestMode", "macMode", "macPrefix", "uuid", "consoleLog",
})  # fmt: skip
"""What it is known by, or stands on, from its making on: another one is another machine."""


class Bounds(Struct, frozen=True):
    """How far the running instance may grow.

    Attributes:
        memory_bytes: It was started with this much at most.
        vcpus: It was started with so many at most.
        running: There is an instance.
        plugs: Its hypervisor can plug devices in and out while it runs.
        grows: Its hypervisor can tell the guest that a disk has grown.
    """

    memory_bytes: int
    vcpus: int
    running: bool = True
    plugs: bool = True
    grows: bool = True


def way_of(
    name: str, new: object, bounds: Bounds, old: object = None, *, storage: frozenset[str]
) -> Way:
    """Return how one attribute's change takes effect.

    Args:
        name: The attribute.
        new: Its value to be.
        bounds: How far the instance may grow.
        old: Its value now.
        storage: Attributes that say what its volumes are made from.

    Example:
        >>> way_of("memory", 2**30, Bounds(2**31, 4), storage=frozenset())
        <Way.LIVE: 'live'>
        >>> way_of("memory", 2**32, Bounds(2**31, 4), storage=frozenset())
        <Way.POWER: 'next power cycle'>
    """
    if name in POLICIES:
        return Way.NOW
    if name in IDENTITY | REMADE or name in storage:
        return Way.REPLACE
    if name in NAMED and not bounds.running:
        return Way.NOW
    if name not in LIVE | PLUGGED | GROWN:
        return Way.POWER
    if not bounds.running:
        return Way.NOW
    if (name in PLUGGED and not bounds.plugs) or (name in GROWN and not bounds.grows):
        return Way.POWER
    if (name == "memory" and cast("int", new) > bounds.memory_bytes) or (
        name == "vcpus" and cast("int", new) > bounds.vcpus
    ):
        return Way.POWER
    # What was limited cannot be told to be "as usual" again but by starting it.
    if name in {"cpuShares", "cpuQuota"} and new is None and old is not None:
        return Way.POWER
    return Way.LIVE


class Outcome(Struct, frozen=True):
    """What an update means for one machine.

    Attributes:
        ways: How each changed attribute takes effect.
    """

    ways: Mapping[str, Way]

    def of(self, *ways: Way) -> tuple[str, ...]:
        """Return the attributes that take effect in these ways, in order."""
        return tuple(name for name, way in self.ways.items() if way in ways)

    @property
    def redefines(self) -> bool:
        """Say whether its definition changes."""
        return any(
            way in {Way.LIVE, Way.POWER} or name in LIVE | PLUGGED
            for name, way in self.ways.items()
        )


def outcome_of(
    old: Mapping[str, object], new: Mapping[str, object], bounds: Bounds, *, storage: frozenset[str]
) -> Outcome:
    """Return what becomes of each attribute that differs.

    Args:
        old: Attributes now, bound.
        new: The same to be.
        bounds: How far the instance may grow.
        storage: Attributes that say what its volumes are made from.
    """
    changed = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    return Outcome(
        {
            name: way_of(name, new.get(name), bounds, old.get(name), storage=storage)
            for name in changed
        }
    )


def when_power(*, running: bool, now: bool) -> str:
    """Say when what is told, or defined, for the next start takes effect, for a plan.

    Args:
        running: There is an instance.
        now: A power cycle is to be made for it.
    """
    if not running:
        return Way.NOW.value
    return "now, by a power cycle" if now else Way.POWER.value


def shown(outcome: Outcome, mode: str, *, tells_now: bool = False) -> dict[str, str]:
    """Say of each changed attribute how it takes effect, for a plan.

    Args:
        outcome: What becomes of them.
        mode: `updateMode`.
        tells_now: What the guest is told is to reach it at once.
    """
    return {
        name: when_power(running=True, now=mode == "reboot" or (tells_now and name in TOLD))
        if way is Way.POWER
        else way.value
        for name, way in outcome.ways.items()
    }
