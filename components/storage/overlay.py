"""`OverlayStorageBackend`: a thin qcow2 layer for each domain over one image they share."""

from __future__ import annotations

import contextlib
import glob
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from typing_extensions import override

from components.images.kinds import ImageFacts, digest_of
from components.images.store import Store
from components.storage.backend import DiskOffer
from components.storage.filling import overwrite
from components.storage.found import GivenUpVolume
from components.storage.freezing import Frozen
from components.storage.loopback import FileStorageBackend
from components.storage.sourcing import Wanted
from components.storage.using import refuse_used
from engine.core.faults import BadDescription, Refused
from engine.runtime.attributes import attr
from engine.runtime.effects import Effect, NameTaken, Owner, OwnExecutor, Presence, Site
from engine.runtime.kinds import bool_, int_, str_

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
    volume: str = ""
    """Name of the volume whose frozen content the base is; empty: the base is an image."""


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
        await at.run((
            "qemu-img", "create", "-q", "-f", "qcow2", "-F", self.base.format, "-b", self.base.path,
            "-o", self.options, "--", self.path, str(self.size_bytes),
        ))  # fmt: skip
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
        found = msgspec.json.decode((await at.run(words)).stdout, type=dict[str, object])
        if cast("int", found["virtual-size"]) < size_bytes:
            await at.run(("qemu-img", "resize", "-q", "-f", "qcow2", self.path, str(size_bytes)))

    @override
    async def claim(self, at: Site) -> Self:
        record = self._record()
        found = self if record is None else replace(self, base=record.base)
        await at.blocking(found._claim, at.owner)  # noqa: SLF001 - it is of this class
        return found

    def _claim(self, owner: Owner) -> None:
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        part = self.sidecar.with_name(f"{self.sidecar.name}.part")
        part.write_bytes(msgspec.json.encode(self._beside(owner)))
        part.replace(self.sidecar)
        kept = Store.holding(Path(self.base.path))
        if kept is not None:  # the image stays as long as there is a layer on it
            kept[0].refer(kept[1], self._reader, self.path)

    def _beside(self, owner: Owner) -> _Sidecar:
        return _Sidecar(owner, self.base)

    @property
    def _reader(self) -> str:
        return hashlib.sha256(self.path.encode()).hexdigest()[:16]

    @override
    async def undo(self, at: Site) -> None:
        record = self._record()
        if record is not None and record.owner == at.owner:
            await refuse_used(at, self.path)
            await at.blocking(self._remove)

    def _remove(self) -> None:
        if self.wipe:
            overwrite(Path(self.path))
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
        await at.blocking(_write_protect, Path(self.base.path), True)
        return done

    def is_whole(self) -> bool:
        """Say whether its base is frozen; blocks."""
        base = Path(self.base.path)
        return base.exists() and not base.stat().st_mode & WRITABLE

    @override
    def _beside(self, owner: Owner) -> _Sidecar:
        return _Sidecar(owner, self.base, self.volume)

    @override
    async def undo(self, at: Site) -> None:
        await super().undo(at)
        if not Path(self.path).exists():
            await at.blocking(_write_protect, Path(self.base.path), False)


WRITABLE = 0o222
"""Bits of a mode that let somebody write."""


def _write_protect(path: Path, on: bool) -> None:  # noqa: FBT001 - what it is called says which
    with contextlib.suppress(FileNotFoundError):
        path.chmod(0o444 if on else 0o600)


def layers_above(path: Path) -> list[tuple[Path, _Sidecar]]:
    """Return what stands above a volume that was frozen, lowest first; blocks."""
    found: dict[str, tuple[Path, _Sidecar]] = {}
    for note in path.parent.glob(f"{glob.escape(path.name)}-g*.owner.json"):
        layer = Path(str(note).removesuffix(".owner.json"))
        with contextlib.suppress(OSError, msgspec.DecodeError):
            record = msgspec.json.decode(note.read_bytes(), type=_Sidecar)
            if record.volume == path.name and layer.exists():
                found[record.base.path] = layer, record
    chain: list[tuple[Path, _Sidecar]] = []
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
    def _remove(self) -> None:
        layer = OverlayFile(self.path, 0, Base("", "", 0, 0), "")
        record = layer._record()  # noqa: SLF001 - same idea
        super()._remove()
        if record is not None and record.volume:
            base = Path(record.base.path)
            _write_protect(base, False)
            GivenUpLayer(str(base), self.wipe)._remove()  # noqa: SLF001 - of this class
        kept = None if record is None else Store.holding(Path(record.base.path))
        if kept is not None:
            kept[0].let_go(layer._reader, kept[1])  # noqa: SLF001 - same idea


