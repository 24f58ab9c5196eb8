"""Layers of qcow2: files that hold what differs from the file below them."""

from __future__ import annotations

import contextlib
import glob
import hashlib
from pathlib import Path
from typing import Self, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from typing_extensions import override

from components.images.kinds import digest_of
from components.images.store import Store
from components.storage.filling import overwrite
from components.storage.found import GivenUpVolume
from components.storage.using import refuse_used
from engine.core.decoding import from_json
from engine.core.faults import Refused
from engine.runtime.effects import Effect, NameTaken, Owner, Presence, Site


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


class Sidecar(Struct, frozen=True):
    """What the file beside a layer says of it.

    Attributes:
        owner: Whose it is.
        base: What it stands on.
        volume: Name of the volume whose frozen content the base is; empty: the base is an image.
    """

    owner: Owner
    base: Base
    volume: str = ""


def sidecar_of(layer: Path) -> Path:
    """Return where the owner and base of a layer are recorded."""
    return Path(f"{layer}.owner.json")


def recorded(layer: Path) -> Sidecar | None:
    """Return what is recorded of a layer, nothing if nothing is; blocks.

    What cannot be read is the record of somebody unknown, on a base that is not known either.
    """
    try:
        return from_json(sidecar_of(layer).read_bytes(), Sidecar)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        return Sidecar(Owner("", "", "", 0), Base("", "", 0, 0))


def let_go(layer: Path, base: Path) -> None:
    """Say that a layer does not stand on its base any more, where that is kept in a store; blocks."""
    kept = Store.holding(base)
    if kept is not None:
        kept[0].let_go(_reader(layer), kept[1])


def _reader(layer: Path) -> str:
    """Return what a store calls a layer that stands on one of its images."""
    return hashlib.sha256(str(layer).encode()).hexdigest()[:16]


class OverlayFile(Effect, frozen=True):
    """A qcow2 file that holds what differs from its base.

    Its sidecar file has the owner, and the base as it was: an overlay on a base that has changed
    would be a corrupt disk, so it is refused.
    """

    path: str
    size_bytes: int
    base: Base
    options: str
    wipe: bool = False

    @override
    def label(self) -> str:
        return f"overlay {self.path}"

    @override
    async def look(self, at: Site) -> Presence:
        there = Path(self.path).exists()
        record = recorded(Path(self.path))
        if record is None:
            return Presence.FOREIGN if there else Presence.ABSENT
        if not record.owner.same_place(at.owner):
            return Presence.FOREIGN
        return Presence.OURS if there else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        record = recorded(Path(self.path))
        if record is not None and not record.owner.same_place(at.owner):
            raise NameTaken(f"{self.path} belongs to {record.owner.path or 'somebody else'}")
        await at.blocking(self.record, at.owner)
        await at.run((
            "qemu-img", "create", "-q", "-f", "qcow2", "-F", self.base.format, "-b", self.base.path,
            "-o", self.options, "--", self.path, str(self.size_bytes),
        ))  # fmt: skip
        await at.blocking(Path(self.path).chmod, 0o600)
        return self

    @property
    def capacity_bytes(self) -> int:
        """Return what a guest sees."""
        return self.size_bytes

    def sized(self, size_bytes: int) -> Self:
        """Return the same layer, described as larger."""
        return replace(self, size_bytes=size_bytes)

    async def enlarge(self, at: Site, size_bytes: int) -> None:
        """Make the layer larger, unless it is as large already; nobody has it open."""
        words = ("qemu-img", "info", "--output=json", "--", self.path)
        found = from_json((await at.run(words)).stdout, dict[str, object])
        if cast("int", found["virtual-size"]) < size_bytes:
            await at.run(("qemu-img", "resize", "-q", "-f", "qcow2", self.path, str(size_bytes)))

    @override
    async def claim(self, at: Site) -> Self:
        record = recorded(Path(self.path))
        found = self if record is None else replace(self, base=record.base)
        await at.blocking(found.record, at.owner)
        return found

    def record(self, owner: Owner) -> None:
        """Write down whose it is and what it stands on, which stays as long; blocks."""
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        sidecar = sidecar_of(Path(self.path))
        part = sidecar.with_name(f"{sidecar.name}.part")
        part.write_bytes(msgspec.json.encode(self._beside(owner)))
        part.replace(sidecar)
        kept = Store.holding(Path(self.base.path))
        if kept is not None:  # the image stays as long as there is a layer on it
            kept[0].refer(kept[1], _reader(Path(self.path)), self.path)

    def _beside(self, owner: Owner) -> Sidecar:
        return Sidecar(owner, self.base)

    @override
    async def undo(self, at: Site) -> None:
        record = recorded(Path(self.path))
        if record is not None and record.owner == at.owner:
            await refuse_used(at, self.path)
            await at.blocking(self._remove)

    def _remove(self) -> None:
        if self.wipe:
            overwrite(Path(self.path))
        with contextlib.suppress(FileNotFoundError):
            Path(self.path).unlink()
        sidecar_of(Path(self.path)).unlink(missing_ok=True)
        let_go(Path(self.path), Path(self.base.path))


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
        touched = replace(now, mtime_ns=base.mtime_ns) == base != now
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


