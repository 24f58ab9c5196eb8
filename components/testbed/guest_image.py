"""The tiny guest: a Debian cloud kernel, an initial RAM disk with busybox, and a small base disk.

`GuestImage.build` makes it from Debian packages, which are downloaded and unpacked, never
installed. Two builds from the same packages are the same, bit for bit.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import msgspec
import platformdirs

from components.testbed import guest_init, initramfs
from components.testbed.cache import kept, key_of
from components.testbed.packages import dependency, unpack, versions
from components.testbed.tools import run

READY = "SD-READY"
"""Begins the console line that says the guest is up."""

BEAT = "SD-BEAT"
"""Begins the console line that says the guest is alive."""

MEMORY_BYTES = 96 * 2**20
"""Memory to give it; below 80 MiB it does not come up."""

_KERNEL, _BUSYBOX, _AGENT = "linux-image-cloud-amd64", "busybox-static", "qemu-guest-agent"
_SCRIPTS = ("sd-context", "sd-apply")
_DISK_UUID = "5d000000-0000-4000-8000-000000000001"
_FOLDERS = (
    "bin dev etc/acpi/PWRF etc/network/if-up.d lib/modules mnt proc root run sbin sys tmp usr/sbin "
    "var/log www/cgi-bin"
)


class GuestImage(msgspec.Struct, frozen=True, kw_only=True):
    """Where the parts of a built guest are.

    Attributes:
        kernel: Boots directly; console on ttyS0.
        initrd: Gzipped cpio archive with /init.
        disk: ext4, raw, 16 MiB, holding /hello; a base to copy or to put overlays on, never
            to be written to.
        key: Digest of what it was made from.
    """

    kernel: Path
    initrd: Path
    disk: Path
    key: str

    @classmethod
    def build(cls, cache: Path) -> GuestImage:
        """Give the guest, made now or taken from the cache.

        Blocks: for a few seconds and a download of about 20 MB when it is made. Several processes
        may call at once; one of them makes it.

        Args:
            cache: Folder for all images; made when it is not there.

        Raises:
            MissingToolError: A program is not installed.
            ToolFailedError: A package cannot be had, or a step failed; the cache is unchanged.
        """
        parts = _parts()
        inside = (str(files("descriptions").joinpath("guest", name)) for name in _SCRIPTS)
        modules = (__file__, guest_init.__file__, initramfs.__file__, *inside)
        made = kept(
            cache, key_of(parts, modules), lambda scratch, output: _make(scratch, output, parts)
        )
        return cls(
            kernel=made / "vmlinuz",
            initrd=made / "initrd.gz",
            disk=made / "base.ext4",
            key=made.name,
        )

    @staticmethod
    def cmdline(name: str, *, beat_s: float = 1, address: str = "", console: str = "ttyS0") -> str:
        """Write the kernel command line.

        Args:
            name: The guest's name, as it will say on its console.
            beat_s: Seconds between beats, > 0.
            address: With prefix, as "10.77.0.101/24"; empty: the last four octets of its MAC.
            console: "ttyS0", or "hvc0" under Xen.
        """
        words = [f"console={console}", "quiet", "panic=1", f"sd.name={name}", f"sd.con={console}"]
        words.append(f"sd.beat={beat_s:g}")
        if address:
            words.append(f"sd.ip={address}")
        return " ".join(words)


def default_cache() -> Path:
    """Give this user's folder for built guests; not made yet."""
    return platformdirs.user_cache_path("smartdomains") / "guest"


def mac_of(address: str) -> str:
    """Give the MAC from which the guest takes an IPv4 address, when told no other.

    Example:
        >>> mac_of("10.77.0.101")
        '52:54:0a:4d:00:65'
    """
    return ":".join(["52", "54", *(f"{int(octet):02x}" for octet in address.split("."))])


# -- what it is made from -------------------------------------------------------------------------


def _parts() -> dict[str, str]:
    """Give the packages to unpack and their versions; the kernel is found by its dependency."""
    return versions([dependency(_KERNEL, r"linux-image-\S+"), _BUSYBOX, _AGENT])


# -- making it ------------------------------------------------------------------------------------


def _make(scratch: Path, output: Path, parts: Mapping[str, str]) -> None:
    unpacked, root = unpack(parts, scratch), scratch / "root"
    root.mkdir()
    _fill_root(root, unpacked)
    initramfs.pack(root, output / "initrd.gz")
    kernel = next((unpacked / "boot").glob("vmlinuz-*"))
    shutil.copyfile(kernel, output / "vmlinuz")
    _make_disk(scratch, output / "base.ext4")


def _fill_root(root: Path, unpacked: Path) -> None:
    for folder in _FOLDERS.split():
        (root / folder).mkdir(parents=True, exist_ok=True)
    initramfs.add_busybox(root, unpacked)
    initramfs.add_modules(
        root / "lib/modules", unpacked, guest_init.MODULES, guest_init.FURTHER_MODULES
    )
    agent = unpacked / "usr/sbin/qemu-ga"
    shutil.copyfile(agent, root / "sbin/qemu-ga")
    (root / "sbin/qemu-ga").chmod(0o755)
    _copy_libraries(root, agent)
    for path, text in (
        ("init", guest_init.INIT),
        ("sbin/poweroff", guest_init.POWEROFF),
        ("sbin/reboot", guest_init.REBOOT),
        ("etc/acpi/PWRF/00000080", guest_init.POWEROFF),
        ("www/cgi-bin/status", guest_init.STATUS),
        *((f"sbin/{name}", _script(name)) for name in _SCRIPTS),
    ):
        initramfs.add_script(root / path, text)


def _script(name: str) -> str:
    """Return a script that images have, from the folder `guest` of the descriptions."""
    return files("descriptions").joinpath("guest", name).read_text("utf-8")


def _copy_libraries(root: Path, program: Path) -> None:
    """Copy what a program needs from this machine, to the same paths."""
    for library in re.findall(r"(/\S+) \(0x", run(["ldd", program])):
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(library, target)
        target.chmod(0o755)


def _make_disk(scratch: Path, target: Path) -> None:
    tree = scratch / "tree"
    tree.mkdir()
    (tree / "hello").write_text("hello from the base disk\n")
    os.utime(tree / "hello", (0, 0))
    os.utime(tree, (0, 0))
    options: list[str | Path] = ["-q", "-t", "ext4", "-d", tree, "-L", "sdbase", "-U", _DISK_UUID]
    fixed = f"hash_seed={_DISK_UUID},root_owner=0:0,lazy_itable_init=0"
    still = {"E2FSPROGS_FAKE_TIME": "1"}
    run(["mke2fs", *options, "-E", fixed, target, "16M"], environment=still)
    # The one time that is taken from the file and cannot be set on it.
    run(["debugfs", "-w", "-R", "sif /hello ctime @0", target], environment=still)


def main() -> int:
    """Build the guest if need be and print where it is, for shell scripts to evaluate."""
    image = GuestImage.build(default_cache())
    sys.stdout.write(f"KERNEL={image.kernel}\nINITRD={image.initrd}\nDISK={image.disk}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
