"""`BaseImage`: an image that is there already, checked once for all who use it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from msgspec.structs import replace
from typing_extensions import override

from components.images.building import BuiltImage, Parts
from components.images.fetching import FetchedImage
from components.images.image_store import ImageStore
from components.images.kinds import (
    KINDS,
    ImageFacts,
    digest_kind,
    digest_of,
    examine,
    holds_kind,
)
from components.images.shelf import shelf_of, trim
from components.images.store import Store
from components.reporting import Reporting
from engine.core.faults import BadDescription, Refused
from engine.runtime.attributes import attr, exposed, link, output
from engine.runtime.effects import Effect, Site
from engine.runtime.kinds import bool_, str_
from sfdl.values import Value


class TakenImage(BuiltImage, frozen=True):
    """A copy of an image in the store of its host.

    Attributes:
        keep: It stays in the store at the end, as long as there is room.
    """

    source: str = ""
    digest: str = ""
    keep: bool = True

    @override
    def label(self) -> str:
        return f"copy of {Path(self.source).name}"

    @override
    def recipe(self) -> Self:
        return replace(super().recipe(), source="", keep=True)

    @override
    def origin(self) -> str:
        return self.source

    @override
    async def build(self, at: Site, folder: Path) -> Parts:
        facts = await at.blocking(examine, Path(self.source))
        await at.run(("cp", "--sparse=always", "--", self.source, str(folder / "image")))
        return Parts(folder / "image", holds=facts.holds)

    @override
    async def undo(self, at: Site) -> None:
        await super().undo(at)
        if not self.keep and self.made is not None:
            await at.blocking(Store(Path(self.store)).discard, self.key, self.made)


class BaseImage(Reporting, type="image.base"):
    """An image on the host: a disk, a filesystem, a qcow2 file, an archive or a folder.

    With a store, its own or that of its host, it is copied there once; without a source it comes from
    another host's store.
    """

    source = attr(
        str_, "",
        doc="Path of the image on the host, or a LAZY reference to one, such as the path of another "
        "image; from the store if empty.",
    )  # fmt: skip
    digest = attr(
        digest_kind, "", doc="sha256:..., to be sure of the content; not checked if empty."
    )
    format = attr(
        str_, "auto", choices=("auto", *KINDS),
        doc="What it has to be; auto: whatever it is by its content.",
    )  # fmt: skip
    os_info = attr(
        holds_kind, (), called="osInfo",
        doc="What is known to be in it, where that cannot be seen in a disk: etc, a system; cloud-init; "
        "boots, it boots by itself.",
    )  # fmt: skip
    keep_image = attr(
        bool_, True, called="keepImage",
        doc="Leave it in the store at the end, as long as there is room; else it goes with the last "
        "who uses it.",
    )  # fmt: skip
    store = link(
        ImageStore, required=False,
        doc="Where it is kept; in imageStore above it if not given; where it is if there is none.",
    )  # fmt: skip
    path = output(str, doc="Absolute path of the image.")
    kind = output(str, doc="raw, qcow2, tar or directory.")
    imageDigest = output(str, doc="sha256:... of the image, if it is in a store or was checked.")

    reserved: ClassVar[dict[str, Value]] = {
        "sfOrphanPolicy": "keep", "sfDeployTimeout": 600, "sfStartTimeout": 3600,
    }  # fmt: skip

    def __init__(self) -> None:
        """Be in no store yet."""
        self._kept = False

    @override
    @classmethod
    async def plan(cls, given: Mapping[str, object], where: str) -> None:
        source = given.get("source")
        if isinstance(source, str) and source:
            await asyncio.to_thread(examine, Path(source).expanduser())

    @override
    async def on_deploy(self) -> None:
        if not self.keep_image and await shelf_of(self, self.store) is None:
            raise BadDescription(
                "keepImage false is for a copy in a store, and there is none", code="SF-IMAGE-008",
                where=self.live.path, hint="the image itself always stays; leave keepImage out",
            )  # fmt: skip
        if not self._late:
            await self._find()

    @property
    def _late(self) -> bool:
        """Say whether where it is is known at the start only."""
        return "source" in self.live.lazy_names

    async def _find(self) -> None:
        if self.source:
            await self._look()
        elif not self.digest or await shelf_of(self, self.store) is None:
            raise BadDescription(
                "source must be given, or digest and a store: its own, or imageStore above it",
                code="SF-IMAGE-001",
                where=self.live.path,
            )

    async def _look(self) -> None:
        facts = await self.run_blocking(examine, Path(self.source).expanduser())
        if self.store.given and facts.kind == "directory":
            raise BadDescription(
                f"{facts.path} is a folder, which a store does not keep", code="SF-IMAGE-003",
                where=self.live.path, hint="pack it into an archive, or leave store out",
            )  # fmt: skip
        self._check_format(facts)
        if self.digest:
            found = await self.run_blocking(digest_of, Path(facts.path))
            if found != self.digest:
                raise Refused(
                    f"image {facts.path} has digest {found}, not {self.digest}", code="SF-IMAGE-004"
                )
            self.imageDigest = found
        self.path, self.kind = facts.path, facts.kind

    def _check_format(self, facts: ImageFacts) -> None:
        if self.format not in {"auto", facts.kind}:
            raise Refused(
                f"image {facts.path} is {facts.kind}, not {self.format}", code="SF-IMAGE-003",
                where=self.live.path, hint="correct format, or get the right image",
            )  # fmt: skip

    @override
    async def on_start(self) -> None:
        if self._late:
            await self._find()
        shelf = await shelf_of(self, self.store)
        if shelf is None or (self.source and self.kind == "directory" and not shelf.own):
            return
        if self.source:
            digest = self.digest or await self.run_blocking(digest_of, Path(self.path))
            taken = TakenImage(
                shelf.terms.folder, source=self.path, digest=digest, keep=self.keep_image
            )
            await self._publish(await self.make(taken))
        else:
            fetched = FetchedImage(shelf.terms, self.digest, keep=self.keep_image)
            await self._publish(await self.make(fetched))
        await trim(self, shelf)

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            await self._publish(effect)
        if not effects:
            await self._look()

    async def _publish(self, effect: Effect) -> None:
        match effect:
            case TakenImage(store=folder, made=made) if made is not None:
                digest = made.image
            case FetchedImage(terms=terms, digest=digest):
                folder = terms.folder
            case _:
                return
        self._kept = True
        facts = await self.run_blocking(Store(Path(folder)).facts, digest)
        if facts is None:
            raise Refused(f"image {digest} is not in {folder} any more", where=self.live.path)
        self._check_format(facts)
        self.path, self.kind, self.imageDigest = facts.path, facts.kind, digest

    @exposed(role="viewer")
    async def facts(self) -> ImageFacts:
        """Return what the image is."""
        facts = await self._facts()
        return replace(facts, holds=tuple(sorted({*facts.holds, *self.os_info})))

    async def _facts(self) -> ImageFacts:
        kept = Store.holding(Path(self.path)) if self._kept else None
        if kept is not None:
            facts = await self.run_blocking(kept[0].facts, kept[1])
            if facts is not None:
                return facts
        return await self.run_blocking(examine, Path(self.path))
