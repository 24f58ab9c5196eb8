"""Where on its host a component keeps its files: in the nearest `workDir` above it."""

from __future__ import annotations

import os
from pathlib import Path

from typing_extensions import override

from components.surroundings.above import said_above
from engine.core.faults import EngineError
from engine.prim import Prim
from engine.runtime.kinds import BadValueError, Kind, shown
from sfdl.values import Value


def expanded(text: str) -> Path:
    """Return a path with `~` and `${VAR}` as they are on this host.

    Example:
        >>> expanded("/srv/./work")
        PosixPath('/srv/work')
    """
    return Path(os.path.expandvars(text)).expanduser()


def _folder(value: Value) -> str:
    if not isinstance(value, str):
        raise BadValueError(f"must be a string (got {shown(value)})")
    if not value.startswith(("/", "~", "$")):
        raise BadValueError(f"must be an absolute path (got {shown(value)})")
    return value


work_dir_kind = Kind("absolute path", "String", _folder)
"""A folder of a host; `~` and `${VAR}` are those of the host."""


def writable(folder: Path) -> bool:
    """Say whether a folder can be written to, or made; blocks."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


class Workplace(Prim):
    """A component that keeps files on its host where `workDir` above it says."""

    _workplace: Path | None = None

    @property
    @override
    def work_folder(self) -> Path:
        return self._workplace or super().work_folder

    async def take_workplace(self) -> None:
        """Find out where that is; before anything is made.

        Raises:
            BadDescription: What is said above it is no folder.
        """
        said = await said_above(self, "workDir", work_dir_kind)
        self._workplace = expanded(said) if said else None

    async def take_workplace_again(self) -> None:
        """Find it out after a restart; what cannot be asked above it is no reason to end."""
        try:
            await self.take_workplace()
        except EngineError as error:
            self.note(
                f"workDir above it cannot be read, new files go elsewhere: {error}", "warning"
            )
