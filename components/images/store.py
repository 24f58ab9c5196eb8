"""Images kept by content on a host: one file for each digest, however many use it. Blocks.

    sha256/xx/DIGEST        the image, readable only
    sha256/xx/DIGEST.json   what it is, and when it was used last (the time of this file)
    recipes/KEY.json        what a recipe made
    refs/DIGEST/WHO         somebody uses it
    making/                 what is being made or fetched

Several daemons may share a folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from components.images.kinds import ImageFacts, digest_of
from engine.core.decoding import from_json
from engine.core.faults import Refused
from engine.folders import cache_home
from engine.runtime.effects import Owner

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
KEY = re.compile(r"[0-9a-f]{32}")


class Kept(Struct, frozen=True):
    """What is known of an image that is kept.

    Attributes:
        digest: `sha256:...`.
        size_bytes: Of the file.
        virtual_bytes: What it needs at least on a volume.
        kind: `raw`, `qcow2`, `tar`, or `file` for a kernel or RAM disk.
        origin: Where it is from, for people.
        holds: As in `ImageFacts`.
        private: Other users of the host may not read it: it holds a secret.
    """

    digest: str
    size_bytes: int
    virtual_bytes: int
    kind: str
    origin: str = ""
    holds: tuple[str, ...] = ()
    private: bool = False


class Made(Struct, frozen=True):
    """What a recipe made: digests of an image, and of kernel and RAM disk lifted out of it."""

    image: str
    kernel: str = ""
    ramdisk: str = ""

    @property
    def digests(self) -> tuple[str, ...]:
        """Return all that are there."""
        return tuple(each for each in (self.image, self.kernel, self.ramdisk) if each)


class Source(Struct, frozen=True):
    """A file that is to be kept, moved away from where it is."""

    path: Path
    kind: str
    virtual_bytes: int = 0
    origin: str = ""
    holds: tuple[str, ...] = ()
    private: bool = False


def default_folder() -> Path:
    """Return the folder for images where none is named; not made yet."""
    return cache_home() / "images"


def _is_at(file: IO[str], path: Path) -> bool:
    """Say whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


