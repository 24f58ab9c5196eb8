"""Which hypervisor a host has, where nobody says."""

from __future__ import annotations

import os
from pathlib import Path

XEN = (Path("/proc/xen/capabilities"), Path("/sys/hypervisor/type"))


def default_uri() -> str:
    """Return the URI of this host's own hypervisor; libvirt's test driver is never chosen."""
    for mark in XEN:
        try:
            if "xen" in mark.read_text() or mark.name == "capabilities":
                return "xen:///system"
        except OSError:
            continue
    return "qemu:///system" if os.geteuid() == 0 else "qemu:///session"
