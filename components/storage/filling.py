"""How a volume gets its content, its space, and loses both: decisions, and plain file work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from engine.runtime.kinds import BadValueError

GROWN = {"mkfs.ext2", "mkfs.ext3", "mkfs.ext4"}
"""Filesystem makers that fill what they make without mounting it."""
_ZEROS = bytes(2**20)
_FORCED = {"mkfs.xfs": ("-f", "-m", "uuid={}"), "mkfs.btrfs": ("-f", "-U", "{}")}


def how_to_fill(mode: str, kind: str, maker: str, *, root: bool) -> str:
    """Decide how an image gets onto a volume.

    Args:
        mode: `populateMode`.
        kind: Of the image: `raw`, `qcow2`, `tar` or `directory`.
        maker: Filesystem maker, by name or path.
        root: We may mount.

    Returns:
        `copy`, `offline` or `mount`.

    Raises:
        BadValueError: It cannot be done; the text says why.

    Example:
        >>> how_to_fill("auto", "tar", "mkfs.ext4", root=False)
        'offline'
        >>> how_to_fill("auto", "tar", "mkfs.xfs", root=True)
        'mount'
    """
    disk, grown = kind in {"raw", "qcow2"}, Path(maker).name in GROWN
    if mode == "auto":
        mode = "copy" if disk else "offline" if grown else "mount"
    if (mode == "copy") != disk:
        what = "a disk" if disk else f"a {kind}"
        raise BadValueError(f"the image is {what}, which is {'' if disk else 'not '}copied")
    if mode == "offline" and not grown:
        raise BadValueError("it cannot fill a filesystem without mounting it; mkfs.ext4 can")
    if mode == "mount" and not root:
        raise BadValueError("mounting needs root; mkfs.ext4 fills without mounting")
    return mode


def mount_words(maker: tuple[str, ...], uuid: str) -> tuple[str, ...]:
    """Return the command that makes an empty filesystem with a UUID, up to the volume's path.

    Example:
        >>> mount_words(("mkfs.ext4",), "u")
        ('mkfs.ext4', '-q', '-F', '-U', 'u')
    """
    name = Path(maker[0]).name
    if name in GROWN:
        return (*maker, "-q", "-F", "-U", uuid)
    return (*maker, *(word.format(uuid) for word in _FORCED.get(name, ())))


def _sections(file: IO[bytes], find: int, until: int) -> Iterator[tuple[int, int]]:
    """Give the holes of a file, or its data, as beginning and end."""
    size, end = file.seek(0, os.SEEK_END), 0
    while end < size:
        begin = _next(file, end, find, size)
        end = _next(file, begin, until, size)
        if begin < size:
            yield begin, end


def _next(file: IO[bytes], here: int, what: int, size: int) -> int:
    try:
        return min(os.lseek(file.fileno(), here, what), size)
    except OSError:  # none until the end
        return size


def _write_zeros(file: IO[bytes], begin: int, end: int) -> None:
    while begin < end:
        begin += os.pwrite(file.fileno(), _ZEROS[: end - begin], begin)


def take_space(path: Path, how: str) -> None:
    """Give a sparse file its space: `falloc` reserves it, `full` writes it; blocks."""
    if how == "sparse":
        return
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if how == "full":
            for begin, end in list(_sections(file, os.SEEK_HOLE, os.SEEK_DATA)):
                _write_zeros(file, begin, end)
        os.posix_fallocate(file.fileno(), 0, size)


def overwrite(path: Path) -> None:
    """Overwrite what a file holds with zeros; blocks. A file that is not there is no error."""
    try:
        with path.open("r+b") as file:
            for begin, end in list(_sections(file, os.SEEK_DATA, os.SEEK_HOLE)):
                _write_zeros(file, begin, end)
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
