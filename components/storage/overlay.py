"""`OverlayStorageBackend`: a thin qcow2 layer for each domain over one image they share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from msgspec.structs import replace
from typing_extensions import override

from components.images.kinds import ImageFacts
from components.storage.freezing import Frozen
from components.storage.layers import (
    GivenUpLayer,
    Layer,
    OverlayFile,
    base_of,
    check_base,
    layers_above,
    recorded,
    sidecar_of,
    virtual_size,
    write_protect,
)
from components.storage.loopback import FileStorageBackend
from components.storage.offers import DiskOffer
from components.storage.sourcing import Wanted
from engine.core.decoding import from_json
from engine.core.faults import BadDescription, Refused
from engine.runtime.attributes import attr
from engine.runtime.effects import Effect, OwnExecutor
from engine.runtime.kinds import bool_, int_, str_

BASES = {"raw", "qcow2"}


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
        depth = len(from_json(output.stdout, list[object])) + 1
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
            sidecar_of(layer).unlink(missing_ok=True)
        if mine:
            write_protect(path, False)

    @override
    async def find_volumes(self, wanted: Sequence[Wanted]) -> list[DiskOffer]:
        found = await super().find_volumes(wanted)
        record = await self.run_blocking(recorded, Path(found[0].path))
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
