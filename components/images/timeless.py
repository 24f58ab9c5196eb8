"""Images without the time at which they were made, so that the same system is the same image."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from engine.core.faults import Refused
from engine.runtime.effects import Site

EPOCH_S = 1
"""What stands for the time of making."""
FAKE_TIME = ("env", f"E2FSPROGS_FAKE_TIME={EPOCH_S}")
"""Has tools of ext filesystems write that instead of the time."""
TRACES = (
    "var/log/*.log", "var/log/apt/*", "var/cache/apt/*.bin", "var/cache/apt/archives/*.deb",
    "var/lib/apt/lists/*_*", "var/cache/ldconfig/aux-cache", "var/cache/debconf/*-old",
    "var/lib/dpkg/*-old", "etc/*-",
)  # fmt: skip
"""What installing packages leaves that a system does not need, and that says when it was done."""
GRAIN_S = 1.0
"""Seconds by which the clock of files may be behind."""
_ROOT, _FIRST = 2, 11
"""Inodes of the root folder, and the first that is not the filesystem's own."""


def forget(tree: Path) -> None:
    """Remove the traces of installing packages from a system; blocks."""
    for pattern in TRACES:
        for path in tree.glob(pattern):
            if path.is_symlink() or not path.is_dir():
                path.unlink()


def settle(tree: Path, since_s: float) -> None:
    """Give all of a folder that has changed since then one time of change; blocks.

    What was there before, as packages and archives bring it, keeps its times.
    """
    for path in (tree, *tree.rglob("*")):
        if path.lstat().st_mtime >= since_s - GRAIN_S:
            os.utime(path, (EPOCH_S, EPOCH_S), follow_symlinks=False)


async def settle_inodes(at: Site, image: Path, start: int = 0) -> None:
    """Give every file of an ext filesystem one time of change and of access.

    The kernel sets them and nobody else can: they differ each time, and are of no use in an image.

    Args:
        at: Where.
        image: Holds the filesystem, which is not mounted.
        start: Byte at which it begins.

    Raises:
        Refused: It holds none.
    """
    place = f"{image}?offset={start}" if start else str(image)
    about = await at.run(("dumpe2fs", "--", place))
    script = Path(f"{image}.times")
    await at.blocking(_write, script, about.stdout.decode(errors="replace"))
    try:
        done = await at.run((*FAKE_TIME, "debugfs", "-w", "-f", str(script), "--", place))
    finally:
        await at.blocking(script.unlink)
    said = done.stderr.decode(errors="replace").splitlines()[1:]  # the first is its version
    if said:
        raise Refused(f"times of files in {image} cannot be set: {said[0]}", code="SF-IMAGE-005")


def _write(script: Path, about: str) -> None:
    with script.open("w") as file:
        for inode in used_inodes(about):
            file.write(f"sif <{inode}> ctime {EPOCH_S}\nsif <{inode}> atime {EPOCH_S}\n")


def used_inodes(about: str) -> Iterator[int]:
    r"""Return the inodes of files from what `dumpe2fs` says of a filesystem.

    Raises:
        Refused: It says something else.

    Example:
        >>> text = "Inode count:  16\nGroup 0: ...\n  Free inodes: 13-14, 16\n"
        >>> list(used_inodes(text))
        [2, 11, 12, 15]
    """
    count = re.search(r"^Inode count:\s+(\d+)$", about, re.MULTILINE)
    if count is None:
        raise Refused("dumpe2fs does not say how many inodes there are", code="SF-IMAGE-005")
    free: set[int] = set()
    for line in re.findall(r"^  Free inodes:(.*)$", about, re.MULTILINE):
        for part in filter(None, (each.strip() for each in line.split(","))):
            first, _, last = part.partition("-")
            free.update(range(int(first), int(last or first) + 1))
    yield _ROOT
    yield from (inode for inode in range(_FIRST, int(count[1]) + 1) if inode not in free)
