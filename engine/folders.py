"""Where daemons keep their files, and who may pass through to them.

A hypervisor opens volumes as a user of its own. So others may pass through a daemon's folders, down to
those volumes, and see nothing on the way: what a folder holds is not listed, and all else in it is the
daemon's alone.
"""

from __future__ import annotations

import os
from pathlib import Path

PASSED = 0o711
"""Mode of a folder that others pass through."""
PASSED_THROUGH = frozenset({"work", "processes", "handed"})
"""Folders of a daemon that lead to what others open."""
_NAME = "smartdomains"


def state_home() -> Path:
    """Return where state is kept if nothing is said: of the system for root, else of the user.

    Root's own folder will not do: nobody else gets through to what is below it.
    """
    import platformdirs  # noqa: PLC0415 - only when nothing is said

    if _is_the_system("XDG_STATE_HOME"):
        return platformdirs.site_state_path(_NAME)
    return platformdirs.user_state_path(_NAME)


def cache_home() -> Path:
    """Return where is kept what can be made again, likewise."""
    import platformdirs  # noqa: PLC0415 - only when nothing is said

    if _is_the_system("XDG_CACHE_HOME"):
        return platformdirs.site_cache_path(_NAME)
    return platformdirs.user_cache_path(_NAME)


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
