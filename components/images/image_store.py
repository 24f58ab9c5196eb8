"""`ImageStore`: the images of one host, shared by all its machines and with other hosts."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from components.images.fetching import FetchedImage, Library, Terms
from components.images.kinds import ImageFacts, digest_kind
from components.images.store import Store, default_folder
from components.reporting import Reporting
from components.surroundings.workplace import Workplace, expanded
from engine.core.faults import Refused
from engine.core.records import Record
from engine.runtime.attributes import attr, exposed, output
from engine.runtime.effects import Effect
from engine.runtime.kinds import Kind, duration_s, size_bytes, str_, strings
from sfdl.values import Value


def _digests(value: Value) -> tuple[str, ...]:
    return tuple(digest_kind.read(item) for item in strings.read(value))


digests_kind = Kind("list of digests", "Vector", _digests)


class ImageStore(Workplace, Reporting, type="image.store"):
    """Keeps images by digest, each once; gets those it does not have from stores of other hosts.

    It serves other hosts as long as it lives: at most two at a time, and those who have got an image
    serve it on.
    """

    folder = attr(
        str_,
        "",
        doc="Folder on the host, below workDir if relative; one of the daemon's user if empty.",
    )
    sources = attr(strings, (), doc="Hosts that may have images, by name or address.")
    prefetch = attr(digests_kind, (), doc="Digests of images to get when it starts.")
    max_size = attr(
        size_bytes, 0, doc="Above it images nobody uses go, longest unused first; 0: no limit.",
        called="maxSize",
    )  # fmt: skip
    patience = attr(
        duration_s, 600, doc="Seconds to look for a host that has an image, and to get it."
    )
    folderPath = output(str, doc="Absolute path of the folder.")

    reserved: ClassVar[dict[str, Value]] = {"sfOrphanPolicy": "keep", "sfStartTimeout": 3600}

    @override
    async def on_deploy(self) -> None:
        await self.take_workplace()
        folder = self._folder()
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir():
            raise Refused(
                f"{folder} is no folder, images cannot be kept in it", code="SF-IMAGE-009",
                where=self.path,
            )  # fmt: skip

    @override
    async def on_start(self) -> None:
        self._open()
        terms = await self.terms()
        for digest in self.prefetch:
            await self.make(FetchedImage(terms, digest))
        await self.trim()

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await self.take_workplace_again()
        self._open()

    def _open(self) -> None:
        self.folderPath = str(self._folder())
        self.service(Library).serve(self.live.process, self.path, self._folder())

    @override
    async def on_terminate(self, record: Record) -> None:
        self.service(Library).close_shelf(self.path)

    @exposed(role="viewer")
    async def terms(self) -> Terms:
        """Return where images are kept, and how others are got."""
        return Terms(str(self._folder()), self.sources, self.patience)

    @exposed(role="viewer")
    async def facts(self, digest: str) -> ImageFacts | None:
        """Return what an image is; nothing if it is not here."""
        return await self.run_blocking(Store(self._folder()).facts, digest)

    @exposed()
    async def trim(self) -> int:
        """Make room, if there is a limit; return how many images went."""
        if not self.max_size:
            return 0
        gone = await self.run_blocking(Store(self._folder()).trim, self.max_size)
        for digest in gone:
            self.note(f"image {digest} went: nobody uses it, and maxSize was reached")
        return len(gone)

    def _folder(self) -> Path:
        if not self.folder:
            return default_folder()
        given = expanded(self.folder)
        return given if given.is_absolute() else self.work_folder / given
