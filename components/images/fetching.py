"""Images from host to host: offered piece by piece, taken up where it stopped, believed by digest.

A host gives to two readers at a time. Whoever asks while they read is told who has got the image from
here before, so that a hundred hosts are not served by one.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
from msgspec import Struct
from typing_extensions import override

from components.images.building import locked
from components.images.store import Kept, Source, Store, name_of
from engine.core.decoding import from_msgpack
from engine.core.faults import EngineError, NotFound, Refused
from engine.runtime.effects import Effect, Presence, Site
from engine.runtime.pieces import Pieces
from engine.wire.messages import Piece, PullPiece

if TYPE_CHECKING:
    from engine.runtime.process import Process

READERS = 2
"""How many other hosts read images from this one at a time."""
READER_S = 20.0
"""Seconds after which a reader that asks for nothing counts as gone."""
REFERRALS = 16
"""How many other hosts a busy one names at most."""
PIECE_BYTES = 2**20
PIECE_S = 60.0
PAUSE_S = 0.2


class Terms(Struct, frozen=True):
    """How images are got.

    Attributes:
        folder: Of the store.
        sources: Hosts that may have them, by name or address.
        patience_s: How long to look for one and to get it.
    """

    folder: str
    sources: tuple[str, ...] = ()
    patience_s: float = 600.0


class Library:
    """The image stores that this process offers to others; one for each process."""

    def __init__(self) -> None:
        """Have no shelf yet."""
        self.process: Process | None = None
        self._shelves: dict[str, Path] = {}
        self._readers: dict[tuple[str, str], float] = {}
        self._holders: dict[str, dict[str, None]] = {}
        self.most_at_once = 0

    def serve(self, process: Process, name: str, folder: Path) -> None:
        """Offer the images of a store."""
        self.process = process
        self._shelves[name] = folder
        process.services.get(Pieces).offer("images", self.piece)

    def close_shelf(self, name: str) -> None:
        """Offer the images of a store no more."""
        self._shelves.pop(name, None)

    async def piece(self, wanted: PullPiece) -> Piece | None:
        """Give a piece of an image; nothing if it is in no store here."""
        if self.process is None or not wanted.name.startswith("sha256:"):
            return None
        workers = self.process.workers
        for folder in dict.fromkeys(self._shelves.values()):
            store = Store(folder)
            kept = await workers.run(store.find, wanted.name, pending=set())
            if kept is None:
                continue
            about = msgspec.msgpack.encode(kept)
            if wanted.limit == 0:
                return Piece(kept.size_bytes, about=about)
            if not self._admit(wanted):
                return Piece(kept.size_bytes, busy=True, elsewhere=self._others(wanted))
            path = store.path(wanted.name)
            try:
                data = await workers.run(_read, path, wanted.offset, wanted.limit, pending=set())
            except OSError:  # it went while we looked
                return None
            if wanted.offset + len(data) >= kept.size_bytes:
                self._finished(wanted)
            return Piece(kept.size_bytes, data, about)
        return None

    def _admit(self, wanted: PullPiece) -> bool:
        now = asyncio.get_running_loop().time()
        self._readers = {who: at for who, at in self._readers.items() if now - at < READER_S}
        who = (wanted.name, wanted.reader)
        if who not in self._readers and len(self._readers) >= READERS:
            return False
        self._readers[who] = now
        self.most_at_once = max(self.most_at_once, len(self._readers))
        return True

    def _finished(self, wanted: PullPiece) -> None:
        self._readers.pop((wanted.name, wanted.reader), None)
        holders = self._holders.setdefault(wanted.name, {})
        holders[wanted.reader] = None
        while len(holders) > REFERRALS:
            holders.pop(next(iter(holders)))

    def _others(self, wanted: PullPiece) -> tuple[str, ...]:
        holders = self._holders.get(wanted.name, {})
        return tuple(each for each in holders if each != wanted.reader)

    # -- getting

    async def get(self, at: Site, terms: Terms, digest: str) -> None:
        """Have an image in a store, from whoever has it; whoever else here wants it waits.

        Raises:
            NotFound: No source has had it within the time.
            Refused: All that was got has another digest.
        """
        store = Store(Path(terms.folder))

        def waiting() -> None:
            at.progress(0.1, f"waiting for somebody else who gets {digest[:19]}")

        async with locked(store, digest, limit_s=terms.patience_s, wait=waiting):
            if await at.blocking(store.find, digest) is None:
                await _Getting(self._needed(), at, terms, digest).run()

    def _needed(self) -> Process:
        if self.process is None:
            raise Refused("no image store is open in this process", code="SF-IMAGE-010")
        return self.process


class _Getting:
    """One image on its way."""

    def __init__(self, process: Process, at: Site, terms: Terms, digest: str) -> None:
        self._process = process
        self._at = at
        self._store = Store(Path(terms.folder))
        self._patience_s = terms.patience_s
        self._digest = digest
        self._names = terms.sources
        self._sources: list[str] = []
        self._part = self._store.scratch(f"{digest.partition(':')[2]}.part")
        self._trouble: dict[str, str] = {}
        self._liars: set[str] = set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_s
        self._sources = [await self._process.peers.locate(name) for name in self._names]
        turn = sum(self._process.address.encode())  # not all begin with the same one
        while True:
            good = [each for each in self._sources if each not in self._liars]
            if not good:
                break
            for _ in range(len(good)):
                turn += 1
                if await self._from(good[turn % len(good)], until):
                    return
            if loop.time() >= until:
                break
            await asyncio.sleep(PAUSE_S)
        reasons = "; ".join(f"{source}: {why}" for source, why in self._trouble.items())
        raise NotFound(
            f"image {self._digest} could not be got from any source: {reasons or 'there is none'}",
            code="SF-IMAGE-010",
            hint="name hosts that have it in sources of the ImageStore, or give a source path",
        )  # fmt: skip

    async def _from(self, source: str, until: float) -> bool:
        """Get as much as a source gives; say whether the image is here, whole and right."""
        if source == self._process.address:
            self._trouble[source] = "is this very host"
            return False
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            have = self._part.stat().st_size if self._part.exists() else 0
            wanted = PullPiece(self._digest, self._process.address, have, PIECE_BYTES)
            try:
                piece = await self._process.peers.stream(source, wanted, PIECE_S)
                if not isinstance(piece, Piece):
                    raise Refused("answered something else")
            except EngineError as error:
                self._trouble[source] = error.fault.message
                return False
            if piece.busy:
                self._trouble[source] = "busy"
                new = [each for each in piece.elsewhere if each not in self._sources]
                self._sources = [*new, *self._sources]
                return False
            if not piece.data and have < piece.total:
                self._trouble[source] = "gave nothing"
                return False
            await self._at.blocking(self._append, have, piece.data)
            have += len(piece.data)
            self._at.progress(
                have / max(1, piece.total), f"getting {self._digest[:19]} from {source}"
            )
            if have >= piece.total:
                return await self._finish(source, piece)
        return False

    def _append(self, offset: int, data: bytes) -> None:
        self._part.parent.mkdir(parents=True, exist_ok=True)
        with self._part.open("ab") as file:
            if file.tell() == offset:
                file.write(data)

    async def _finish(self, source: str, piece: Piece) -> bool:
        try:
            kept = from_msgpack(piece.about, Kept)
            whole = Source(
                self._part, kept.kind, kept.virtual_bytes, kept.origin or source, kept.holds,
                kept.private,
            )  # fmt: skip
            await self._at.blocking(self._store.keep, whole, self._digest)
        except (Refused, msgspec.DecodeError) as error:
            text = error.fault.message if isinstance(error, Refused) else str(error)
            self._trouble[source] = f"what it gave is not the image: {text}"
            self._liars.add(source)
            await self._at.blocking(lambda: self._part.unlink(missing_ok=True))
            return False
        return True


def _read(path: Path, offset: int, limit: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(limit)


class FetchedImage(Effect, frozen=True):
    """An image in the store of this host, got from another one unless it is there, and used by us.

    Undoing it says that we do not use it any more. What was got of it stays: it is taken up there.

    Attributes:
        keep: It stays at the end, as long as there is room.
    """

    terms: Terms
    digest: str
    keep: bool = True

    @override
    def label(self) -> str:
        return f"image {self.digest[:19]}"

    @override
    async def look(self, at: Site) -> Presence:
        found = await at.blocking(Store(Path(self.terms.folder)).find, self.digest)
        return Presence.OURS if found else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        await at.service(Library).get(at, self.terms, self.digest)
        store = Store(Path(self.terms.folder))
        await at.blocking(store.refer, self.digest, name_of(at.owner), at.owner.path)
        return self

    @override
    async def undo(self, at: Site) -> None:
        store = Store(Path(self.terms.folder))
        await at.blocking(store.let_go, name_of(at.owner), self.digest)
        if not self.keep:
            await at.blocking(store.remove_unused, self.digest)
