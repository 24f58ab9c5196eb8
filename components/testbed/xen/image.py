"""What a Xen host boots from: the hypervisor, dom0's kernel, its initial RAM disk, its root disk.

`XenImage.build` makes them from Debian packages and this project's Python requirements. Our own code
is not in the image but on each host's disk, so that it is the code of the checkout.
"""

from __future__ import annotations

import gzip
import re
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import platformdirs

from components.testbed import initramfs
from components.testbed.cache import kept, key_of
from components.testbed.packages import dependency, unpack, versions
from components.testbed.tools import ToolFailedError, run
from components.testbed.xen import dom0_boot

ROOT_BYTES = 3 * 2**30
"""Size of the root disk; it is sparse."""

_SYSTEM, _KERNEL, _BUSYBOX = "xen-system-amd64", "linux-image-amd64", "busybox-static"
_IN_DOM0 = (
    *("libvirt-daemon", "libvirt-daemon-driver-xen", "libvirt-clients", "xenstore-utils"),
    *("lvm2", "thin-provisioning-tools", "e2fsprogs", "qemu-utils", "qemu-guest-agent", "python3"),
    *("iproute2", "iputils-ping", "kmod", "udev", "netbase", "bridge-utils", "ethtool", "procps"),
)  # fmt: skip
_CHECKOUT = Path(__file__).parents[3]
_PACKAGES = "usr/local/lib/python3.11/dist-packages"
_BOOTSTRAP_S, _PIP_S = 900.0, 600.0
_MOST_KEPT = 2


class XenImage(msgspec.Struct, frozen=True):
    """A built image.

    Attributes:
        folder: Where its parts are.
    """

    folder: Path

    @property
    def xen(self) -> Path:
        """The hypervisor, which QEMU boots."""
        return self.folder / "xen"

    @property
    def kernel(self) -> Path:
        """The kernel of dom0."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """Mounts the root disk and hands over to it."""
        return self.folder / "initrd.gz"

    @property
    def root(self) -> Path:
        """ext4, raw, sparse; never to be written to, but to be put overlays on."""
        return self.folder / "root.ext4"

    @classmethod
    def build(cls, cache: Path) -> XenImage:
        """Give the image, made now or taken from the cache; says on standard error what it does.

        Blocks: for one to three minutes and a download of some 150 MB when it is made. Several
        processes may call at once; one of them makes it.

        Args:
            cache: Folder for all images; made when it is not there.

        Raises:
            MissingToolError: A program is not installed.
            ToolFailedError: A package cannot be had, or a step failed; the cache is unchanged.
        """
        if sys.version_info[:2] != (3, 11):
            raise ToolFailedError("the Xen host's Python is 3.11, so ours must be, too")
        hypervisor = dependency(_SYSTEM, r"xen-hypervisor-[0-9.]+-amd64")
        utilities = dependency(_SYSTEM, r"xen-utils-[0-9.]+")
        kernel = dependency(_KERNEL, r"linux-image-\S+")
        loose = versions([hypervisor, kernel, _BUSYBOX])
        inside = versions([utilities, *_IN_DOM0])
        required = dict.fromkeys(_requirements(), "required")
        constraints = str(_CHECKOUT / "constraints.txt")
        scripts = [__file__, dom0_boot.__file__, initramfs.__file__, constraints]
        key = key_of({**loose, **inside, **required}, scripts)

        def make(scratch: Path, output: Path) -> None:
            _Making(scratch, output).run(loose, inside)

        return cls(kept(cache, key, make, most=_MOST_KEPT))


def default_cache() -> Path:
    """Give this user's folder for built Xen hosts; not made yet."""
    return platformdirs.user_cache_path("smartdomains") / "xen"


class _Project(msgspec.Struct, frozen=True):
    dependencies: list[str]


class _Facts(msgspec.Struct, frozen=True):
    project: _Project