class Layer(OverlayFile, frozen=True):
    """A layer above what was frozen of a volume; undoing it thaws that.

    It is there once its base is read-only: one that a daemon has left before that counts as ours, for
    it is nobody else's, and is taken back.

    Attributes:
        volume: Name of the volume.
        role: Of the volume.
    """

    volume: str = ""
    role: str = "root"

    @override
    async def look(self, at: Site) -> Presence:
        found = await super().look(at)
        begun = found is Presence.ABSENT and not self.is_whole()
        return Presence.OURS if begun else found

    @override
    async def make(self, at: Site) -> Self:
        done = await super().make(at)
        await at.blocking(write_protect, Path(self.base.path), True)
        return done

    def is_whole(self) -> bool:
        """Say whether its base is frozen; blocks."""
        base = Path(self.base.path)
        return base.exists() and not base.stat().st_mode & WRITABLE

    @override
    def _beside(self, owner: Owner) -> Sidecar:
        return Sidecar(owner, self.base, self.volume)

    @override
    async def undo(self, at: Site) -> None:
        await super().undo(at)
        if not Path(self.path).exists():
            await at.blocking(write_protect, Path(self.base.path), False)


WRITABLE = 0o222
"""Bits of a mode that let somebody write."""


def write_protect(path: Path, on: bool) -> None:  # noqa: FBT001 - what it is called says which
    """Let nobody write to a file, or its owner again; blocks."""
    with contextlib.suppress(FileNotFoundError):
        path.chmod(0o400 if on else 0o600)


def layers_above(path: Path) -> list[tuple[Path, Sidecar]]:
    """Return what stands above a volume that was frozen, lowest first; blocks."""
    found: dict[str, tuple[Path, Sidecar]] = {}
    for note in path.parent.glob(f"{glob.escape(path.name)}-g*.owner.json"):
        layer = Path(str(note).removesuffix(".owner.json"))
        with contextlib.suppress(OSError, msgspec.DecodeError):
            record = from_json(note.read_bytes(), Sidecar)
            if record.volume == path.name and layer.exists():
                found[record.base.path] = layer, record
    chain: list[tuple[Path, Sidecar]] = []
    while (above := found.pop(str(chain[-1][0] if chain else path), None)) is not None:
        chain.append(above)
    return chain


def virtual_size(path: Path) -> int:
    """Return how large a qcow2 file is for its guest, as its header says; blocks."""
    with path.open("rb") as file:
        return int.from_bytes(file.read(32)[24:32], "big")


class GivenUpLayer(GivenUpVolume, frozen=True):
    """A layer that was found and is to be removed; its base is let go of, or goes if it was frozen."""

    @override
    def remove(self) -> None:
        layer = Path(self.path)
        record = recorded(layer)
        super().remove()
        if record is None:
            return
        base = Path(record.base.path)
        if record.volume:
            write_protect(base, False)
            GivenUpLayer(str(base), self.wipe).remove()
        let_go(layer, base)
