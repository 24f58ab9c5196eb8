"""Disks that boot by themselves: GRUB before one partition, for a BIOS, put there without mounting.

GRUB's first sector loads what stands right behind it, up to the partition; that knows ext file systems
and reads its menu from the partition of the disk it came from.
"""

from __future__ import annotations

import platform
import re
import shutil
import time
from pathlib import Path

from components.images.building import make_filesystem
from components.images.partitions import SECTOR, START, first_sector
from components.images.timeless import settle
from engine.core.faults import BadDescription, Refused
from engine.runtime.commands import search_path
from engine.runtime.effects import Site

BOOTABLE = ("none", "direct", "grub")
"""How a guest can boot from an image."""
MODULES = (
    "biosdisk", "part_msdos", "ext2", "normal", "configfile", "linux", "serial", "terminal",
)  # fmt: skip
PLATFORM = "i386-pc"
FOLDER = Path("/usr/lib/grub") / PLATFORM
"""Where Debian's package grub-pc-bin has what the disk boots from."""
MENU = "boot/grub/smartdomains.cfg"
"""The menu in the image; a `grub.cfg` that a system has of its own is left alone."""
CONSOLE = "console=ttyS0"
ARCHES = {"amd64", "i386"}
_MACHINES = {"x86_64", "amd64", "i386", "i486", "i586", "i686"}
_WORD = re.compile(r"[!#-&(-\[\]-~]+")
"""A word that stays one between single quotes."""


def check_extra(bootable: str, extra: str, where: str) -> None:
    """Refuse words for the kernel's command line where the image does not hold that.

    Raises:
        BadDescription: There are some.
    """
    if extra and bootable != "grub":
        raise BadDescription(
            f'extra is for bootable "grub", and bootable is {bootable}', code="SF-IMAGE-008",
            where=where, hint="say extra on the machine that boots the kernel",
        )  # fmt: skip


def check_grub(where: str, *, arch: str = "", extra: str = "") -> None:
    """Refuse to make a disk that boots by itself where that cannot be done.

    Args:
        where: Path of the component.
        arch: Debian's name of the architecture of the guest; empty: that of the host.
        extra: Words for the kernel's command line.

    Raises:
        BadDescription: It is for another architecture, or a word is none.
        Refused: A program, or GRUB itself, is not installed.
    """
    machine = platform.machine()
    if (arch and arch not in ARCHES) or (not arch and machine not in _MACHINES):
        raise BadDescription(
            f'bootable "grub" is for a BIOS, which {arch or machine} has not', code="SF-IMAGE-008",
            where=where, hint='say bootable "direct", and hand kernelPath to the machine',
        )  # fmt: skip
    strange = [word for word in extra.split() if _WORD.fullmatch(word) is None]
    if strange:
        raise BadDescription(
            f"extra: {strange[0]!r} is no word for a kernel's command line", code="SF-IMAGE-008",
            where=where, hint="printable ASCII without quotation marks and backslashes",
        )  # fmt: skip
    missing = {
        "grub-common": shutil.which("grub-mkimage", path=search_path()) is None,
        "grub-pc-bin": not (FOLDER / "boot.img").is_file(),
        "e2fsprogs": shutil.which("mke2fs", path=search_path()) is None,
    }
    packages = [package for package, absent in missing.items() if absent]
    if packages:
        raise Refused(
            f'bootable "grub" needs packages {", ".join(packages)} on this host', code="SF-IMAGE-011",
            where=where, hint=f"apt-get install {' '.join(packages)}",
        )  # fmt: skip


def menu(kernel: str, ramdisk: str, *, root: str, extra: str) -> str:
    r"""Return a menu of one system, which is booted at once.

    Args:
        kernel: Path in the image.
        ramdisk: Path in the image; empty for none.
        root: Where the kernel finds its root, as in `root=`.
        extra: Further words for its command line.

    Raises:
        Refused: A path cannot be written in a menu.

    Example:
        >>> print(menu("vmlinuz", "", root="LABEL=root", extra="quiet").splitlines()[-2])
            linux '/vmlinuz' 'root=LABEL=root' 'ro' 'console=ttyS0' 'quiet'
    """
    words = [f"root={root}", "ro", *([] if "console=" in extra else [CONSOLE]), *extra.split()]
    given = " ".join(f"'{word}'" for word in words)
    lines = [f"linux {_quoted(kernel)} {given}"]
    lines += [f"initrd {_quoted(ramdisk)}"] if ramdisk else []
    return "".join((
        "serial --unit=0 --speed=115200\nterminal_input serial\nterminal_output serial\n",
        "set timeout=0\nmenuentry Linux {\n", *(f"    {line}\n" for line in lines), "}\n",
    ))  # fmt: skip


