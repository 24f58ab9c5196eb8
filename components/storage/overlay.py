"""`OverlayStorageBackend`: a thin qcow2 layer for each domain over one image they share."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct
from typing_extensions import override

from components.images.kinds import ImageFacts, digest_of
from components.images.store import Store
from components.storage.backend import DiskOffer
from components.storage.loopback import FileStorageBackend
from components.storage.volume_file import VolumeFile
from engine.core.faults import Refused
from engine.runtime.attributes import attr
from engine.runtime.effects import Effect, NameTaken, Owner, Presence, Site
from engine.runtime.kinds import int_

BASES = {"raw", "qcow2"}


class Base(Struct, frozen=True):
    """What an overlay stands on, as it was when the overlay was made.

    Attributes:
        mtime_ns: Time of the last change, nanoseconds since 1970.
        digest: `sha256:...` if it is known: another time alone makes no other base then.
    """

    path: str
    format: str
    size: int
    mtime_ns: int
    digest: str = ""


class _Sidecar(Struct, frozen=True):
    owner: Owner
    base: Base


class OverlayFile(Effect, frozen=True):
    """A qcow2 file that holds what differs from its base.

    Its sidecar file has the owner, and the base as it was: an overlay on a base that has changed
    would be a corrupt disk, so it is refused.
    """

    path: str
    size_bytes: int
    base: Base
    cluster_kib: int

    @override
    def label(self) -> str:
        return f"overlay {self.path}"

    @property
    def sidecar(self) -> Path:
        """Return where owner and base are recorded."""
        return Path(f"{self.path}.owner.json")

    def _record(self) -> _Sidecar | None:
        try:
            return msgspec.json.decode(self.sidecar.read_bytes(), type=_Sidecar)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            return _Sidecar(Owner("", "", "", 0), self.base)

    @override
    async def look(self, at: Site) -> Presence:
        there = Path(self.path).exists()
        record = self._record()
        if record is None:
            return Presence.FOREIGN if there else Presence.ABSENT
        if not record.owner.same_place(at.owner):
            return Presence.FOREIGN
        return Presence.OURS if there else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        record = self._record()
        if record is not None and not record.owner.same_place(at.owner):
            raise NameTaken(f"{self.path} belongs to {record.owner.path or 'somebody else'}")
        await at.blocking(self._claim, at.owner)
        options = f"cluster_size={self.cluster_kib}k"
        await at.run((
            "qemu-img", "create", "-q", "-f", "qcow2", "-F", self.base.format, "-b", self.base.path,
            "-o", options, "--", self.path, str(self.size_bytes),
        ))  # fmt: skip
        return self

    def _claim(self, owner: Owner) -> None:
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        part = self.sidecar.with_name(f"{self.sidecar.name}.part")
        part.write_bytes(msgspec.json.encode(_Sidecar(owner, self.base)))
        part.replace(self.sidecar)
        kept = Store.holding(Path(self.base.path))
        if kept is not None:  # the image stays as long as there is a layer on it
            kept[0].refer(kept[1], self._reader, self.path)

    @property
    def _reader(self) -> str:
        return hashlib.sha256(self.path.encode()).hexdigest()[:16]

    @override
    async def undo(self, at: Site) -> None:
        record = self._record()
        if record is not None and record.owner == at.owner:
            await at.blocking(self._remove)

    def _remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            Path(self.path).unlink()
        self.sidecar.unlink(missing_ok=True)
        kept = Store.holding(Path(self.base.path))
        if kept is not None:
            kept[0].let_go(self._reader, kept[1])


def base_of(path: Path, format_: str, digest: str = "") -> Base:
    """Describe a base as it is now; blocks.

    Args:
        path: The base.
        format_: Of the base.
        digest: What it was found to have; one in a store is called so.
    """
    facts = path.stat()
    kept = Store.holding(path)
    known = digest or (kept[1] if kept is not None else "")
    return Base(str(path), format_, facts.st_size, facts.st_mtime_ns, known)


def check_base(base: Base) -> None:
    """Refuse a base that is not what an overlay was made on; blocks.

    Raises:
        Refused: It is gone or has changed (`StaleBase`).
    """
    try:
        now = base_of(Path(base.path), base.format, base.digest)
        touched = msgspec.structs.replace(now, mtime_ns=base.mtime_ns) == base != now
        if touched and base.digest and digest_of(Path(base.path)) == base.digest:
            return
    except OSError as error:
        raise Refused(
            f"StaleBase: {base.path} is gone: {error.strerror}", code="SF-STORE-008"
        ) from error
    if now != base:
        raise Refused(
            f"StaleBase: {base.path} has changed since the overlay was made on it",
            code="SF-STORE-008", hint="the overlay cannot be used any more; make it anew",
        )  # fmt: skip


class OverlayStorageBackend(FileStorageBackend, type="storage.overlay"):
    """Makes the root volume in no time: a qcow2 layer over an image that stays as it is."""

    cluster_size = attr(
        int_, 64, ge=4, le=2048, doc="Cluster size of the layer, in KiB.", called="clusterSize"
    )

    @override
    def space_wanted(self) -> int:
        return self.swap_size

    @override
    def check_image(self, image: ImageFacts) -> None:
        if image.kind not in BASES:
            raise Refused(
                f"{image.path} is a {image.kind}: an overlay needs a raw or qcow2 image",
                code="SF-STORE-009", where=self.path,
                hint="use a LoopbackStorageBackend, or make a disk of it first",
            )  # fmt: skip

    @override
    async def make_volumes(self, image: ImageFacts) -> list[DiskOffer]:
        base = await self.run_blocking(base_of, Path(image.path), image.kind, self.image_digest)
        path = str(self.folder() / self.names()[0])
        overlay = OverlayFile(path, self.volume_size, base, self.cluster_size)
        made = await self.make(overlay, executor=self.executor())
        return [DiskOffer("root", made.path, "file", "qcow2"), *await self.make_swap()]

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, OverlayFile):
                await self.run_blocking(check_base, effect.base)
        await super().on_adopt(effects)

    @override
    async def find_volumes(self, names: Sequence[str]) -> list[DiskOffer]:
        found = await super().find_volumes(names)
        record = OverlayFile(found[0].path, 0, Base("", "", 0, 0), 64)._record()  # noqa: SLF001 - same idea
        if record is not None:
            await self.run_blocking(check_base, record.base)
        return found

    @override
    def format_of(self, path: Path) -> str:
        with path.open("rb") as file:
            return "qcow2" if file.read(4) == b"QFI\xfb" else "raw"

    @override
    def offers_of(self, effects: Sequence[Effect]) -> list[DiskOffer]:
        found = []
        for effect in effects:
            if isinstance(effect, OverlayFile):
                found.append(DiskOffer("root", effect.path, "file", "qcow2"))
            elif isinstance(effect, VolumeFile):
                found.append(DiskOffer(effect.role, effect.path, "file", "raw"))
        return found


class Qcow2StorageBackend(OverlayStorageBackend, type="storage.qcow2"):
    """The overlay backend under its other name."""
