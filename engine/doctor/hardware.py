"""Rights, limits and acceleration."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from engine.core.findings import GOOD, NOTE, WARNING, Finding
from engine.doctor.machine import Machine

NET_ADMIN, SYS_ADMIN = 12, 21
FILES = 4096
VENDORS = ("kvm_intel", "kvm_amd")
X86 = ("x86_64", "i686", "i386", "AMD64")


def rights(machine: Machine) -> Iterator[Finding]:
    """Look at what we may do."""
    match = re.search(
        r"^CapEff:\s*([0-9a-f]+)", machine.text("/proc/self/status") or "", re.MULTILINE
    )
    held = int(match[1], 16) if match else 0
    who = "root" if machine.user() == 0 else f"user {machine.user()}"
    lacks = [
        name
        for name, bit in (("CAP_NET_ADMIN", NET_ADMIN), ("CAP_SYS_ADMIN", SYS_ADMIN))
        if not held >> bit & 1
    ]
    if not lacks:
        yield Finding("rights", who, GOOD, "may make networks, mounts and logical volumes")
        return
    text = f"without {' and '.join(lacks)}: no bridges, mounts or logical volumes; machines of qemu:///session"
    yield Finding(
        "rights",
        who,
        WARNING,
        text,
        "run the daemon as a service of the machine: docs/operations.md",
    )


def limits(machine: Machine) -> Iterator[Finding]:
    """Look at what the kernel lets us have."""
    files = machine.open_files()
    if files >= FILES:
        yield Finding("limits", "open files", GOOD, f"at least {min(files, 1 << 20)}")
    else:
        todo = f"LimitNOFILE={FILES * 16} in the unit, or ulimit -n {FILES}"
        text = f"{files}: connections and disks may run out"
        yield Finding("limits", "open files", WARNING, text, todo)


def kvm(machine: Machine) -> Iterator[Finding]:
    """Look whether guests really would be accelerated, whatever the hypervisor advertises."""
    device = "/dev/kvm"
    if not machine.exists(device):
        yield Finding(
            "kvm", device, NOTE, "not there: guests are emulated, which is slow",
            "switch virtualisation on in the firmware, then: modprobe kvm_intel (or kvm_amd)",
        )  # fmt: skip
        return
    vendor = [name for name in VENDORS if machine.exists(f"/sys/module/{name}")]
    if machine.architecture() in X86 and not vendor:
        yield Finding(
            "kvm", device, WARNING,
            "there, but neither kvm_intel nor kvm_amd is loaded: the hypervisor will advertise "
            "accelerated guests that never run",
            'write accelerator "tcg" in descriptions for this host, or load the module',
        )  # fmt: skip
        return
    if not machine.may(device, os.R_OK | os.W_OK):
        yield Finding(
            "kvm", device, WARNING, "there, but not for us",
            "add the user to the group kvm, or use qemu:///system",
        )  # fmt: skip
        return
    yield Finding(
        "kvm", device, GOOD, f"guests are accelerated ({', '.join(vendor) or 'built in'})"
    )
