"""Control groups: what keeps hold of every process a program leaves behind, where there are any."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

END_S = 2.0


def own_group() -> Path | None:
    """Return the folder of our own control group (version 2), if groups can be made in it."""
    try:
        mine = next(
            line[3:]
            for line in Path("/proc/self/cgroup").read_text().splitlines()
            if line.startswith("0::")
        )
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except (OSError, StopIteration):
        return None
    for fields in (line.split() for line in mounts):
        if fields[2] == "cgroup2":
            folder = Path(fields[1] + mine)
            return folder if os.access(folder, os.W_OK) else None
    return None


def make_group(name: str) -> str:
    """Make a control group below ours and return its folder; an empty string where none can be."""
    above = own_group()
    if above is None:
        return ""
    folder = above / name
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return ""
    return str(folder)


def members(group: str) -> tuple[int, ...]:
    """Return the processes in a control group; none if it is not there."""
    if not group:
        return ()
    try:
        return tuple(int(word) for word in Path(group, "cgroup.procs").read_text().split())
    except OSError:
        return ()


def remove_group(group: str) -> None:
    """Kill what is in a control group and remove it; blocks for up to two seconds."""
    if not group:
        return
    folder = Path(group)
    with contextlib.suppress(OSError):
        Path(folder, "cgroup.kill").write_text("1")
    until = time.monotonic() + END_S
    while folder.exists():
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
