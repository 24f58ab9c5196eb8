"""What libvirt found out about QEMU, kept from one lab to the next: asking takes it seconds a host."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from pathlib import Path

import platformdirs

from components.testbed.tools import tool

_PLACE = "qemu/capabilities"


def _kept() -> Path:
    """Name the folder for these very programs; libvirt checks what it finds there once more."""
    facts = [Path(tool(name)).stat() for name in ("libvirtd", "qemu-system-x86_64")]
    text = " ".join(f"{each.st_ino} {each.st_mtime_ns} {each.st_size}" for each in facts)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return platformdirs.user_cache_path("smartdomains") / f"capabilities-{key}"


def give(cache: Path) -> None:
    """Give a host that has no cache what another one found out; harmless if nothing is known."""
    kept = _kept()
    if kept.exists() and not (cache / _PLACE).exists():
        shutil.copytree(kept, cache / _PLACE)


def keep(cache: Path) -> None:
    """Keep what a host's libvirt found out, unless that is known."""
    kept = _kept()
    if kept.exists() or not (cache / _PLACE).exists():
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        shutil.copytree(cache / _PLACE, Path(folder) / "new")
        with contextlib.suppress(OSError):  # another lab was quicker
            (Path(folder) / "new").rename(kept)
