"""What an image is, told by its content and never by its name."""

from __future__ import annotations

import hashlib
import posixpath
import re
import tarfile
from pathlib import Path

from msgspec import Struct

from engine.core.faults import Refused
from engine.runtime.kinds import BadValueError, Kind, shown, strings
from sfdl.values import Value

CHUNK = 2**20
_EXT_MAGIC = (0x438, b"\x53\xef")
_QCOW2 = b"QFI\xfb"
_QCOW2_HEADER, _QCOW2_VERSIONS = 72, {2, 3}
_TAR = (257, b"ustar")
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")


KINDS = ("raw", "qcow2", "tar", "directory")
"""What an image can be."""
HOLDS = ("etc", "cloud-init", "boots")
"""What can be known to be in one."""


class ImageFacts(Struct, frozen=True):
    """What is known of an image.

    Attributes:
        path: Absolute path on the host.
        kind: `raw` (a disk or filesystem), `qcow2`, `tar` (compressed or not), or `directory`.
        size_bytes: What it needs at least on a volume.
        holds: What is known to be in it: `etc` (it is a system), `cloud-init`, `boots` (it boots by
            itself).
    """

    path: str
    kind: str
    size_bytes: int
    holds: tuple[str, ...] = ()


_MARKS = {"etc/hostname": "etc", "etc/passwd": "etc", "usr/bin/cloud-init": "cloud-init"}
"""Files of a system that tell what it holds."""


def examine(path: Path) -> ImageFacts:
    """Look at an image; blocks.

    Raises:
        Refused: It is missing, cannot be read, or is no image.
    """
    try:
        if path.is_dir():
            size = sum(file.lstat().st_size for file in path.rglob("*") if not file.is_symlink())
            found = {word for mark, word in _MARKS.items() if (path / mark).is_file()}
            return ImageFacts(str(path), "directory", size, tuple(sorted(found)))
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(0x440)
    except FileNotFoundError as error:
        raise Refused(
            f"there is no image {path}", code="SF-IMAGE-001", hint="is the path right on that host?"
        ) from error
    except OSError as error:
        raise Refused(
            f"image {path} cannot be read: {error.strerror}", code="SF-IMAGE-002",
            hint=f"the daemon runs as user {_user()}; give it the right to read",
        ) from error  # fmt: skip
    if head.startswith(_QCOW2):
        return ImageFacts(str(path), "qcow2", _qcow2_size(path, head))
    if head.startswith(_COMPRESSED) or head[_TAR[0] :].startswith(_TAR[1]):
        return _archive_facts(path)
    if size == 0 or size % 512:
        raise Refused(
            f"{path} is not an image: {size} bytes are no whole number of sectors, and it is no archive",
            code="SF-IMAGE-003",
        )
    return ImageFacts(str(path), "raw", size)


def _qcow2_size(path: Path, head: bytes) -> int:
    version = int.from_bytes(head[4:8], "big")
    if len(head) < _QCOW2_HEADER or version not in _QCOW2_VERSIONS:
        raise Refused(
            f"{path} is not an image: it begins as a qcow2 file, but its header is not one",
            code="SF-IMAGE-003", hint="was it copied as a whole? qemu-img check tells",
        )  # fmt: skip
    return int.from_bytes(head[24:32], "big")


def _archive_facts(path: Path) -> ImageFacts:
    try:
        with tarfile.open(path) as archive:
            size, found = 0, set()
            for member in archive:
                refuse_escape(path, member)
                size += member.size
                found.add(_MARKS.get(posixpath.normpath(member.name), ""))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise Refused(f"archive {path} cannot be read: {error}", code="SF-IMAGE-002") from error
    return ImageFacts(str(path), "tar", size, tuple(sorted(found - {""})))


def refuse_escape(archive: Path, member: tarfile.TarInfo) -> None:
    """Refuse an archive entry that would leave the folder it is unpacked to.

    A symbolic link with an absolute target stays inside: for the system in the image, its root is
    that folder. Nothing is ever written through it while unpacking.

    Raises:
        Refused: Its name or link target is absolute or climbs out.
    """
    names = [member.name]
    if member.islnk():
        names.append(member.linkname)
    escapes = any(name.startswith("/") or ".." in Path(name).parts for name in names)
    if member.issym() and not member.linkname.startswith("/"):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
        escapes = escapes or target == ".." or target.startswith("../")
    if escapes:
        raise Refused(
            f"archive {archive}: entry {member.name!r} would leave its folder", code="SF-IMAGE-006",
            hint="pack it again from inside its folder: tar -C FOLDER -cf ARCHIVE .",
        )  # fmt: skip


def digest_of(path: Path) -> str:
    """Return `sha256:` and the digest of a file's content; blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _user() -> str:
    import getpass  # noqa: PLC0415 - for a message only

    return getpass.getuser()


_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def _digest(value: Value) -> str:
    if isinstance(value, str) and (not value or _DIGEST.fullmatch(value)):
        return value
    raise BadValueError(f"must be sha256: and 64 hexadecimal digits (got {shown(value)})")


def _holds(value: Value) -> tuple[str, ...]:
    words = strings.read(value)
    strange = [word for word in words if word not in HOLDS]
    if strange:
        raise BadValueError(f"{shown(strange[0])} is none of {', '.join(HOLDS)}")
    return words


holds_kind = Kind("list of words", "Vector", _holds)
"""Words of `HOLDS`."""
digest_kind = Kind("digest", "String", _digest)
"""`sha256:` and 64 hexadecimal digits; may be empty."""
