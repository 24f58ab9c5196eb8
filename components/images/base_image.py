"""`BaseImage`: an image that is there already, checked once for all who use it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from components.images.kinds import ImageFacts, digest_kind, digest_of, examine
from engine.core.faults import Refused
from engine.prim import Prim
from engine.runtime.attributes import attr, exposed, output
from engine.runtime.effects import Effect
from engine.runtime.kinds import str_
from sfdl.values import Value


class BaseImage(Prim, type="image.base"):
    """An image on the host: a disk, a filesystem, a qcow2 file, an archive or a folder."""

    source = attr(str_, doc="Path of the image on the host.")
    digest = attr(
        digest_kind, "", doc="sha256:..., to be sure of the content; not checked if empty."
    )
    path = output(str, doc="Absolute path of the image.")
    kind = output(str, doc="raw, qcow2, tar or directory.")

    reserved: ClassVar[dict[str, Value]] = {"sfOrphanPolicy": "keep", "sfDeployTimeout": 600}

    @override
    @classmethod
    async def plan(cls, given: Mapping[str, object], where: str) -> None:
        source = given.get("source")
        if isinstance(source, str):
            await asyncio.to_thread(examine, Path(source).expanduser())

    @override
    async def on_deploy(self) -> None:
        await self._look()

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await self._look()

    async def _look(self) -> None:
        facts = await self.run_blocking(examine, Path(self.source).expanduser())
        if self.digest:
            found = await self.run_blocking(digest_of, Path(facts.path))
            if found != self.digest:
                raise Refused(
                    f"image {facts.path} has digest {found}, not {self.digest}", code="SF-IMAGE-004"
                )
        self.path, self.kind = facts.path, facts.kind

    @exposed(role="viewer")
    async def facts(self) -> ImageFacts:
        """Return what the image is."""
        return await self.run_blocking(examine, Path(self.path))
