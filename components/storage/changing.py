"""What may change of a domain's storage while its volumes are there: sizes, and what counts later."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from typing_extensions import override

from components.hosts.above import said_above
from components.storage.declared import DataVolume
from components.storage.growing import SIZES, WAYS, Growing
from components.storage.sourcing import Sourced
from components.storage.space import Promises, outstanding
from engine.core.faults import BadDescription, Refused
from engine.runtime.attributes import exposed
from engine.runtime.effects import Effect
from engine.runtime.kinds import BadValueError, float_
from engine.wire.codec import FlatTree, unflatten
from engine.wire.messages import Handle
from sfdl.values import Value

if TYPE_CHECKING:
    from components.storage.backend import DiskOffer

ENDINGS = frozenset({
    "keepVolumes", "keepOnFailure", "saveImage", "saveImageName", "saveImagePath",
    "saveImageExtension", "saveImageOn", "saveImageKeep", "saveImageSysprep", "tempMountPoint",
    "spaceReserve", "wipeOnRemove", "maxChain",
})  # fmt: skip
"""Attributes that count at the end, or not at all, once the volumes are there."""


class ChangingStorage(Sourced):
    """The changing part of a backend.

    Attributes:
        user: The domain it serves, once one has bound it.
        offers: Its disks, once they are there.
        growing: Grows its volumes.
        from_user: What that domain says about storage, which wins.
    """

    def __init__(self) -> None:
        """Serve nobody, and have no volumes yet."""
        super().__init__()
        self.user: Handle | None = None
        self.offers: list[DiskOffer] = []
        self.growing = Growing(self)
        self.from_user: dict[str, object] = {}

    @abstractmethod
    def offer_of(self, effect: Effect) -> DiskOffer | None:
        """Return the disk that an effect of this backend stands for; nothing if it is no volume."""

    @override
    async def check_update(self, new: Mapping[str, Value]) -> bool:
        bound: dict[str, object] = {}
        type(self).declarations.bind(new, bound, where=self.path)
        bound.update(self.from_user)
        names = [*bound, *type(self).declarations.links]
        now = {name: self.live.bound.get(name, self.live.value(name)) for name in names}
        wanted = {name: bound.get(name, new.get(name)) for name in names}
        changed = {name for name in names if now[name] != wanted[name]} - ENDINGS
        found = SIZES if self.using_existing_volumes else frozenset[str]()
        made_from = [name for name in names if name in changed - (SIZES - found)]
        if made_from == ["ioLimits"] and self.offers:
            raise Refused(
                "ioLimits count when its machine is made, and it is there", code="SF-STORE-022",
                where=self.path, hint="end the application and start it anew",
            )  # fmt: skip
        if made_from and self.offers:
            raise Refused(
                f"{', '.join(made_from)}: the volumes would have to be made anew, which would lose "
                "what is on them",
                code="SF-STORE-022", where=self.path,
                hint="end the application and start it anew, or describe a second machine beside it",
            )  # fmt: skip
        if changed & SIZES and self.offers:
            await self._check_sizes(wanted)
        return True

    async def _check_sizes(self, wanted: Mapping[str, object]) -> None:
        data = cast("tuple[DataVolume, ...] | None", wanted["dataVolumes"])
        await self.growing.check(cast("int", wanted["volumeSize"]), data or ())

    @override
    async def explain_update(self, new: Mapping[str, Value]) -> Mapping[str, str]:
        return dict.fromkeys(SIZES & new.keys(), WAYS[await self.growing.heard()])

    @override
    async def on_update(self, old: Mapping[str, object], new: Mapping[str, object]) -> None:
        """Grow what is to be larger; what else the volumes are made from is refused before."""
        self.live.bound.update(self.from_user)
        if self.offers and not self.using_existing_volumes:
            await self.growing.carry_out()

    @exposed()
    async def check_growth(self, said: FlatTree) -> None:
        """Look whether the volumes can have the sizes that their domain is to give them.

        Raises:
            Refused: One would become smaller, others would be needed, or there is no room.
        """
        if self.using_existing_volumes:
            raise Refused(
                "volumes that were there stay as they are", code="SF-STORE-022", where=self.path
            )
        if self.offers:
            await self._check_sizes(self._sizes_of(said))

    @exposed()
    async def grow(self, said: FlatTree) -> None:
        """Give the volumes the sizes that their domain gives them now.

        Raises:
            EngineError: It did not work; what has grown stays so.
        """
        self.from_user = {n: v for n, v in self.from_user.items() if n not in SIZES}
        given = dict(unflatten(said).attributes)
        sizes = self._sizes_of(said)
        self.from_user.update({name: sizes[name] for name in SIZES & given.keys()})
        self.live.bound.update(sizes)
        if self.offers:
            await self.growing.carry_out()

    def _sizes_of(self, said: FlatTree) -> dict[str, object]:
        """Return the sizes a domain gives, else those said here."""
        given, declared = dict(unflatten(said).attributes), type(self).declarations.attrs
        try:
            return {
                name: declared[name].read(given.get(name, self.live.value(name))) for name in SIZES
            }
        except BadValueError as error:
            raise BadDescription(f"{self.path}: {error}", code="SF-ATTR-001") from error

    async def check_growth_fits(self, more: int) -> None:
        """Refuse to grow by so many bytes where there is no room; kinds of volumes know where."""
        del more

    async def refuse_growth(self, where: str, free: int, place: str, more: int) -> None:
        """Refuse to grow where there is no room.

        Args:
            where: The place, for people.
            free: Bytes that are free there.
            place: The place, for comparing.
            more: How many bytes are wanted.

        Raises:
            Refused: NoSpace, with numbers.
        """
        others = self.service(Promises).to_others(place, self)
        promised = await self.run_blocking(outstanding, others)
        factor = await said_above(self, "diskOvercommit", float_)
        if free * (1.0 if factor is None else factor) < more + self.space_reserve + promised:
            also = f"; {promised} are promised to others" if promised else ""
            raise Refused(
                f"NoSpace: {where} has {free} bytes free{also}; {more} more are wanted, and "
                f"{self.space_reserve} are to stay free",
                code="SF-STORE-004", where=self.path, hint="a smaller size, or a smaller spaceReserve",
            )  # fmt: skip

    async def promise_again(self) -> None:
        """Have room kept for the volumes as large as they are described now."""
