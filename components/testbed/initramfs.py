"""Parts of an initial RAM disk: busybox with its names, kernel modules in order, the archive itself."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from components.testbed.tools import run


def add_busybox(root: Path, unpacked: Path) -> None:
    """Put busybox into the bin of a tree, under all the names it goes by."""
    busybox = root / "bin/busybox"
    busybox.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(unpacked / "bin/busybox", busybox)
    busybox.chmod(0o755)
    for applet in run([busybox, "--list"]).split():
        if not (root / "bin" / applet).exists():
            (root / "bin" / applet).symlink_to("busybox")


def add_modules(
    target: Path, unpacked: Path, modules: Sequence[str], further: Sequence[str] = ()
) -> None:
    """Copy kernel modules, and the order in which they must be inserted to the file `order`.

    Args:
        target: Folder to copy to.
        unpacked: Where the kernel's package is.
        modules: In the order they are inserted at boot.
        further: Modules that whoever needs them inserts.
    """
    target.mkdir(parents=True, exist_ok=True)
    found = {path.stem.replace("-", "_"): path for path in unpacked.rglob("*.ko")}
    for module in (*modules, *further):
        shutil.copyfile(found[module.replace("-", "_")], target / f"{module}.ko")
    (target / "order").write_text("".join(f"{module}\n" for module in modules))


def add_script(path: Path, text: str) -> None:
    """Write a script that may be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def pack(root: Path, target: Path) -> None:
    """Write a folder as a gzipped cpio archive that depends on names and contents only."""
    paths = sorted(path.relative_to(root) for path in root.rglob("*"))
    for path in [Path(), *paths]:
        os.utime(root / path, (0, 0), follow_symlinks=False)
    listing = "\0".join(["."] + [str(path) for path in paths]).encode()
    archive = target.with_suffix(".cpio")
    options = ["--quiet", "--null", "-o", "-H", "newc", "--reproducible", "-R", "0:0"]
    run(["cpio", *options, "-F", archive], cwd=root, stdin=listing)
    with target.open("wb") as packed:
        packed.write(gzip.compress(archive.read_bytes(), compresslevel=9, mtime=0))
    archive.unlink()
