"""Disks with one partition, in the table of old that every BIOS knows."""

from __future__ import annotations

import struct
from pathlib import Path

START = 2**20
"""Where the one partition of a disk that is made begins, in bytes."""
SECTOR = 512
_CODE, _TABLE, _LINUX, _ACTIVE = 440, 446, 0x83, 0x80
_ENTRY = struct.Struct("<B3sB3sII")
_FAR = b"\xfe\xff\xff"
"""Says that a place is told by its sector's number, not by cylinder, head and sector."""
_MARK = b"\x55\xaa"


def first_sector(loader: bytes, *, disk_id: int, size_bytes: int) -> bytes:
    """Return the first sector of a disk: a boot loader's code, and a table with one partition.

    Args:
        loader: Code of which the first 440 bytes count.
        disk_id: Number of the disk, 32 bits.
        size_bytes: Of the disk.
    """
    sectors = (size_bytes - START) // SECTOR
    entry = _ENTRY.pack(_ACTIVE, _FAR, _LINUX, _FAR, START // SECTOR, sectors)
    head = loader[:_CODE].ljust(_CODE, b"\0") + struct.pack("<IH", disk_id, 0) + entry
    return head.ljust(SECTOR - len(_MARK), b"\0") + _MARK


def begins_at(head: bytes) -> int:
    """Return where the file system of a disk begins, in bytes: in its one partition, else at 0.

    Args:
        head: The first sector.

    Example:
        >>> begins_at(first_sector(b"", disk_id=1, size_bytes=2**24)), begins_at(bytes(512))
        (1048576, 0)
    """
    if head[SECTOR - len(_MARK) : SECTOR] != _MARK:
        return 0
    entries = [_ENTRY.unpack_from(head, _TABLE + number * _ENTRY.size) for number in range(4)]
    found = [entry for entry in entries if entry[2]]
    if len(found) != 1 or found[0][2] != _LINUX or found[0][0] not in {0, _ACTIVE}:
        return 0
    return int(found[0][4]) * SECTOR


def filesystem_at(volume: Path) -> int:
    """Return where the file system on a disk begins, in bytes; blocks.

    A disk with several partitions, or with one that is not Linux's, has none that is known: 0.
    """
    with volume.open("rb") as file:
        return begins_at(file.read(SECTOR))


def device_at(volume: str, start: int) -> str:
    """Return how e2fsprogs are told of a filesystem that does not begin where its volume does.

    Example:
        >>> device_at("/a", 0), device_at("/a", 1048576)
        ('/a', '/a?offset=1048576')
    """
    return f"{volume}?offset={start}" if start else volume
