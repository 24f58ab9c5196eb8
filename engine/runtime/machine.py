"""Which life of the machine this is: its clock counts from its start."""

from __future__ import annotations

from pathlib import Path


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    except OSError:
        return "unknown"


BOOT = _boot()
"""Differs after every start of the machine."""
