"""Where daemons keep their files, and who may pass through to them.

A hypervisor opens volumes as a user of its own. So others may pass through a daemon's folders, down to
those volumes, and see nothing on the way: what a folder holds is not listed, and all else in it is the
daemon's alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from platformdirs.api import PlatformDirsABC

PASSED = 0o711
"""Mode of a folder that others pass through."""
PASSED_THROUGH = frozenset({"work", "processes", "handed"})
"""Folders of a daemon that lead to what others open."""


def state_home() -> Path:
    """Return where state is kept if nothing is said: of the system for root, else of the user.

    Root's own folder will not do: nobody else gets through to what is below it.
    """
    homes = _homes()
    return homes.site_state_path if _is_the_system("XDG_STATE_HOME") else homes.user_state_path


def cache_home() -> Path:
    """Return where is kept what can be made again, likewise."""
    homes = _homes()
    return homes.site_cache_path if _is_the_system("XDG_CACHE_HOME") else homes.user_cache_path


def _homes() -> PlatformDirsABC:
    from platformdirs import PlatformDirs  # noqa: PLC0415 - 10 ms of a command that is told all

    return PlatformDirs("smartdomains")


def _is_the_system(variable: str) -> bool:
    return os.geteuid() == 0 and not os.environ.get(variable)


def make_passable(folder: Path) -> None:
    """Make a daemon's folder, or take the one there is; what is in it stays or becomes private.

    Raises:
        OSError: It cannot be made, or is somebody else's.
    """
    folder.mkdir(mode=PASSED, parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in PASSED_THROUGH and not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o700)
    for each in (folder, folder / "work"):
        each.mkdir(mode=PASSED, exist_ok=True)
        each.chmod(PASSED)


def made_private(path: Path) -> Path:
    """Make an empty file that nobody else reads, unless it is there already; return its path."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return path
