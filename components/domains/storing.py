"""What the storage of a machine tells it while its volumes grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.domains.described import Conducted
from engine.runtime.attributes import exposed

if TYPE_CHECKING:
    from components.domains.updating import Updates


class Storing(Conducted):
    """A machine whose volumes may grow.

    Attributes:
        updates: Takes changes of its description, and what follows from those of its storage.
    """

    updates: Updates

    @exposed()
    async def may_replace(self) -> bool:
        """Say whether its volumes may be replaced by others."""
        return self.allow_replace

    @exposed()
    async def hears_of_growth(self) -> str:
        """Say how its guest would hear that a disk grows: `off`, `live` or `later`."""
        return await self.updates.hears_of_growth()

    @exposed()
    async def grow_disk(self, path: str, size_bytes: int) -> None:
        """Have the guest see a disk as larger; a file becomes as large by it.

        Raises:
            HypervisorError: It cannot be.
        """
        await self.updates.grow_disk(path, size_bytes)

    @exposed()
    async def see_later(self, names: list[str]) -> None:
        """Say that something of its storage counts at the next power cycle."""
        await self.updates.see_later(names)
