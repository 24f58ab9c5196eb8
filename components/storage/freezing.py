"""Freezing volumes: what is on them stays as it is from then on, and their machine goes on above it.

What is frozen belongs to the volume: it goes, or stays, with it at the end. Only a machine that writes
nothing is frozen; one that runs is for snapshots of its hypervisor.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, cast

from msgspec import Struct

from components.storage.offers import FROZEN, DiskOffer
from components.storage.resizing import ResizingStorage
from components.storage.using import VolumesInUse
from engine.core.faults import BadDescription, Refused, WrongState
from engine.runtime.attributes import exposed
from engine.runtime.effects import Effect

OFF, PAUSED = "off", "paused"
"""Ways of a guest to write nothing."""
LAST_GENERATION = 2**31


class User:
    """What is asked of the domain whose volumes are frozen."""

    async def stillness(self) -> str:
        """Return `off`, `paused`, `saved` or `running`.

        Raises:
            Refused: It is not the one that has its volumes frozen.
        """
        raise NotImplementedError


class Frozen(Struct, frozen=True):
    """One volume that was frozen.

    Attributes:
        volume: Its name.
        content: What it held, as a file or device that nobody writes to any more.
        top: What its machine writes to from then on.
    """

    volume: str
    content: str
    top: str


def next_name(volume: str, generation: int, known: Iterable[str]) -> str:
    """Return the name of what comes into being when a volume is frozen.

    Args:
        volume: Its name.
        generation: Of the machine, as whoever has it frozen counts.
        known: Names that are there already.

    Example:
        >>> next_name("d-volume1", 2, ["d-volume1", "d-volume1-g2-1.qcow2", "d-volume1-g1-7.qcow2"])
        'd-volume1-g2-2'
    """
    begins = re.escape(f"{volume}-g{generation}-")
    found = (re.fullmatch(rf"{begins}(\d+)(?:\.qcow2)?", name) for name in known)
    return f"{volume}-g{generation}-{max((int(one[1]) for one in found if one), default=0) + 1}"


class FreezingStorage(ResizingStorage):
    """A backend whose volumes are frozen on request, where its kind of volumes can be.

    Attributes:
        frozen_when: In which states of the guest that can be done.
    """

    frozen_when: ClassVar[frozenset[str]] = frozenset({OFF})

    @abstractmethod
    def offers_of(self, effects: Sequence[Effect]) -> list[DiskOffer]:
        """Return the disks a machine has by these effects."""

    @abstractmethod
    async def use(self, offers: Sequence[DiskOffer]) -> None:
        """Have nobody else use these volumes."""

    @property
    @abstractmethod
    def keep_made(self) -> str:
        """Say which ends leave what is made now, whatever becomes of the volumes."""

    async def check_freezing(self) -> None:
        """Refuse to freeze volumes of this kind; those that can be, say so.

        Raises:
            Refused: They cannot be.
        """
        raise Refused(
            f"{type(self).__name__}: volumes of this kind cannot be frozen", code="SF-STORE-028",
            where=self.path, hint="use an OverlayStorageBackend, or LVMStorageBackend with a thinPool",
        )  # fmt: skip

    async def freezer(self, offer: DiskOffer, volume: str, name: str) -> tuple[Effect, Frozen]:
        """Return what freezes a volume.

        Args:
            offer: The volume as its machine has it.
            volume: Its name.
            name: Of what comes into being.
        """
        raise NotImplementedError

    @exposed(role="operator")
    async def freeze(self, generation: int) -> list[Frozen]:
        """Have the present content of root and data volumes stay as it is; all of them or none.

        A machine that has them is asked to, not its storage: it goes on with what is above.

        Args:
            generation: From 0; part of the names of what comes into being.

        Raises:
            Refused: These volumes cannot be frozen, or there is no room, or they are too many deep.
            WrongState: The guest may be writing.
        """
        if not 0 <= generation < LAST_GENERATION:
            raise BadDescription(
                f"generation must be a number from 0 (got {generation})", code="SF-ATTR-001",
                where=self.path,
            )  # fmt: skip
        await self._check_all()
        before = {id(made) for made in self.live.effects}
        names = [Path(offer.path).name for offer in self.volumes_of(self.made_effects)]
        done: list[Frozen] = []
        freezers: list[Effect] = []
        pairs = zip(self.layout(), self.offers, strict=True)
        for wanted, offer in pairs:
            if wanted.role in {"root", "data"}:
                name = next_name(wanted.name, generation, names)
                effect, frozen = await self.freezer(offer, wanted.name, name)
                freezers.append(effect)
                done.append(frozen)
        try:
            await self.use(self.volumes_of(freezers))
            for effect in freezers:
                await self.make(effect, keep=self.keep_made, executor=self.executor())
        except BaseException:
            for made in [one for one in reversed(self.live.effects) if id(one) not in before]:
                await self.unmake(made.effect)
            raise
        self.offers = self.offers_of(self.made_effects)
        return done

    async def _check_all(self) -> None:
        await self.check_freezing()
        if self.using_existing_volumes or not self.offers:
            there = "were there before" if self.offers else "are not there yet"
            raise Refused(
                f"volumes that {there} are not frozen", code="SF-STORE-028", where=self.path
            )
        await self._check_still()

    async def _check_still(self) -> None:
        if self.user is None:
            return
        still = cast("str", await self.call(self.user, User, "stillness"))
        if still not in self.frozen_when:
            raise WrongState(
                f"the guest of {self.user.name} is {still}, and its volumes are to be frozen",
                where=self.path, hint=f"have it {' or '.join(sorted(self.frozen_when))} first",
            )  # fmt: skip

    @exposed()
    async def thaw(self, paths: list[str]) -> None:
        """Take a freeze back that nobody has gone on from yet.

        Args:
            paths: Files or devices that came into being by it; others among them stay.

        Raises:
            WrongState: The guest may be writing.
        """
        await self._check_still()
        gone = set()
        for effect in reversed(self.made_effects):
            offer = self.offer_of(effect)
            if offer is not None and self.froze(effect) and offer.path in paths:
                await self.unmake(effect)
                gone.add(offer.path)
        for effect in self.made_effects:
            if isinstance(effect, VolumesInUse) and gone.issuperset(effect.volumes):
                await self.unmake(effect)
        self.offers = self.offers_of(self.made_effects)

    @property
    def made_effects(self) -> list[Effect]:
        """Return what there is by this backend, in the order in which it was made."""
        return [made.effect for made in self.live.effects]

    def froze(self, effect: Effect) -> bool:
        """Say whether something came into being as a volume was frozen."""
        offer = self.offer_of(effect)
        return offer is not None and offer.role == FROZEN

    def volumes_of(self, effects: Sequence[Effect]) -> list[DiskOffer]:
        """Return all volumes there are by these effects, also what is frozen of them."""
        offers = (self.offer_of(effect) for effect in effects)
        return [offer for offer in offers if offer is not None]
