"""What may be asked of a hypervisor's storage: its pools, and the volumes in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class PoolFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One storage pool as it was at the moment of asking.

    Attributes:
        uuid: Lower case, with dashes.
        name: Unique on its hypervisor.
        active: Whether volumes can be made in it now.
        autostart: Whether the hypervisor starts it with the host.
        type: "dir", "fs", "netfs", "logical", ...
        target: Where its volumes are on the hypervisor's host; may be empty.
        capacity_bytes: Size of the whole, when it was last refreshed.
        available_bytes: What is free of it.
    """

    uuid: str
    name: str
    active: bool
    autostart: bool
    type: str
    target: str
    capacity_bytes: int
    available_bytes: int


class VolumeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One volume as it was at the moment of asking.

    Attributes:
        name: Unique in its pool.
        path: File or device on the hypervisor's host.
        kind: "file", "block", "dir", "network".
        format: "raw", "qcow2", ...; "raw" where it has none.
        capacity_bytes: What a machine sees.
        allocation_bytes: What it takes.
        backing: Path of what it is a layer of; empty for none.
    """

    name: str
    path: str
    kind: str
    format: str
    capacity_bytes: int
    allocation_bytes: int
    backing: str = ""


class Storage(Protocol):
    """The storage pools of one hypervisor; errors and threads as for `Hypervisor`.

    All that changes a pool, or a volume in it, is done one after the other, in the order asked.
    """

    async def pools(self) -> Sequence[PoolFacts]:
        """List all pools, active or not, ours or not."""

    async def pool(self, uuid: str) -> PoolFacts | None:
        """Look at one pool; none when there is no such pool."""

    async def pool_by_name(self, name: str) -> PoolFacts | None:
        """Look a pool up by name; none when there is no such pool."""

    async def define(self, xml: str) -> str:
        """Make a pool known, and give its UUID; one of that UUID is defined anew.

        Raises:
            HypervisorError: `NameTaken` when another pool has that name.
        """

    async def start(self, uuid: str, *, build: bool, autostart: bool) -> None:
        """Start a defined pool and look what is in it; an active one is looked at anew.

        Args:
            uuid: The pool.
            build: Make what it stands on first: its folder or mount point; a volume group or a
                partition table only where there is none.
            autostart: Whether the hypervisor starts it with the host from now on.
        """

    async def refresh(self, uuid: str) -> None:
        """Look what is in a pool."""

    async def stop(self, uuid: str) -> None:
        """Stop a pool; its volumes stay. One not active, or not there, is success."""

    async def remove_target(self, uuid: str) -> bool:
        """Remove the empty folder of a pool that is not active; say whether that was possible."""

    async def undefine(self, uuid: str) -> None:
        """Forget a pool that is not active. One not there is success."""

    async def volume(self, uuid: str, name: str) -> VolumeFacts | None:
        """Look at a volume; none when there is no such volume, or no such pool."""

    async def volume_at(self, path: str) -> VolumeFacts | None:
        """Look up the volume that a path belongs to, in any pool."""

    async def create(self, uuid: str, xml: str, *, like: str = "") -> VolumeFacts:
        """Make a volume; `like` is the path of one whose content it gets.

        Raises:
            HypervisorError: `NameTaken`; `NotFound`, `Refused`.
        """

    async def upload(self, uuid: str, name: str, file: str) -> None:
        """Write a file of ours into a volume, from its beginning; holes stay holes."""

    async def resize(self, uuid: str, name: str, capacity_bytes: int) -> None:
        """Make a volume larger; one of that size or larger is success."""

    async def wipe(self, uuid: str, name: str) -> None:
        """Overwrite a volume with zeros."""

    async def remove(self, uuid: str, name: str) -> None:
        """Remove a volume. One not there is success."""

    async def user(self) -> tuple[int, int] | None:
        """Return the numbers of user and group that guests run as; none where it does not say."""