class Store:
    """The images in one folder."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made on first need."""
        self.folder = folder

    # -- looking

    def path(self, digest: str) -> Path:
        """Return where an image of that digest is, or would be.

        Raises:
            Refused: It is no digest.
        """
        if DIGEST.fullmatch(digest) is None:
            raise Refused(f"{digest!r} is no digest of an image", code="SF-IMAGE-004")
        number = digest.partition(":")[2]
        return self.folder / "sha256" / number[:2] / number

    def find(self, digest: str) -> Kept | None:
        """Return what is known of an image; nothing if it is not here."""
        path = self.path(digest)
        try:
            kept = from_json(Path(f"{path}.json").read_bytes(), Kept)
            size = path.stat().st_size
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return kept if size == kept.size_bytes else None

    def facts(self, digest: str) -> ImageFacts | None:
        """Return an image as backends know it; nothing if it is not here."""
        kept = self.find(digest)
        if kept is None:
            return None
        return ImageFacts(str(self.path(digest)), kept.kind, kept.virtual_bytes, kept.holds)

    def made_by(self, key: str) -> Made | None:
        """Return what a recipe has made; nothing if not all of it is here."""
        try:
            made = from_json(self._recipe(key).read_bytes(), Made)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return made if all(self.find(each) for each in made.digests) else None

    def _recipe(self, key: str) -> Path:
        if KEY.fullmatch(key) is None:
            raise Refused(f"{key!r} is no key of a recipe", code="SF-IMAGE-004")
        return self.folder / "recipes" / f"{key}.json"

    # -- keeping

    def keep(self, source: Source, digest: str = "") -> Kept:
        """Move a file into the store.

        Args:
            source: The file, in the same filesystem.
            digest: What it must have; nothing: whatever it has.

        Raises:
            Refused: It has another digest; the file stays where it is.
        """
        found = digest_of(source.path)
        if digest and found != digest:
            raise Refused(
                f"{source.origin or source.path} has digest {found}, not {digest}",
                code="SF-IMAGE-004", hint="get the image anew, or correct the digest",
            )  # fmt: skip
        size = source.path.stat().st_size
        kept = Kept(
            found, size, source.virtual_bytes or size, source.kind, source.origin, source.holds,
            source.private,
        )  # fmt: skip
        path = self.path(found)
        path.parent.mkdir(parents=True, exist_ok=True)
        source.path.chmod(0o400 if source.private else 0o444)
        with source.path.open("rb") as file:
            os.fsync(file.fileno())
        source.path.replace(path)
        _write(Path(f"{path}.json"), kept)
        return kept

    def note_made(self, key: str, made: Made) -> None:
        """Remember what a recipe has made."""
        self._recipe(key).parent.mkdir(parents=True, exist_ok=True)
        _write(self._recipe(key), made)

    def scratch(self, name: str) -> Path:
        """Return a place to make something in; the caller removes it."""
        return self.folder / "making" / name

    @contextlib.contextmanager
    def try_lock(self, name: str) -> Iterator[bool]:
        """Hold the lock of a digest or recipe if nobody has it; it is given back however we end."""
        folder = self.folder / "making"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name.replace(':', '-')}.lock"
        while True:
            with path.open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield False
                    return
                if not _is_at(file, path):
                    continue  # who had it before has removed it meanwhile
                try:
                    yield True
                finally:
                    path.unlink(missing_ok=True)
                return

    # -- using

    def refer(self, digest: str, who: str, text: str) -> None:
        """Say that somebody uses an image: it stays as long as that is so."""
        folder = self.folder / "refs" / digest.partition(":")[2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / who).write_text(text)
        with contextlib.suppress(FileNotFoundError):
            Path(f"{self.path(digest)}.json").touch()

    def let_go(self, who: str, digest: str = "*") -> None:
        """Say that somebody does not use an image any more, or any image."""
        for path in (self.folder / "refs").glob(f"{digest.partition(':')[2] or '*'}/{who}"):
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()

    def users(self, digest: str) -> int:
        """Count those who use an image."""
        folder = self.folder / "refs" / digest.partition(":")[2]
        return len(list(folder.iterdir())) if folder.exists() else 0

    def all(self) -> list[Kept]:
        """Return all images, the one used longest ago first."""
        found = []
        for path in (self.folder / "sha256").glob("??/*.json"):
            kept = self.find(f"sha256:{path.name.removesuffix('.json')}")
            if kept is not None:
                found.append((path.stat().st_mtime_ns, kept))
        return [kept for _, kept in sorted(found, key=lambda pair: pair[0])]

    def trim(self, most_bytes: int) -> list[str]:
        """Remove images nobody uses, longest unused first, until the rest fits; return their digests."""
        images = self.all()
        size = sum(image.size_bytes for image in images)
        gone = []
        for image in images:
            if size <= most_bytes:
                break
            if self.remove_unused(image.digest):
                size -= image.size_bytes
                gone.append(image.digest)
        return gone

    def discard(self, key: str, made: Made) -> None:
        """Remove what a recipe has made and nobody uses."""
        for digest in made.digests:
            self.remove_unused(digest)
        self._recipe(key).unlink(missing_ok=True)

    def remove_unused(self, digest: str) -> bool:
        """Remove an image unless somebody uses it; say whether it is gone."""
        if self.users(digest):
            return False
        path = self.path(digest)
        Path(f"{path}.json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        return True

    @classmethod
    def holding(cls, path: Path) -> tuple[Store, str] | None:
        """Return the store an image is in, and its digest; nothing if it is in none."""
        digest = f"sha256:{path.name}"
        if len(path.parents) < 3 or DIGEST.fullmatch(digest) is None:
            return None
        store = cls(path.parents[2])
        return (store, digest) if store.path(digest) == path else None


def name_of(owner: Owner) -> str:
    """Return the name under which a component uses images."""
    text = f"{owner.community}/{owner.application}/{owner.path}"
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]}-{owner.incarnation}"


def key_of(recipe: Struct) -> str:
    """Return the key of a recipe: the same recipe makes the same image."""
    data = msgspec.json.encode((type(recipe).__name__, recipe), order="sorted")
    return hashlib.sha256(data).hexdigest()[:32]


def remove_tree(path: Path) -> None:
    """Remove a folder and all in it; success if it is not there.

    Raises:
        Refused: Something is mounted inside: it would be emptied as well.
    """
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    inside = [line.split()[4] for line in mounts if line.split()[4].startswith(f"{path}/")]
    if inside:
        raise Refused(f"{path} is not removed: {inside[0]} is mounted", code="SF-IMAGE-012")
    shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, data: Struct) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(msgspec.json.encode(data))
    part.replace(path)
