"""Debian packages as parts to build from: which versions there are, and what is in them.

They are downloaded and unpacked, never installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from components.testbed.tools import run

_DOWNLOAD_S = 600.0


def dependency(package: str, pattern: str) -> str:
    """Give the dependency of a package that matches a pattern; the package itself if there is none.

    Raises:
        ToolFailedError: apt knows no such package.
    """
    found = re.search(
        rf"Depends: ({pattern})", run(["apt-cache", "depends", "--no-recommends", package])
    )
    return found[1] if found else package


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Give the versions apt would install, by package.

    Raises:
        ToolFailedError: apt knows no such package.
    """
    shown = run(["apt-cache", "show", "--no-all-versions", *packages])
    return dict(re.findall(r"^Package: (\S+)\n(?:.+\n)*?Version: (\S+)", shown, re.MULTILINE))


def unpack(wanted: Mapping[str, str], scratch: Path) -> Path:
    """Download packages of given versions and give the folder with all that is in them; blocks.

    Args:
        wanted: Versions by package.
        scratch: An empty folder to work in.

    Raises:
        ToolFailedError: A package cannot be had.
    """
    archives, unpacked = scratch / "packages", scratch / "unpacked"
    for folder in (archives, unpacked):
        folder.mkdir()
    names = [f"{package}={version}" for package, version in wanted.items()]
    quiet = ["-qq", "-o", "APT::Sandbox::User=root"]
    run(["apt-get", *quiet, "download", *names], cwd=archives, limit_s=_DOWNLOAD_S)
    for archive in sorted(archives.glob("*.deb")):
        run(["dpkg", "-x", archive, unpacked], limit_s=120)
    return unpacked
