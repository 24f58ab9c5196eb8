"""Making images by recipe, once for each recipe and host, in a place that goes away if it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from msgspec import Struct
from msgspec.structs import replace
from typing_extensions import override

from components.images.kinds import examine
from components.images.store import Made, Source, Store, key_of, name_of, remove_tree
from components.images.timeless import FAKE_TIME, settle_inodes
from engine.core.faults import Refused, TimedOut
from engine.runtime.effects import Effect, Presence, Site

FILESYSTEMS = ("ext4", "ext3", "ext2")
WAIT_S = 0.1


class Parts(Struct, frozen=True):
    """What a recipe has made in its place.

    Attributes:
        image: The disk image.
        kernel: Lifted out of it; nothing if it has none.
        ramdisk: Likewise.
        holds: As in `ImageFacts`.
    """

    image: Path
    kernel: Path | None = None
    ramdisk: Path | None = None
    holds: tuple[str, ...] = ()


@asynccontextmanager
async def locked(
    store: Store, name: str, *, limit_s: float, wait: Callable[[], None]
) -> AsyncIterator[None]:
    """Hold the lock of a digest or recipe; others of this host wait.

    Raises:
        TimedOut: Somebody else had it for longer than `limit_s` seconds.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + limit_s
    while True:
        with store.try_lock(name) as mine:
            if mine:
                yield
                return
        if loop.time() > until:
            raise TimedOut(f"somebody else has been making {name} for {limit_s:g} s")
        wait()
        await asyncio.sleep(WAIT_S)


class BuiltImage(Effect, frozen=True):
    """An image in the store of this host, made unless it is there already, and used by us.

    Undoing it removes what is half made, and says that we do not use it any more. The image stays for
    others, until the store has to make room.

    Attributes:
        store: Folder of the store.
        made: What was made; nothing before.
    """

    store: str
    made: Made | None = None

    @property
    def key(self) -> str:
        """Return the key of the recipe."""
        return key_of(self.recipe())

    def recipe(self) -> Self:
        """Return what decides what is made, without the places it is made from and in."""
        return replace(self, store="", made=None)

    async def build(self, at: Site, folder: Path) -> Parts:
        """Make it in a folder of its own."""
        raise NotImplementedError

    @property
    def private(self) -> bool:
        """Say whether other users of the host may not read it."""
        return False

    def origin(self) -> str:
        """Say where it is from, for people."""
        return self.label()

    @override
    async def look(self, at: Site) -> Presence:
        store = Store(Path(self.store))
        there = self.made is not None and all(store.find(each) for each in self.made.digests)
        return Presence.OURS if there else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        store, key = Store(Path(self.store)), self.key

        def waiting() -> None:
            at.progress(0.1, "waiting for somebody else who makes the same image")

        async with locked(store, key, limit_s=3600, wait=waiting):
            made = await at.blocking(store.made_by, key)
            if made is None:
                made = await self._make(at, store, key)
            await at.blocking(self._refer, store, made, at.owner.path, name_of(at.owner))
        return replace(self, made=made)

    async def _make(self, at: Site, store: Store, key: str) -> Made:
        folder = store.scratch(f"{key}-{name_of(at.owner)}")
        await at.blocking(remove_tree, folder)
        folder.mkdir(parents=True, mode=0o700)
        try:
            parts = await self.build(at, folder)
            return await at.blocking(self._keep, store, key, parts)
        finally:
            await asyncio.shield(at.blocking(remove_tree, folder))

    def _keep(self, store: Store, key: str, parts: Parts) -> Made:
        facts = examine(parts.image)
        image = store.keep(
            Source(
                parts.image, facts.kind, facts.size_bytes, self.origin(), parts.holds, self.private
            )
        ).digest
        kernel, ramdisk = (
            store.keep(Source(part, "file", origin=self.origin())).digest if part else ""
            for part in (parts.kernel, parts.ramdisk)
        )
        made = Made(image, kernel, ramdisk)
        store.note_made(key, made)
        return made

    def _refer(self, store: Store, made: Made, path: str, who: str) -> None:
        for digest in made.digests:
            store.refer(digest, who, path)

    @override
    async def undo(self, at: Site) -> None:
        await at.blocking(self._undo, name_of(at.owner))

    def _undo(self, who: str) -> None:
        store = Store(Path(self.store))
        store.let_go(who)
        remove_tree(store.scratch(f"{self.key}-{who}"))


async def make_filesystem(
    at: Site, tree: Path, image: Path, *, kind: str, size_bytes: int, label: str, uuid: str,
    start: int = 0, fixed: bool = True,
) -> None:  # fmt: skip
    """Make a filesystem image from a folder, without mounting it, with the UUID that is given.

    Args:
        at: Where.
        tree: What is to be in it.
        image: The image to be, or one that is there, where it does not begin with the filesystem.
        kind: Of the filesystem.
        size_bytes: Of the filesystem.
        label: Of the filesystem.
        uuid: Of the filesystem.
        start: Byte of the image it begins at.
        fixed: Have nothing in it say when it was made.

    Raises:
        Refused: The folder does not fit.
    """
    words = ["-q", "-F", "-t", kind, "-L", label, "-U", uuid, "-d", str(tree)]
    extended = f"hash_seed={uuid},root_owner=0:0,lazy_itable_init=0"
    if start:  # behind a boot loader, which does not know the newest feature
        words += ["-O", "^metadata_csum_seed"]
        extended += f",offset={start}"
    try:
        await at.run((
            *(FAKE_TIME if fixed else ()), "mke2fs", *words, "-E", extended, "--", str(image),
            f"{size_bytes // 1024}k",
        ))  # fmt: skip
    except Refused as error:
        raise Refused(
            f"a filesystem of {size_bytes} bytes could not be made: {error.fault.message}",
            code="SF-IMAGE-005", hint="is size large enough for what is in it?",
        ) from error  # fmt: skip
    if fixed:
        await settle_inodes(at, image, start)


def inside(tree: Path, wanted: str) -> Path:
    """Find a file of a tree, following links as the system in it would.

    Raises:
        Refused: It is not there, is no file, or its links go round in a circle.
    """
    path, hops = tree, 0
    rest = [part for part in Path(wanted).parts if part != "/"]
    while rest:
        part = rest.pop(0)
        if part == "..":
            path = path.parent if path != tree else tree
            continue
        path /= part
        if path.is_symlink():
            hops += 1
            if hops > 40:
                raise Refused(f"{wanted}: links go round in a circle", code="SF-IMAGE-007")
            target = path.readlink()
            path = tree if target.is_absolute() else path.parent
            rest = [each for each in target.parts if each != "/"] + rest
    if not path.is_file():
        raise Refused(
            f"there is no file {wanted} in the image", code="SF-IMAGE-007",
            hint="kernel and ramdisk are paths inside it, such as boot/vmlinuz",
        )  # fmt: skip
    return path
