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
from components.images.kinds import ImageFacts, digest_kind, digest_of, examine
from components.images.store import Store
from components.reporting import Reporting
from engine.core.faults import BadDescription, Refused
from engine.runtime.attributes import attr, exposed, link, output
from engine.runtime.effects import Effect, Site
from engine.runtime.kinds import str_
from sfdl.values import Value


class TakenImage(BuiltImage, frozen=True):
    """A copy of an image in the store of its host."""

    source: str = ""
    digest: str = ""

    @override
    def label(self) -> str:
        return f"copy of {Path(self.source).name}"

    @override
    def recipe(self) -> Self:
        return replace(super().recipe(), source="")

    @override
    def origin(self) -> str:
        return self.source

    @override
    async def build(self, at: Site, folder: Path) -> Parts:
        facts = await at.blocking(examine, Path(self.source))
        await at.run(("cp", "--sparse=always", "--", self.source, str(folder / "image")))
        return Parts(folder / "image", holds=facts.holds)


class BaseImage(Reporting, type="image.base"):
    """An image on the host: a disk, a filesystem, a qcow2 file, an archive or a folder.

    With a store it is copied there once; without a source it comes from another host's store.
    """

    source = attr(str_, "", doc="Path of the image on the host; from the store if empty.")
    digest = attr(
        digest_kind, "", doc="sha256:..., to be sure of the content; not checked if empty."
    )
    store = link(
        ImageStore, required=False, doc="Where it is kept; it stays where it is if not given."
    )
    path = output(str, doc="Absolute path of the image.")
    kind = output(str, doc="raw, qcow2, tar or directory.")
    imageDigest = output(str, doc="sha256:... of the image, if it is in a store or was checked.")

    reserved: ClassVar[dict[str, Value]] = {
        "sfOrphanPolicy": "keep", "sfDeployTimeout": 600, "sfStartTimeout": 3600,
    }  # fmt: skip

    @override
    @classmethod
    async def plan(cls, given: Mapping[str, object], where: str) -> None:
        source = given.get("source")
        if isinstance(source, str) and source:
            await asyncio.to_thread(examine, Path(source).expanduser())

    @override
    async def on_deploy(self) -> None:
        if self.source:
            await self._look()
        elif not self.store.given or not self.digest:
            raise BadDescription(
                "source must be given, or store and digest",
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
        if self.digest:
            found = await self.run_blocking(digest_of, Path(facts.path))
            if found != self.digest:
                raise Refused(
                    f"image {facts.path} has digest {found}, not {self.digest}", code="SF-IMAGE-004"
                )
            self.imageDigest = found
        self.path, self.kind = facts.path, facts.kind

    @override
    async def on_start(self) -> None:
        if not self.store.given:
            return
        terms = await self.store.api.terms()
        if self.source:
            digest = self.digest or await self.run_blocking(digest_of, Path(self.path))
            taken = TakenImage(terms.folder, source=self.path, digest=digest)
            await self._publish(await self.make(taken))
        else:
            await self._publish(await self.make(FetchedImage(terms, self.digest)))
        await self.store.api.trim()

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
        facts = await self.run_blocking(Store(Path(folder)).facts, digest)
        if facts is None:
            raise Refused(f"image {digest} is not in {folder} any more", where=self.live.path)
        self.path, self.kind, self.imageDigest = facts.path, facts.kind, digest

    @exposed(role="viewer")
    async def facts(self) -> ImageFacts:
        """Return what the image is."""
        kept = Store.holding(Path(self.path)) if self.store.given else None
        if kept is not None:
            facts = await self.run_blocking(kept[0].facts, kept[1])
            if facts is not None:
                return facts
        return await self.run_blocking(examine, Path(self.path))
