"""How large a volume is for its guest, and how much of its host it takes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from msgspec import Struct

QCOW2 = b"QFI\xfb"


class VolumeUsage(Struct, frozen=True):
    """One volume as it was at the moment of asking.

    Attributes:
        role: `root`, `swap` or `data`.
        path: File or device on its host.
        capacity_bytes: What the guest sees.
        allocated_bytes: What it takes; of a layer only what differs from its base.
    """

    role: str
    path: str
    capacity_bytes: int
    allocated_bytes: int


def usage_of(role: str, path: str) -> VolumeUsage:
    """Look at a file or device of this host, also while a guest uses it; blocks.

    Raises:
        OSError: It is not there.
    """
    with Path(path).open("rb") as file:
        facts, head = os.fstat(file.fileno()), file.read(32)
        size = file.seek(0, os.SEEK_END)
    if stat.S_ISBLK(facts.st_mode):
        return VolumeUsage(role, path, size, size)
    if head.startswith(QCOW2):
        size = int.from_bytes(head[24:32], "big")
    return VolumeUsage(role, path, size, facts.st_blocks * 512)
