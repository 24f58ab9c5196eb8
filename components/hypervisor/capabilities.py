"""What a hypervisor can do: a table by driver, lowered when a call proves otherwise."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


class Capability(enum.Enum):
    """A thing that not every hypervisor can do; what all can do has no name here."""

    START_PAUSED = "start-paused"
    SHUTDOWN_AGENT = "shutdown-agent"
    SHUTDOWN_ACPI = "shutdown-acpi"
    DESTROY_GRACEFUL = "destroy-graceful"
    DEFINE_VALIDATE = "define-validate"
    UNDEFINE_NVRAM = "undefine-nvram"
    UNDEFINE_CHECKPOINTS = "undefine-checkpoints"
    UNDEFINE_SNAPSHOTS = "undefine-snapshots"
    UNDEFINE_SAVED = "undefine-saved"
    AGENT = "agent"
    VOLUME_CONTENT = "volume-content"
    PLUG = "plug"
    GROW = "grow"
    RENAME = "rename"


_KNOWN_ABSENT: Mapping[str, frozenset[Capability]] = {
    # Pressing the power button of a pv or pvh guest succeeds and does nothing.
    "Xen": frozenset(
        {
            Capability.AGENT,
            Capability.SHUTDOWN_AGENT,
            Capability.SHUTDOWN_ACPI,
            Capability.DESTROY_GRACEFUL,
            Capability.UNDEFINE_NVRAM,
            Capability.UNDEFINE_CHECKPOINTS,
            Capability.UNDEFINE_SNAPSHOTS,
            Capability.GROW,
            Capability.RENAME,
        }
    ),
    "TEST": frozenset(
        {
            Capability.START_PAUSED,
            Capability.AGENT,
            Capability.VOLUME_CONTENT,
            Capability.PLUG,
            Capability.GROW,
        }
    ),
}
"""Only what is known for certain; all else is tried once per connection and then remembered."""


class Capabilities:
    """The capabilities of one connection.

    Thread-safe: each change is one assignment into a dict. Once absent, a capability stays so for
    the life of the connection object, reconnects included.

    Example:
        >>> caps = Capabilities("TEST")
        >>> Capability.START_PAUSED in caps, Capability.SHUTDOWN_ACPI in caps
        (False, True)
        >>> caps.lower(Capability.SHUTDOWN_ACPI, "code 8")
        >>> Capability.SHUTDOWN_ACPI in caps
        False
    """

    def __init__(self, driver: str) -> None:
        self._absent: dict[Capability, str] = dict.fromkeys(
            _KNOWN_ABSENT.get(driver, frozenset()), f"not in the {driver} driver"
        )

    def __contains__(self, capability: Capability) -> bool:
        return capability not in self._absent

    @property
    def present(self) -> frozenset[Capability]:
        """All capabilities not known to be absent."""
        return frozenset(Capability) - self._absent.keys()

    @property
    def absent(self) -> Mapping[Capability, str]:
        """What is absent, and how that was found out."""
        return MappingProxyType(dict(self._absent))

    def lower(self, capability: Capability, why: str) -> None:
        """Remember that a capability is absent; the first reason is kept."""
        self._absent.setdefault(capability, why)
