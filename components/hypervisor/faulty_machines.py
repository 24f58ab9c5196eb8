"""Single machines of a hypervisor that fails on demand; see `faulty`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol, TypeVar

from components.hypervisor.machines import Machines, Picture, Share
from components.hypervisor.owner import OwnerRecord

T = TypeVar("T")

MachineMethod = Literal[
    "create", "starts_with_host",
    "save", "is_saved", "claim", "rename", "autostart", "reboot", "reset", "keys", "forward",
    "screenshot", "dump", "memory", "vcpus", "share", "pin", "bandwidth", "attach", "detach",
    "resize_disk",
]  # fmt: skip


class Pass(Protocol):
    """How a call goes through the faults."""

    async def __call__(
        self, method: MachineMethod, about: str, act: Callable[[], Awaitable[T]], /
    ) -> T:
        """Do it, as planned."""


class FaultyMachines:
    """Passes everything on, apart from the faults planted."""

    def __init__(self, inner: Machines, pass_: Pass) -> None:
        """Wrap the machines of a hypervisor."""
        self._inner = inner
        self._pass = pass_

    async def create(self, xml: str) -> str:
        """Start a machine that nothing is left of once it stops."""
        return await self._pass("create", "", lambda: self._inner.create(xml))

    async def save(self, uuid: str) -> None:
        """Write the memory to disk and stop it."""
        await self._pass("save", uuid, lambda: self._inner.save(uuid))

    async def is_saved(self, uuid: str) -> bool:
        """Say whether the next start goes on from a saved state."""
        return await self._pass("is_saved", uuid, lambda: self._inner.is_saved(uuid))

    async def claim(self, uuid: str, owner: OwnerRecord) -> None:
        """Write another owner record."""
        await self._pass("claim", uuid, lambda: self._inner.claim(uuid, owner))

    async def rename(self, uuid: str, name: str) -> None:
        """Give it another name."""
        await self._pass("rename", uuid, lambda: self._inner.rename(uuid, name))

    async def autostart(self, uuid: str, *, on: bool) -> None:
        """Say whether it starts with the host."""
        await self._pass("autostart", uuid, lambda: self._inner.autostart(uuid, on=on))

    async def starts_with_host(self, uuid: str) -> bool:
        """Say whether it starts with the host."""
        return await self._pass(
            "starts_with_host", uuid, lambda: self._inner.starts_with_host(uuid)
        )

    async def reboot(self, uuid: str) -> None:
        """Ask the guest to reboot."""
        await self._pass("reboot", uuid, lambda: self._inner.reboot(uuid))

    async def reset(self, uuid: str) -> None:
        """Press its reset button."""
        await self._pass("reset", uuid, lambda: self._inner.reset(uuid))

    async def keys(self, uuid: str, codes: Sequence[int]) -> None:
        """Press keys together."""
        await self._pass("keys", uuid, lambda: self._inner.keys(uuid, codes))

    async def forward(self, uuid: str, rules: Sequence[str]) -> None:
        """Have ports of the host lead to the guest."""
        await self._pass("forward", uuid, lambda: self._inner.forward(uuid, rules))

    async def screenshot(self, uuid: str) -> Picture:
        """Take a picture of its screen."""
        return await self._pass("screenshot", uuid, lambda: self._inner.screenshot(uuid))

    async def dump(self, uuid: str, path: str) -> None:
        """Write its memory to a file."""
        await self._pass("dump", uuid, lambda: self._inner.dump(uuid, path))

    async def memory(self, uuid: str, size_bytes: int) -> None:
        """Give it so much memory."""
        await self._pass("memory", uuid, lambda: self._inner.memory(uuid, size_bytes))

    async def vcpus(self, uuid: str, count: int) -> None:
        """Give it so many processors."""
        await self._pass("vcpus", uuid, lambda: self._inner.vcpus(uuid, count))

    async def share(self, uuid: str, share: Share) -> None:
        """Change its share of the processors."""
        await self._pass("share", uuid, lambda: self._inner.share(uuid, share))

    async def pin(self, uuid: str, cpus: Sequence[int]) -> None:
        """Choose the processors it may run on."""
        await self._pass("pin", uuid, lambda: self._inner.pin(uuid, cpus))

    async def bandwidth(self, uuid: str, mac: str, into_kbps: int, out_kbps: int) -> None:
        """Limit an interface."""
        await self._pass(
            "bandwidth", uuid, lambda: self._inner.bandwidth(uuid, mac, into_kbps, out_kbps)
        )

    async def attach(self, uuid: str, device: str) -> None:
        """Plug in a device."""
        await self._pass("attach", uuid, lambda: self._inner.attach(uuid, device))

    async def detach(self, uuid: str, device: str) -> None:
        """Pull out a device."""
        await self._pass("detach", uuid, lambda: self._inner.detach(uuid, device))

    async def resize_disk(self, uuid: str, target: str, size_bytes: int) -> None:
        """Let it see a disk as larger."""
        await self._pass(
            "resize_disk", uuid, lambda: self._inner.resize_disk(uuid, target, size_bytes)
        )
