"""What a test may leave behind: nothing that was not there before it."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import psutil

GRACE_S = 10.0
FOR_EVER = ("libvirt", "pytest", "execnet", "MainThread", "Dummy")
"""Beginnings of the names of threads that stay for the life of the process on purpose."""


def seen() -> dict[str, set[str]]:
    """Return threads, child processes and listening or connected sockets of this process."""
    me = psutil.Process()
    threads = {
        f"thread {each.name} ({each.ident})"
        for each in threading.enumerate()
        if each.is_alive() and not each.name.startswith(FOR_EVER)
    }
    children = set()
    for child in me.children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                children.add(f"process {_line(me, child)} {' '.join(child.cmdline())[:200]}")
        except psutil.NoSuchProcess:
            continue
    sockets = {
        f"socket {each.fd} {each.laddr} {each.raddr} {each.status}"
        for each in me.net_connections("inet")
    }
    return {"threads": threads, "children": children, "sockets": sockets}


PLACES = (
    ("/run/netns", "*"), ("/var/lib/smartdomains/lab", "*"), ("/tmp", "sd*"),
    ("/sys/fs/cgroup", "smartdomains*"),
)  # fmt: skip
"""Where what we make outside the folders of tests would be."""


def of_the_machine() -> set[str]:
    """Return the namespaces, groups of processes and files there are that may be ours."""
    return {str(path) for folder, names in PLACES for path in Path(folder).glob(names)}


def _of_another(item: str, known: set[str]) -> bool:
    """Say whether a process was started by one that was there before: that one answers for it."""
    kind, rest = item.split(" ", 1)
    return kind == "process" and "/" in rest.split()[0] and rest.partition("/")[0] in known


def _line(me: psutil.Process, child: psutil.Process) -> str:
    """Return the ids from a child of ours down to a process."""
    ids = [child.pid]
    while (above := psutil.Process(ids[0]).ppid()) not in {me.pid, 0}:
        ids.insert(0, above)
    return "/".join(map(str, ids))


def left(before: dict[str, set[str]]) -> list[str]:
    """Return what is there now and was not before, once it has had some time to go."""
    end = time.monotonic() + GRACE_S
    while True:
        now = seen()
        known = {item.split()[1].partition("/")[0] for item in before["children"]}
        new = sorted(item for kind in now for item in now[kind] - before[kind])
        new = [item for item in new if not _of_another(item, known)]
        if not new or time.monotonic() > end:
            return new
        gc.collect()
        time.sleep(0.05)
