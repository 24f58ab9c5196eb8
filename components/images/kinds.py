"""What an image is, told by its content and never by its name."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from msgspec import Struct

from engine.core.faults import Refused

CHUNK = 2**20
_EXT_MAGIC = (0x438, b"\x53\xef")
_QCOW2 = b"QFI\xfb"
_TAR = (257, b"ustar")
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")


class ImageFacts(Struct, frozen=True):
    """What is known of an image.

    Attributes:
        path: Absolute path on the host.
        kind: `raw` (a disk or filesystem), `qcow2`, `tar` (compressed or not), or `directory`.
        size_bytes: What it needs at least on a volume.
    """

    path: str
    kind: str
    size_bytes: int


def examine(path: Path) -> ImageFacts:
    """Look at an image; blocks.

    Raises:
        Refused: It is missing, cannot be read, or is no image.
    """
    try:
        if path.is_dir():
            size = sum(file.lstat().st_size for file in path.rglob("*") if not file.is_symlink())
            return ImageFacts(str(path), "directory", size)
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
        return ImageFacts(str(path), "qcow2", int.from_bytes(head[24:32], "big"))
    if head.startswith(_COMPRESSED) or head[_TAR[0] :].startswith(_TAR[1]):
        return ImageFacts(str(path), "tar", _unpacked_size(path))
    if size == 0 or size % 512:
        raise Refused(
            f"{path} is not an image: {size} bytes are no whole number of sectors, and it is no archive",
            code="SF-IMAGE-003",
        )
    return ImageFacts(str(path), "raw", size)


def _unpacked_size(path: Path) -> int:
    try:
        with tarfile.open(path) as archive:
            return sum(member.size for member in archive)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise Refused(f"archive {path} cannot be read: {error}", code="SF-IMAGE-002") from error


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
