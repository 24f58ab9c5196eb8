"""What a test may leave behind: nothing that was not there before it."""

from __future__ import annotations

import gc
import threading
import time

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
                children.add(f"process {child.pid} {' '.join(child.cmdline())[:200]}")
        except psutil.NoSuchProcess:
            continue
    sockets = {
        f"socket {each.fd} {each.laddr} {each.raddr} {each.status}"
        for each in me.net_connections("inet")
    }
    return {"threads": threads, "children": children, "sockets": sockets}


def left(before: dict[str, set[str]]) -> list[str]:
    """Return what is there now and was not before, once it has had some time to go."""
    end = time.monotonic() + GRACE_S
    while True:
        now = seen()
        new = sorted(item for kind in now for item in now[kind] - before[kind])
        if not new or time.monotonic() > end:
            return new
        gc.collect()
        time.sleep(0.05)
