"""Single machines of a libvirt hypervisor: what `machines.Machines` promises, call by call."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import libvirt

from components.hypervisor import machine_operations as operations
from components.hypervisor.line import Line
from components.hypervisor.machines import Picture, Share
from components.hypervisor.network_operations import identity
from components.hypervisor.owner import OwnerRecord


class LibvirtMachines:
    """Asks over the hypervisor's own line."""

    def __init__(self, line: Line) -> None:
        """Take the line; the hypervisor opens and closes it."""
        self._line = line

    async def _change(
        self, step: str, uuid: str, work: Callable[[libvirt.virConnect], None]
    ) -> None:
        await self._line.change(step, uuid, work)

    async def create(self, xml: str) -> str:
        """Start a machine that nothing is left of once it stops."""
        self._line.take_new_work("create")
        uuid, name = identity(xml)
        self._line.names[uuid] = name
        return await self._line.change(
            "create", uuid, lambda connection: operations.create(connection, xml), name=name
        )

    async def save(self, uuid: str) -> None:
        """Write the memory to disk and stop it."""
        await self._change("save", uuid, lambda connection: operations.save(connection, uuid))

    async def is_saved(self, uuid: str) -> bool:
        """Say whether the next start goes on from a saved state."""
        return await self._line.look(
            "look at saved state", uuid, lambda connection: operations.is_saved(connection, uuid)
        )

    async def claim(self, uuid: str, owner: OwnerRecord) -> None:
        """Write another owner record."""
        await self._change(
            "claim", uuid, lambda connection: operations.claim(connection, uuid, owner)
        )

    async def rename(self, uuid: str, name: str) -> None:
        """Give it another name."""
        await self._change(
            "rename", uuid, lambda connection: operations.rename(connection, uuid, name)
        )
        self._line.names[uuid] = name

    async def autostart(self, uuid: str, *, on: bool) -> None:
        """Say whether it starts with the host."""
        await self._change(
            "autostart", uuid, lambda connection: operations.autostart(connection, uuid, on=on)
        )

    async def starts_with_host(self, uuid: str) -> bool:
        """Say whether it starts with the host."""
        return await self._line.look(
            "look at autostart",
            uuid,
            lambda connection: operations.starts_with_host(connection, uuid),
        )

    async def reboot(self, uuid: str) -> None:
        """Ask the guest to reboot."""
        await self._change("reboot", uuid, lambda connection: operations.reboot(connection, uuid))

    async def reset(self, uuid: str) -> None:
        """Press its reset button."""
        await self._change("reset", uuid, lambda connection: operations.reset(connection, uuid))

    async def keys(self, uuid: str, codes: Sequence[int]) -> None:
        """Press keys together."""
        await self._change(
            "keys", uuid, lambda connection: operations.keys(connection, uuid, codes)
        )

    async def forward(self, uuid: str, rules: Sequence[str]) -> None:
        """Have ports of the host lead to the guest."""
        await self._change(
            "forward", uuid, lambda connection: operations.forward(connection, uuid, rules)
        )

    async def screenshot(self, uuid: str) -> Picture:
        """Take a picture of its screen."""
        return await self._line.change(
            "screenshot", uuid, lambda connection: operations.screenshot(connection, uuid)
        )

    async def dump(self, uuid: str, path: str) -> None:
        """Write its memory to a file."""
        await self._change("dump", uuid, lambda connection: operations.dump(connection, uuid, path))

    async def memory(self, uuid: str, size_bytes: int) -> None:
        """Give it so much memory."""
        await self._change(
            "memory", uuid, lambda connection: operations.memory(connection, uuid, size_bytes)
        )

    async def vcpus(self, uuid: str, count: int) -> None:
        """Give it so many processors."""
        await self._change(
            "vcpus", uuid, lambda connection: operations.vcpus(connection, uuid, count)
        )

    async def share(self, uuid: str, share: Share) -> None:
        """Change its share of the processors."""
        await self._change(
            "share", uuid, lambda connection: operations.share(connection, uuid, share)
        )

    async def pin(self, uuid: str, cpus: Sequence[int]) -> None:
        """Choose the processors it may run on."""
        await self._change("pin", uuid, lambda connection: operations.pin(connection, uuid, cpus))

    async def bandwidth(self, uuid: str, mac: str, into_kbps: int, out_kbps: int) -> None:
        """Limit an interface."""
        await self._change(
            "bandwidth",
            uuid,
            lambda connection: operations.bandwidth(connection, uuid, mac, into_kbps, out_kbps),
        )

    async def attach(self, uuid: str, device: str) -> None:
        """Plug in a device."""
        await self._change(
            "attach", uuid, lambda connection: operations.attach(connection, uuid, device)
        )

    async def detach(self, uuid: str, device: str) -> None:
        """Pull out a device."""
        await self._change(
            "detach", uuid, lambda connection: operations.detach(connection, uuid, device)
        )

    async def resize_disk(self, uuid: str, target: str, size_bytes: int) -> None:
        """Let it see a disk as larger."""
        await self._change(
            "resize disk",
            uuid,
            lambda connection: operations.resize_disk(connection, uuid, target, size_bytes),
        )