class _Making:
    """One build of an image."""

    def __init__(self, scratch: Path, output: Path) -> None:
        self._scratch, self._output = scratch, output
        self._began = time.monotonic()

    def _say(self, what: str) -> None:
        sys.stderr.write(f"Xen image: {time.monotonic() - self._began:3.0f} s: {what}\n")
        sys.stderr.flush()

    def run(self, loose: Mapping[str, str], inside: Mapping[str, str]) -> None:
        """Fill the output folder."""
        self._say("kernel and hypervisor")
        unpacked = unpack(loose, self._scratch)
        boot = unpacked / "boot"
        kernel = next(boot.glob("vmlinuz-*"))
        shutil.copyfile(kernel, self._output / "vmlinuz")
        (xen,) = (path for path in boot.glob("xen-*.gz") if not path.is_symlink())
        # QEMU's loader wants the plain ELF file.
        (self._output / "xen").write_bytes(gzip.decompress(xen.read_bytes()))
        self._make_initrd(unpacked)
        self._say(f"Debian packages of dom0 ({len(inside)} named)")
        root = self._scratch / "root"
        _bootstrap(root, inside)
        self._say("Python packages of dom0")
        _add_python_packages(root)
        self._say("root disk")
        version = kernel.name.removeprefix("vmlinuz-")
        _add_kernel_modules(root, unpacked, version)
        _repair(root)
        initramfs.add_script(root / "sbin/dom0-init", dom0_boot.ROOT_INIT)
        disk = self._output / "root.ext4"
        run(
            ["mke2fs", "-q", "-t", "ext4", "-d", root, "-L", "dom0", disk, str(ROOT_BYTES // 1024)],
            limit_s=300,
        )
        self._say("done")

    def _make_initrd(self, unpacked: Path) -> None:
        root = self._scratch / "initrd"
        for folder in ("proc", "sys", "dev", "root", "sbin"):
            (root / folder).mkdir(parents=True)
        initramfs.add_busybox(root, unpacked)
        initramfs.add_modules(root / "lib/modules", unpacked, dom0_boot.BOOT_MODULES)
        initramfs.add_script(root / "init", dom0_boot.BOOT_INIT)
        initramfs.pack(root, self._output / "initrd.gz")


def _bootstrap(root: Path, inside: Mapping[str, str]) -> None:
    """Install dom0's Debian packages into a folder, from where this machine has its own."""
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    suite = re.search(r"^VERSION_CODENAME=(\w+)", release, re.MULTILINE)
    if suite is None:
        raise ToolFailedError(
            "the Xen host is made of this machine's Debian, but it says no codename"
        )
    without = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
    run(
        [
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"),
            *('--aptopt=Apt::Install-Recommends "false"', f"--include={','.join(sorted(inside))}"),
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in without),
            *(suite[1], root),
        ],
        limit_s=_BOOTSTRAP_S,
    )


def _requirements() -> list[str]:
    """Give the Python packages our code requires."""
    facts = msgspec.toml.decode((_CHECKOUT / "pyproject.toml").read_bytes(), type=_Facts)
    return facts.project.dependencies


def _add_python_packages(root: Path) -> None:
    """Install what our code requires, at the versions we are tested with."""
    run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-compile", "--target", root / _PACKAGES, "-c", _CHECKOUT / "constraints.txt"),
            *_requirements(),
        ],
        limit_s=_PIP_S,
    )
    (root / _PACKAGES / "smartdomains.pth").write_text("/opt/smartdomains\n")
    # Compiled here: it would take dom0 minutes.
    run(
        [
            *(sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
            *("-s", root, root / _PACKAGES, root / "usr/lib/python3.11"),
        ],
        limit_s=_PIP_S,
    )


def _add_kernel_modules(root: Path, unpacked: Path, version: str) -> None:
    """Copy the modules dom0 inserts, and all they need."""
    run(["depmod", "-b", unpacked, version])
    source, target = unpacked / "lib/modules" / version, root / "lib/modules" / version
    needs: dict[str, list[str]] = {}
    for line in (source / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[Path(path).stem.replace("-", "_")] = [path, *rest.split()]
    wanted = [*dom0_boot.MODULES, *dom0_boot.BOOT_MODULES]
    for path in {path for module in wanted for path in needs[module.replace("-", "_")]}:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target / path)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copyfile(source / name, target / name)
    run(["depmod", "-b", root, version])


def _repair(root: Path) -> None:
    """Take out of dom0 what would stop libvirt in an emulated machine."""
    # A driver that cannot start, for want of its user, takes the whole daemon down.
    for driver in (root / "usr/lib").rglob("libvirt_driver_qemu.so"):
        driver.unlink()
    # The emulator lacks this feature, and without it no CPU model fits.
    model = root / "usr/share/libvirt/cpu_map/x86_486.xml"
    lines = model.read_text().splitlines(keepends=True)
    model.write_text("".join(line for line in lines if "'vme'" not in line and '"vme"' not in line))


def main() -> int:
    """Build the image if need be and print where it is, for shell scripts to evaluate."""
    image = XenImage.build(default_cache())
    sys.stdout.write(
        f"XEN={image.xen}\nKERNEL={image.kernel}\nINITRD={image.initrd}\nROOT={image.root}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
