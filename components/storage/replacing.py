"""Volumes made anew beside those a machine has, which go only once it runs on the new ones.

The new ones have names of their own, so that nothing of the old ones is touched before: going back is
using the old ones again. Which ones count, when the daemon goes down meanwhile, stands in its ledger.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Self

from typing_extensions import override

from components.storage.using import VolumesInUse
from engine.core.faults import Refused
from engine.runtime.effects import Effect, Presence, Site

if TYPE_CHECKING:
    from components.storage.backend import StorageBackend
    from components.storage.offers import DiskOffer

MOST = 20
"""How many volumes of one name there may be beside one another."""


class ReplacedVolumes(Effect, frozen=True):
    """That volumes of a machine are being replaced; there is nothing to undo about it.

    Attributes:
        old: Paths of those it has had.
        switched: It goes by the new ones.
    """

    old: tuple[str, ...]
    switched: bool = False

    @override
    def label(self) -> str:
        return "replacement of volumes"

    @override
    async def look(self, at: Site) -> Presence:
        return Presence.OURS

    @override
    async def make(self, at: Site) -> Self:
        return self

    @override
    async def undo(self, at: Site) -> None:
        """Leave the volumes to their own records."""


def mark_of(number: int) -> str:
    """Return what ends the names of volumes that were made beside others.

    Example:
        >>> mark_of(1), mark_of(2)
        ('', '+2')
    """
    return f"+{number}" if number > 1 else ""


def read_name(name: str, plain: str) -> tuple[str, str] | None:
    """Split the name of a volume into what precedes its plain ending, and its mark.

    Args:
        name: Of the volume.
        plain: How it ends without a mark.

    Example:
        >>> read_name("web-volume1+2", "-volume1"), read_name("web-volume1", "-volume1")
        (('web', '+2'), ('web', ''))
        >>> read_name("web-other", "-volume1") is None
        True
    """
    found = re.fullmatch(rf"(.*){re.escape(plain)}(\+\d+)?", name)
    return (found[1], found[2] or "") if found else None


class Replacing:
    """Replaces the volumes of one backend."""

    def __init__(self, backend: StorageBackend) -> None:
        """Serve one backend."""
        self._backend = backend
        self._old: list[DiskOffer] = []
        self._new: list[DiskOffer] = []

    def _marker(self) -> ReplacedVolumes | None:
        effects = (made.effect for made in reversed(self._backend.live.effects))
        return next((each for each in effects if isinstance(each, ReplacedVolumes)), None)

    def _volumes(self, paths: Collection[str]) -> list[Effect]:
        """Return what was made of these, last made first: also who uses them."""
        paths = set(paths)
        found: list[Effect] = []
        for made in reversed(self._backend.live.effects):
            offer = self._backend.offer_of(made.effect)
            used = made.effect.volumes if isinstance(made.effect, VolumesInUse) else ()
            if (offer is not None and offer.path in paths) or paths & set(used):
                found.append(made.effect)
        return found

    async def begin(self) -> None:
        """Make the new volumes; the old ones are there and used as before.

        Raises:
            Refused: There is no room, the image is missing, or others have all the names.
            EngineError: They could not be made; what was made of them is gone again.
        """
        async with self._backend.providing:
            await self._begin()

    async def _begin(self) -> None:
        backend = self._backend
        await self._resolve("volumes were replaced before, and that came to no end")
        self._old = list(backend.offers)
        before = backend.mark
        there = tuple(offer.path for offer in backend.volumes_of(backend.made_effects))
        await backend.make(ReplacedVolumes(there), keep="never")
        try:
            await self._choose_names({Path(path).name for path in there})
            await backend.check_host()
            self._new = await backend.make_volumes()
        except BaseException:  # also if nobody waits for it any more
            await self._unmake(set(self._volumes(there)))
            backend.mark = before
            await backend.promise_again()
            raise
        finally:
            backend.offers = self._old

    async def _choose_names(self, taken: set[str]) -> None:
        """Have the new volumes called as nothing else is."""
        backend = self._backend
        site = backend.live.effects[-1].site
        image = await backend.image()
        for number in range(1, MOST):
            backend.mark = mark_of(number)
            backend.offers = []
            wanted = backend.layout()
            if taken & {one.name for one in wanted}:
                continue
            effects = [await backend.volume(one, image) for one in wanted]
            looks = [await effect.look(site) for effect in effects]
            if all(look is Presence.ABSENT for look in looks):
                return
        raise Refused(
            "all names for new volumes are taken", code="SF-STORE-029", where=backend.path,
            hint="remove volumes that were kept",
        )  # fmt: skip

    async def _unmake(self, but: set[Effect]) -> None:
        """Undo volumes and what goes with them, apart from these."""
        backend = self._backend
        for made in reversed(list(backend.live.effects)):
            effect = made.effect
            ours = backend.offer_of(effect) is not None or isinstance(
                effect, VolumesInUse | ReplacedVolumes
            )
            if ours and effect not in but:
                await backend.unmake(effect)

    async def use(self, *, new: bool) -> None:
        """Go by the new volumes, or by the old ones again; durable when it returns."""
        marker = self._marker()
        if marker is not None and marker.switched != new:
            after = ReplacedVolumes(marker.old, switched=new)
            await self._backend.live.process.keeper.remake(self._backend.live, marker, after)
        self._backend.offers = self._new if new else self._old

    async def end(self, *, new: bool) -> None:
        """Have only the new volumes, or only the old ones, and be done; kept ones go on by themselves.

        Args:
            new: The machine runs on the new ones; else the attempt has failed.
        """
        backend = self._backend
        backend.offers = self._new if new else self._old
        marker = self._marker()
        old = marker.old if marker is not None else ()
        gone = self._volumes(old if new else [offer.path for offer in self._new])
        if new and backend.keep_volumes is True:
            for effect in gone:
                if isinstance(effect, VolumesInUse):
                    await backend.unmake(effect)
                else:
                    await backend.forget(effect)
            now = ", ".join(offer.path for offer in backend.offers)
            backend.note(f"the volumes it had are kept: {', '.join(old)}; it goes on with {now}")
        else:
            for effect in gone:
                await backend.unmake(effect)
        if marker is not None:
            await backend.forget(marker)
        backend.read_mark()
        self._old, self._new = [], []
        await backend.promise_again()

    async def adopt(self) -> None:
        """Go on, after a restart of the daemon, with those that counted; old ones are left, not lost."""
        await self._resolve("the daemon went down while volumes were replaced")

    async def _resolve(self, why: str) -> None:
        backend, marker = self._backend, self._marker()
        if marker is None:
            return
        offers = backend.offers_of(backend.made_effects)
        self._old = [offer for offer in offers if offer.path in marker.old]
        self._new = [offer for offer in offers if offer.path not in marker.old]
        if marker.switched:
            backend.offers = self._new
            for effect in self._volumes(marker.old):
                await backend.forget(effect)
            text = f"the old ones stay: {', '.join(marker.old)}"
        else:
            backend.offers = self._old
            await self._unmake({marker, *self._volumes(marker.old)})
            text = "it goes on with the old ones, which are not as described"
        await backend.forget(marker)
        backend.read_mark()
        backend.note(f"{why}: {text}", "warning")
