"""What a storage backend hands to the domain it serves: disks."""

from __future__ import annotations

from msgspec import Struct

from components.storage.limits import IoLimits

CONTEXT = "context"
"""Role of the disk that tells a guest what it is."""
FROZEN = "frozen"
"""Role of what no machine has as a disk: the content of a volume as it once was."""


class DiskOffer(Struct, frozen=True):
    """A disk a domain may use.

    Attributes:
        role: `root`, `swap`, `data`, or `context` (read only).
        path: File or device on the host.
        kind: `file` or `block`.
        format: `raw` or `qcow2`.
        limits: Most the guest gets of it in a second; nothing: no limits.
        discard: What the guest gives up is given back to the host.
    """

    role: str
    path: str
    kind: str
    format: str
    limits: IoLimits | None = None
    discard: bool = False