def _quoted(path: str) -> str:
    whole = f"/{path.lstrip('/')}"
    if _WORD.fullmatch(whole) is None:
        raise Refused(
            f"{path!r} cannot be named in GRUB's menu", code="SF-IMAGE-007",
            hint="paths of kernel and ramdisk have no blanks and quotation marks",
        )  # fmt: skip
    return f"'{whole}'"


def root_of(ramdisk: str, disk_id: int) -> str:
    """Return how a kernel names the partition: only what runs from a RAM disk reads labels.

    Example:
        >>> root_of("initrd.img", 1), root_of("", 1)
        ('LABEL=root', 'PARTUUID=00000001-01')
    """
    return "LABEL=root" if ramdisk else f"PARTUUID={disk_id:08x}-01"


def _folder_in(tree: Path, wanted: str) -> Path:
    """Return a folder of a tree, made if need be, which is reached by no link."""
    path = tree
    for part in Path(wanted).parts:
        path /= part
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise Refused(
                f"{path.relative_to(tree)} is no folder in the image, so GRUB's menu has no place",
                code="SF-IMAGE-007", hint='say bootable "direct"',
            )  # fmt: skip
        path.mkdir(exist_ok=True, mode=0o755)
    return path


async def make_bootable(
    at: Site, tree: Path, image: Path, *, kernel: str, ramdisk: str, extra: str, fs: str,
    size_bytes: int, uuid: str, fixed: bool = True,
) -> None:  # fmt: skip
    """Make a disk from a folder that boots a kernel in it.

    Args:
        at: Where.
        tree: The system; it gets a menu.
        image: The disk to be.
        kernel: Path in the tree.
        ramdisk: Path in the tree; empty for none.
        extra: Further words for the kernel's command line.
        fs: Kind of file system.
        size_bytes: Of the disk.
        uuid: Of the file system; its first digits are the number of the disk.
        fixed: Have nothing in it say when it was made.

    Raises:
        Refused: The folder does not fit, or there is no place for the menu.
    """
    disk_id = int(uuid.replace("-", "")[:8], 16)
    text = menu(kernel, ramdisk, root=root_of(ramdisk, disk_id), extra=extra)
    await at.blocking(_write_menu, tree, text, fixed)
    core, config = Path(f"{image}.core"), Path(f"{image}.cfg")
    await at.blocking(config.write_text, f"configfile $prefix/{Path(MENU).name}\n")
    prefix = f"(,msdos1)/{Path(MENU).parent}"
    words = ("-O", PLATFORM, "-d", str(FOLDER), "-p", prefix, "-c", str(config), "-o", str(core))
    await at.run(("grub-mkimage", *words, *MODULES))
    await at.blocking(_write_loader, image, core, disk_id, size_bytes)
    await make_filesystem(
        at,
        tree,
        image,
        kind=fs,
        size_bytes=size_bytes - START,
        label="root",
        uuid=uuid,
        start=START,
        fixed=fixed,
    )


def _write_menu(tree: Path, text: str, fixed: bool) -> None:  # noqa: FBT001 - in a thread
    began_s = time.time()
    file = _folder_in(tree, str(Path(MENU).parent)) / Path(MENU).name
    file.unlink(missing_ok=True)
    file.write_text(text)
    if fixed:
        settle(tree, began_s)


def _write_loader(image: Path, core: Path, disk_id: int, size_bytes: int) -> None:
    data = core.read_bytes()
    if SECTOR + len(data) > START:
        raise Refused(f"GRUB has {len(data)} bytes, which do not fit before a partition")
    loader = (FOLDER / "boot.img").read_bytes()
    with image.open("wb") as file:
        file.write(first_sector(loader, disk_id=disk_id, size_bytes=size_bytes))
        file.write(data)
        file.truncate(size_bytes)
