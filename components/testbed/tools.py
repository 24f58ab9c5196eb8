"""Finding and running the programs the test bed is made of."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_PACKAGES = {
    "libvirtd": "libvirt-daemon-system",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "losetup": "mount",
    "tail": "coreutils",
    "bash": "bash",
    "env": "coreutils",
    "cpio": "cpio",
    "mmdebstrap": "mmdebstrap",
    "depmod": "kmod",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "unshare": "util-linux",
    "mount": "mount",
    "apt-get": "apt",
    "apt-cache": "apt",
    "dpkg": "dpkg",
    "ldd": "libc-bin",
    "ssh-keygen": "openssh-client",
}


class MissingToolError(RuntimeError):
    """A program the test bed needs is not installed; the text names its Debian package."""


class ToolFailedError(RuntimeError):
    """A program ended badly or too late; the text has the last of what it said."""


def tool(name: str) -> str:
    """Give the absolute path of a program.

    Raises:
        MissingToolError: It is not installed.
    """
    path = shutil.which(name, path=_PATH)
    if path is None:
        package = _PACKAGES.get(name, name)
        raise MissingToolError(f"{name} is not installed: apt-get install {package}")
    return path


def missing(names: Iterable[str] = _PACKAGES) -> list[str]:
    """Name the Debian packages of programs that are not installed, sorted; of all, by default."""
    return sorted({_PACKAGES[name] for name in names if not _installed(name)})


def _installed(name: str) -> bool:
    return shutil.which(name, path=_PATH) is not None


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    limit_s: float = 60,
) -> str:
    """Run a program to its end and give what it printed; blocks for at most `limit_s` seconds.

    Args:
        argv: Program, looked up with `tool` unless it is a path, and its arguments.
        cwd: Where it runs.
        stdin: What it reads.
        environment: Variables to set besides our own.
        limit_s: Seconds after which it is killed.

    Raises:
        MissingToolError: The program is not installed.
        ToolFailedError: It ended with another status than 0, or was killed for being late.
    """
    program = str(argv[0])
    command = [program if "/" in program else tool(program), *map(str, argv[1:])]
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            input=stdin,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolFailedError(f"{' '.join(command)}: not done after {limit_s:g} s") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-2000:]
        raise ToolFailedError(f"{' '.join(command)}: status {done.returncode}: {said}")
    return done.stdout.decode(errors="replace")
