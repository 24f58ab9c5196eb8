"""What is on a Xen host's disks when it is switched on for the first time; they last as long as it.

The lab's disk is mounted inside at the lab's folder, so that paths are the same inside and outside.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path

import msgspec

from components.testbed.tools import run
from components.testbed.xen import dom0_init
from components.testbed.xen.machine import GROUP_BYTES, LAB_BYTES, Machine

_CHECKOUT = Path(__file__).parents[3]
_OURS = ("sfdl", "engine", "components", "descriptions", "tui")
_DISTRIBUTION = "smartdomains"
_LAUNCHER = """\
#!/usr/bin/python3
import sys
from {module} import {function}
sys.exit({function}())
"""


def make_disks(machine: Machine, plan: Mapping[str, object], shared: Sequence[Path]) -> None:
    """Make a host's disks, unless they are there; blocks for some seconds.

    Args:
        machine: The host.
        plan: Of the host's first process, see `host_init`.
        shared: Files of the lab's folder that the host sees, too.

    Raises:
        ToolFailedError: A step failed.
    """
    machine.folder.mkdir(parents=True, exist_ok=True)
    if machine.group_disk.exists():
        return
    with tempfile.TemporaryDirectory(prefix="tree-", dir=machine.folder) as scratch:
        tree = Path(scratch)
        for path in shared:
            _copy(path, tree / path.relative_to(machine.folder.parent))
        (tree / "dom0-init").write_text(dom0_init.INIT)
        _add_our_code(tree)
        inner = tree / machine.folder.name
        inner.mkdir()
        (inner / "plan.json").write_bytes(msgspec.json.encode(plan))
        size = str(LAB_BYTES // 1024)
        run(["mke2fs", "-q", "-t", "ext4", "-d", tree, "-L", "lab", machine.lab_disk, size])
    base = ["-f", "qcow2", "-F", "raw", "-b", str(machine.image.root)]
    run(["qemu-img", "create", "-q", *base, machine.root_disk])
    with machine.group_disk.open("wb") as file:  # the last one: it says that all are made
        file.truncate(GROUP_BYTES)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _add_our_code(tree: Path) -> None:
    """Put this very code there, compiled, and its commands."""
    lib, programs = tree / "lib", tree / "bin"
    for package in _OURS:
        shutil.copytree(_CHECKOUT / package, lib / package)
    shutil.copy2(_CHECKOUT / "smartdomains.py", lib)
    ours = distribution(_DISTRIBUTION)
    facts = lib / f"{_DISTRIBUTION}-{ours.version}.dist-info"
    facts.mkdir()
    metadata = ours.read_text("METADATA") or ours.read_text("PKG-INFO") or ""
    (facts / "METADATA").write_text(metadata, encoding="utf-8")
    points = ours.read_text("entry_points.txt") or ""
    (facts / "entry_points.txt").write_text(points, encoding="utf-8")
    run([sys.executable, "-m", "compileall", "-q", "-j", "2", "-s", tree, lib], limit_s=300)
    programs.mkdir()
    for command in ours.entry_points.select(group="console_scripts"):
        launcher = programs / command.name
        launcher.write_text(_LAUNCHER.format(module=command.module, function=command.attr))
        launcher.chmod(0o755)