class OverlayStorageBackend(FileStorageBackend, type="storage.overlay"):
    """Makes the root volume in no time: a qcow2 layer over an image that stays as it is.

    A volume that is frozen becomes read-only, with a further layer above it.
    """

    writes_images: ClassVar[bool] = False

    cluster_size = attr(
        int_, None, ge=4, le=2048, called="clusterSize",
        doc="Cluster size of the layer, in KiB, a power of two; 64, or 128 with extendedL2.",
    )  # fmt: skip
    extended_l2 = attr(
        bool_, False, called="extendedL2",
        doc="Keep account of 32 parts of each cluster, so that small writes take little.",
    )  # fmt: skip
    compat = attr(
        str_, "1.1", choices=("0.10", "1.1"), doc="Version of the format; 0.10 for old programs."
    )
    lazy_refcounts = attr(
        bool_, False, called="lazyRefcounts", doc="Faster writes; a check after a crash."
    )
    discard = attr(
        bool_,
        True,
        doc="Give back to the host what the guest gives up, so that the layer stays small.",
    )
    flatten_on = attr(
        str_, "save", choices=("save",), called="flattenOn",
        doc="When what is on a layer is had without its image: an image that is saved of it is whole.",
    )  # fmt: skip
    max_chain = attr(
        int_, 8, ge=1, le=200, called="maxChain",
        doc="How many files deep it may be, the layer and its bases.",
    )  # fmt: skip

    @override
    def space_wanted(self) -> int:
        return super().space_wanted() - self.volume_size

    @override
    def files_promised(self) -> tuple[str, ...]:
        return super().files_promised()[1:]  # a layer takes what its guest comes to write

    @override
    def check_image(self, image: ImageFacts) -> None:
        if image.kind not in BASES:
            raise Refused(
                f"{image.path} is a {image.kind}: an overlay needs a raw or qcow2 image",
                code="SF-STORE-009", where=self.path,
                hint="use a LoopbackStorageBackend, or make a disk of it first",
            )  # fmt: skip

    @override
    async def check_host(self) -> None:
        newer = self.extended_l2 or self.lazy_refcounts
        size = self.cluster_size or 64
        if newer and self.compat == "0.10":
            raise BadDescription(
                'extendedL2 and lazyRefcounts need compat "1.1"', code="SF-STORE-014",
                where=self.path,
            )  # fmt: skip
        if size & (size - 1):
            raise BadDescription(
                f"clusterSize must be a power of two (got {size})", code="SF-STORE-014",
                where=self.path,
            )  # fmt: skip
        await super().check_host()

    def _options(self) -> str:
        """Return what is said of the layer when it is made."""
        size = self.cluster_size or (128 if self.extended_l2 else 64)
        options = {
            "cluster_size": f"{size}k", "compat": self.compat,
            "extended_l2": "on" if self.extended_l2 else "",
            "lazy_refcounts": "on" if self.lazy_refcounts else "",
        }  # fmt: skip
        return ",".join(f"{name}={value}" for name, value in options.items() if value)

    async def check_chain(self, image: ImageFacts) -> None:
        """Refuse a base that stands on too many others.

        Raises:
            Refused: The layer on it would be deeper than `maxChain`.
        """
        words = ("qemu-img", "info", "-U", "--backing-chain", "--output=json", "--", image.path)
        output = await (self.executor() or OwnExecutor()).run(words, input_=b"", timeout_s=60)
        if output.status != 0:
            raise Refused(
                f"{image.path}: {output.stderr.decode(errors='replace').strip()}",
                code="SF-STORE-009", where=self.path,
            )  # fmt: skip
        depth = len(msgspec.json.decode(output.stdout, type=list[object])) + 1
        if depth > self.max_chain:
            raise Refused(
                f"{image.path} is {depth - 1} files deep, a layer on it {depth}; maxChain is "
                f"{self.max_chain}",
                code="SF-STORE-015", where=self.path,
                hint="flatten the image with qemu-img convert, or raise maxChain",
            )  # fmt: skip

    @override
    async def volume(self, wanted: Wanted, image: ImageFacts) -> Effect:
        if wanted.role != "root":
            return await super().volume(wanted, image)
        await self.check_chain(image)
        base = await self.run_blocking(base_of, Path(image.path), image.kind, self.image_digest)
        path = str(self.folder() / wanted.name)
        return OverlayFile(path, wanted.size_bytes, base, self._options(), wipe=self.wipe_on_remove)

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        whole: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Layer) and not await self.run_blocking(effect.is_whole):
                await self.unmake(effect)
                continue
            if isinstance(effect, OverlayFile):
                await self.run_blocking(check_base, effect.base)
            whole.append(effect)
        await super().on_adopt(tuple(whole))

    @override
    async def _provide_now(self) -> None:
        if not (self.using_existing_volumes or self.resumes):
            for wanted in self.layout():
                await self.run_blocking(self._clear_above, self.folder() / wanted.name)
        await super()._provide_now()

    def _clear_above(self, path: Path) -> None:
        """Remove what an earlier creation has left above a volume that is made anew; blocks."""
        chain = layers_above(path)
        mine = [layer for layer, record in chain if record.owner.same_place(self.live.owner)]
        for layer in reversed(mine):
            layer.unlink(missing_ok=True)
            Path(f"{layer}.owner.json").unlink(missing_ok=True)
        if mine:
            _write_protect(path, False)

    @override
    async def find_volumes(self, wanted: Sequence[Wanted]) -> list[DiskOffer]:
        found = await super().find_volumes(wanted)
        record = OverlayFile(found[0].path, 0, Base("", "", 0, 0), "")._record()  # noqa: SLF001 - same idea
        if record is not None:
            await self.run_blocking(check_base, record.base)
        return [await self._top_of(offer) for offer in found]

    async def _top_of(self, offer: DiskOffer) -> DiskOffer:
        """Return what a machine writes to, of a volume that may have been frozen."""
        for layer, record in await self.run_blocking(layers_above, Path(offer.path)):
            await self.run_blocking(check_base, record.base)
            offer = replace(offer, path=str(layer), format="qcow2", discard=self.discard)
        return offer

    # -- freezing

    @override
    async def check_freezing(self) -> None:
        await self.check_growth_fits(sum(one.size_bytes for one in self.data_volumes or ()))

    @override
    async def freezer(self, offer: DiskOffer, volume: str, name: str) -> tuple[Effect, Frozen]:
        await self.check_chain(ImageFacts(offer.path, offer.format, 0))
        path = str(self.folder() / f"{name}.qcow2")
        size = self.growing.there()[volume]
        base = await self.run_blocking(base_of, Path(offer.path), offer.format)
        layer = Layer(
            path, size, base, self._options(), wipe=self.wipe_on_remove, volume=volume, role=offer.role
        )  # fmt: skip
        return layer, Frozen(volume, offer.path, path)

    @override
    def froze(self, effect: Effect) -> bool:
        return isinstance(effect, Layer)

    @override
    async def frozen_before(self, effects: Sequence[Effect]) -> list[Effect]:
        found: list[Effect] = []
        for offer in self.volumes_of(effects):
            chain = await self.run_blocking(layers_above, Path(offer.path))
            for path, record in chain:
                size = await self.run_blocking(virtual_size, path)
                found.append(Layer(
                    str(path), size, record.base, self._options(), wipe=self.wipe_on_remove,
                    volume=record.volume, role=offer.role,
                ))  # fmt: skip
        return found

    @override
    def offers_of(self, effects: Sequence[Effect]) -> list[DiskOffer]:
        above = {one.base.path: one.path for one in effects if isinstance(one, Layer)}
        found = super().offers_of([one for one in effects if not isinstance(one, Layer)])
        tops = []
        for offer in found:
            top = offer
            while top.path in above:
                top = replace(top, path=above[top.path], format="qcow2", discard=self.discard)
            tops.append(top)
        return tops

    @override
    def format_of(self, path: Path) -> str:
        with path.open("rb") as file:
            return "qcow2" if file.read(4) == b"QFI\xfb" else "raw"

    @override
    def offer_of(self, effect: Effect) -> DiskOffer | None:
        if isinstance(effect, Layer):
            return DiskOffer(effect.role, effect.path, "file", "qcow2", discard=self.discard)
        if isinstance(effect, OverlayFile):
            return DiskOffer("root", effect.path, "file", "qcow2", discard=self.discard)
        return super().offer_of(effect)

    @override
    def given_up(self, offer: DiskOffer) -> Effect:
        return GivenUpLayer(offer.path, wipe=self.wipe_on_remove)


class Qcow2StorageBackend(OverlayStorageBackend, type="storage.qcow2"):
    """The overlay backend under its other name."""
