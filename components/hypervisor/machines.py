"""The contract of what is done to one machine beyond making and ending it: set aside, altered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from components.hypervisor.owner import OwnerRecord


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the host's processors a machine gets; what is not given stays as it is.

    Attributes:
        weight: Beside others, in the hypervisor's own measure.
        percent: At most, where 100 is one whole processor; 0: no limit.
    """

    weight: int | None = None
    percent: int | None = None


SUFFIXES = {"image/png": ".png", "image/x-portable-pixmap": ".ppm"}


class Picture(msgspec.Struct, frozen=True):
    """A picture of a screen.

    Attributes:
        type: Media type, as the hypervisor says it.
        data: The picture.
    """

    type: str
    data: bytes

    @property
    def suffix(self) -> str:
        """Return what the name of its file ends in."""
        return SUFFIXES.get(self.type, ".img")


def kib_per_s(kbps: int) -> int:
    """Convert Kbit/s; a limit is never rounded to none.

    Example:
        >>> kib_per_s(8192), kib_per_s(1), kib_per_s(0)
        (1000, 1, 0)
    """
    return max(1, kbps * 1000 // 8192) if kbps else 0


class Machines(Protocol):
    """Single machines of one hypervisor; errors and threads as for `protocol.Hypervisor`.

    All of it is of the running instance, unless it says otherwise; what it is defined as is changed by
    defining it anew. What a hypervisor cannot do raises `Unsupported`.
    """

    async def save(self, uuid: str) -> None:
        """Write the memory to the host's disk and stop it; the next start goes on from there.

        One that is not active is success. Raises `NotFound`, `Refused` (a transient one).
        """

    async def is_saved(self, uuid: str) -> bool:
        """Say whether the next start goes on from a saved state; no such machine: no."""

    async def claim(self, uuid: str, owner: OwnerRecord) -> None:
        """Write another owner record into it, and into its definition. Raises `NotFound`."""

    async def create(self, xml: str) -> str:
        """Start a machine that nothing is left of once it stops, and give its UUID.

        Raises:
            HypervisorError: `NameTaken`; `Refused` when the XML is not accepted or it will not start.
        """

    async def rename(self, uuid: str, name: str) -> None:
        """Give one that is off another name; it has it already: nothing is done.

        Raises `NotFound`, `NameTaken`, `Refused` (it is active, or saved).
        """

    async def autostart(self, uuid: str, *, on: bool) -> None:
        """Say whether the hypervisor starts it with the host. Raises `NotFound`."""

    async def starts_with_host(self, uuid: str) -> bool:
        """Say whether the hypervisor starts it with the host. Raises `NotFound`."""

    async def reboot(self, uuid: str) -> None:
        """Ask the guest to reboot, without waiting. Raises `NotFound`, `Refused`."""

    async def reset(self, uuid: str) -> None:
        """Press its reset button. Raises `NotFound`, `Refused`."""

    async def keys(self, uuid: str, codes: Sequence[int]) -> None:
        """Press keys of its keyboard together, by Linux key codes. Raises `NotFound`, `Refused`."""

    async def forward(self, uuid: str, rules: Sequence[str]) -> None:
        """Have ports of the host lead to the guest on the user network of its first interface.

        Args:
            uuid: Whose guest; it runs.
            rules: As QEMU writes them, such as `tcp:127.0.0.1:2222-:22`; one that is there stays.

        Raises:
            HypervisorError: `Refused`: a port is in use; `Unsupported`: this hypervisor cannot.
        """

    async def screenshot(self, uuid: str) -> Picture:
        """Take a picture of its first screen. Raises `NotFound`, `Refused` (it has none)."""

    async def dump(self, uuid: str, path: str) -> None:
        """Write its memory to a new file of the hypervisor's host. Raises `NotFound`, `Refused`."""

    async def memory(self, uuid: str, size_bytes: int) -> None:
        """Give it so much memory, at most what it was started with as its maximum."""

    async def vcpus(self, uuid: str, count: int) -> None:
        """Give it so many processors, at most what it was started with as its maximum."""

    async def share(self, uuid: str, share: Share) -> None:
        """Change how much of the host's processors it gets."""

    async def pin(self, uuid: str, cpus: Sequence[int]) -> None:
        """Let all its processors run on these of the host only; none: on any."""

    async def bandwidth(self, uuid: str, mac: str, into_kbps: int, out_kbps: int) -> None:
        """Limit what goes into and out of its interface, in Kbit/s; 0: no limit."""

    async def attach(self, uuid: str, device: str) -> None:
        """Plug in a device, given as XML."""

    async def detach(self, uuid: str, device: str) -> None:
        """Pull out a device, given as XML; returns before the guest has let go of it."""

    async def resize_disk(self, uuid: str, target: str, size_bytes: int) -> None:
        """Let it see a disk as so much larger, which also makes its file as large."""
