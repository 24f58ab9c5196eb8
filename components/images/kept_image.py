"""What image components share that have an image in the store of their host."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from components.images.building import BuiltImage
from components.images.image_store import ImageStore
from components.images.kinds import ImageFacts
from components.images.shelf import shelf_of, trim
from components.images.store import Made, Store, default_folder
from components.reporting import Reporting
from engine.core.faults import Refused
from engine.runtime.attributes import exposed, link, output
from engine.runtime.effects import Effect
from sfdl.values import Value


class KeptImage(Reporting):
    """An image made when it is started, unless the host's store has it already."""

    store = link(
        ImageStore, required=False,
        doc="Where it is kept; imageStore above it, else the user's own, if not given.",
    )  # fmt: skip
    path = output(str, doc="Absolute path of the image.")
    kind = output(str, doc="raw or qcow2.")
    imageDigest = output(str, doc="sha256:... of the image.")
    kernelPath = output(str, doc="Absolute path of the kernel lifted out, or empty.")
    ramdiskPath = output(str, doc="Absolute path of the RAM disk lifted out, or empty.")

    reserved: ClassVar[dict[str, Value]] = {"sfOrphanPolicy": "keep", "sfStartTimeout": 3600}

    @abstractmethod
    async def recipe(self, store: str) -> BuiltImage:
        """Return how it is made.

        Raises:
            Refused: It cannot be made here.
        """

    @override
    async def on_start(self) -> None:
        shelf = await shelf_of(self, self.store)
        folder = shelf.terms.folder if shelf is not None else str(default_folder())
        made = await self.make(await self.recipe(folder))
        await self._publish(made)
        await trim(self, shelf)

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, BuiltImage):
                await self._publish(effect)

    async def _publish(self, effect: BuiltImage) -> None:
        store, made = Store(Path(effect.store)), effect.made or Made("")
        facts = await self.run_blocking(store.facts, made.image) if made.image else None
        if facts is None:
            raise Refused(
                f"{effect.label()} is not in {effect.store} any more", where=self.live.path
            )
        self.path, self.kind, self.imageDigest = facts.path, facts.kind, made.image
        self.kernelPath = str(store.path(made.kernel)) if made.kernel else ""
        self.ramdiskPath = str(store.path(made.ramdisk)) if made.ramdisk else ""

    @exposed(role="viewer")
    async def facts(self) -> ImageFacts:
        """Return what the image is.

        Raises:
            Refused: It has not been made yet, or is gone.
        """
        found = Store.holding(Path(self.path))
        facts = await self.run_blocking(found[0].facts, found[1]) if found else None
        if facts is None:
            raise Refused(f"image {self.path} is gone", code="SF-IMAGE-001", where=self.live.path)
        return facts
