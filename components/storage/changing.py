"""What may change of a domain's storage while its volumes are there: sizes, and what counts later."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from typing_extensions import override

from components.storage.declared import ON_THE_DOMAIN, DataVolume
from components.storage.growing import SIZES, WAYS, Growing
from components.storage.sourcing import Sourced
from components.storage.space import Promises, outstanding
from components.surroundings.above import said_above
from engine.core.faults import BadDescription, Refused
from engine.runtime.attributes import exposed
from engine.runtime.effects import Effect
from engine.runtime.kinds import BadValueError, float_
from engine.runtime.proposal import going_back, proposed_at
from engine.wire.codec import FlatTree, unflatten
from engine.wire.messages import Handle
from sfdl.values import Kept, Reference, Value

if TYPE_CHECKING:
    from components.storage.offers import DiskOffer
    from components.storage.replacing import Replacing

ENDINGS = frozenset({
    "keepVolumes", "keepOnFailure", "saveImage", "saveImageName", "saveImagePath",
    "saveImageExtension", "saveImageOn", "saveImageKeep", "saveImageSysprep", "tempMountPoint",
    "spaceReserve", "wipeOnRemove", "maxChain", "maxLoop", "flattenOn",
})  # fmt: skip
"""Attributes that count at the end, or not at all, once the volumes are there."""


def remakes(differing: Sequence[str], *, found: bool) -> list[str]:
    """Return the attributes, of those that differ, that volumes are made from.

    Args:
        differing: Names.
        found: The volumes were there before, so that their sizes are not ours either.

    Example:
        >>> remakes(["baseImage", "volumeSize", "keepVolumes"], found=False)
        ['baseImage']
        >>> remakes(["volumeSize"], found=True)
        ['volumeSize']
    """
    return [name for name in differing if name not in ENDINGS and (found or name not in SIZES)]


class User:
    """What is asked of the domain whose volumes are to be replaced."""

    async def may_replace(self) -> bool:
        """Say whether it lets them be."""
        raise NotImplementedError


class ChangingStorage(Sourced):
    """The changing part of a backend.

    Attributes:
        user: The domain it serves, once one has bound it.
        offers: Its disks, once they are there.
        growing: Grows its volumes.
        from_user: What that domain says about storage, which wins.
        replacing: Makes others instead of its volumes.
    """

    replacing: Replacing

    def __init__(self) -> None:
        """Serve nobody, and have no volumes yet."""
        super().__init__()
        self.user: Handle | None = None
        self.offers: list[DiskOffer] = []
        self.growing = Growing(self)
        self.from_user: dict[str, object] = {}
        self._image_from_user: Value = None
        self._made_from: dict[str, object] = {}
        self._anew = False

    @abstractmethod
    def offer_of(self, effect: Effect) -> DiskOffer | None:
        """Return the disk that an effect of this backend stands for; nothing if it is no volume."""

    # -- looking

    @override
    async def check_update(self, new: Mapping[str, Value]) -> bool:
        bound: dict[str, object] = {}
        type(self).declarations.bind(new, bound, where=self.path)
        bound.update(self.from_user)
        wanted = {name: bound.get(name, new.get(name)) for name in self._names(bound)}
        await self._check(wanted, allowed=await self._allowed())
        return True

    def _names(self, bound: Mapping[str, object]) -> list[str]:
        return [*bound, *type(self).declarations.links]

    def as_made(self, name: str) -> object:
        """Return an attribute as it was when the volumes were made."""
        if name in self._made_from:
            return self._made_from[name]
        return self.live.bound.get(name, self.live.value(name))

    async def _check(self, wanted: Mapping[str, object], *, allowed: bool) -> None:
        """Refuse attributes that the volumes there are cannot have.

        Args:
            wanted: Attributes to be.
            allowed: Other volumes may be made instead, and these be lost.

        Raises:
            Refused: The text names the attributes.
        """
        if not self.offers:
            return
        differing = [name for name in wanted if self.as_made(name) != wanted[name]]
        found = {"usingExistingVolumes"} & set(differing) or self.using_existing_volumes
        remade = remakes(differing, found=bool(found))
        if remade == ["ioLimits"]:
            raise Refused(
                "ioLimits count when its machine is made, and it is there", code="SF-STORE-022",
                where=self.path, hint="end the application and start it anew",
            )  # fmt: skip
        data = cast("tuple[DataVolume, ...] | None", wanted.get("dataVolumes")) or ()
        size = cast("int", wanted.get("volumeSize", self.volume_size))
        other = not found and self.growing.needs_others(size, data)
        if remade and (found or not allowed):
            raise Refused(
                f"{', '.join(remade)}: the volumes would have to be made anew, which would lose "
                "what is on them",
                code="SF-STORE-022", where=self.path,
                hint="volumes that were there are never replaced" if found else
                "say allowReplace true of their machine, and others are made, and it runs on them",
            )  # fmt: skip
        if remade or (other and allowed):
            return
        if SIZES & set(differing):
            await self.growing.check(size, data)

    async def _allowed(self) -> bool:
        """Say whether the machine, as it is to be described, lets its volumes be replaced.

        On the way back from an update that failed nothing is replaced, and nothing is in its way.
        """
        if going_back():
            return True
        if self.user is None:
            return False
        proposed = proposed_at(self.user.name)
        if proposed is not None:
            return proposed.get("allowReplace") is True
        return await self.call(self.user, User, "may_replace") is True

    @override
    async def explain_update(self, new: Mapping[str, Value]) -> Mapping[str, str]:
        bound: dict[str, object] = {}
        type(self).declarations.bind(new, bound, where=self.path)
        bound.update(self.from_user)
        wanted = {name: bound.get(name, new.get(name)) for name in self._names(bound)}
        return await self._explained(wanted)

    async def _explained(self, wanted: Mapping[str, object]) -> dict[str, str]:
        differing = [name for name in wanted if self.as_made(name) != wanted[name]]
        if not self.offers:
            return {}
        data = cast("tuple[DataVolume, ...] | None", wanted.get("dataVolumes")) or ()
        size = cast("int", wanted.get("volumeSize", self.volume_size))
        remade = remakes(differing, found=self.using_existing_volumes)
        if remade or self.growing.needs_others(size, data):
            names = ", ".join(Path(offer.path).name for offer in self.offers)
            kept = wanted.get("keepVolumes") is True
            fate = f"{names} stay beside the new ones" if kept else f"what is on {names} is lost"
            lost = dict.fromkeys([*remade, *(SIZES & set(differing))], f"replacement: {fate}")
            return lost | {name: "at once" for name in differing if name in ENDINGS}
        return dict.fromkeys(SIZES & set(differing), WAYS[await self.growing.heard()])

    # -- doing

    @override
    async def on_update(self, old: Mapping[str, object], new: Mapping[str, object]) -> None:
        """Grow what is to be larger; what is to be made anew waits until its machine asks for it."""
        self._note_made_from(
            {name: value for name, value in old.items() if name not in self.from_user}
        )
        self._again()
        if self.offers and not self.using_existing_volumes and not self.remade():
            await self.growing.carry_out()

    def _again(self) -> None:
        """Go by what the domain says about storage: that wins over what is described here."""
        self.live.bound.update(self.from_user)
        if self._image_from_user is not None:
            self.live.changes["baseImage"] = self._image_from_user

    def _note_made_from(self, old: Mapping[str, object]) -> None:
        for name, value in old.items() if self.offers else ():
            self._made_from.setdefault(name, value)

    @override
    async def on_update_started(self) -> None:
        self._again()

    @exposed()
    async def check_said(self, said: FlatTree, allowed: bool) -> None:  # noqa: FBT001 - called from afar
        """Look whether the volumes can be as their domain is to say.

        Args:
            said: What the domain is to say about storage.
            allowed: Other volumes may be made instead, and these be lost.

        Raises:
            Refused: They cannot, or others would have to be made.
        """
        await self._check(self._with(said), allowed=allowed)

    @exposed()
    async def explain_said(self, said: FlatTree) -> dict[str, str]:
        """Say how what the domain is to say about storage takes effect, for a plan."""
        return await self._explained(self._with(said))

    @exposed()
    async def say(self, said: FlatTree, anew: bool) -> None:  # noqa: FBT001 - called from afar
        """Take what the domain says about storage from now on; volumes that are larger by it grow.

        Args:
            said: All it says.
            anew: Its volumes are to be replaced in any case.

        Raises:
            EngineError: It did not work; what has grown stays so.
        """
        given, after = dict(unflatten(said).attributes), self._with(said)
        self._note_made_from({name: self.as_made(name) for name in ON_THE_DOMAIN if name in after})
        self._anew = self._anew or (anew and not going_back())
        image = given.pop("baseImage", None)
        self._image_from_user = image
        if image is None:
            self.live.changes.pop("baseImage", None)
        self.from_user = {name: after[name] for name in given}
        self.live.bound.update(
            {n: v for n, v in after.items() if n in type(self).declarations.attrs}
        )
        self._again()
        if self.offers and not self.remade():
            await self.growing.carry_out()

    def _sizes_of(self, said: FlatTree) -> dict[str, object]:
        """Return the sizes that are said, else those there are."""
        given, declared = dict(unflatten(said).attributes), type(self).declarations.attrs
        try:
            return {
                name: declared[name].read(given.get(name, self.live.value(name))) for name in SIZES
            }
        except BadValueError as error:
            raise BadDescription(f"{self.path}: {error}", code="SF-ATTR-001") from error

    def _with(self, said: FlatTree) -> dict[str, object]:
        """Return the attributes with what a domain says, else as they are said here."""
        given, declared = dict(unflatten(said).attributes), type(self).declarations.attrs
        described = self.live.described()
        try:
            found: dict[str, object] = {
                name: declared[name].read(given.get(name, described.get(name)))
                for name in ON_THE_DOMAIN
                if name in declared and not isinstance(described.get(name), Reference | Kept)
            }
        except BadValueError as error:
            raise BadDescription(f"{self.path}: {error}", code="SF-ATTR-001") from error
        found["baseImage"] = given.get("baseImage", described.get("baseImage"))
        return found

    # -- others instead

    def remade(self) -> bool:
        """Say whether the volumes are not those that are described, so that others are to be made."""
        if not self.offers or self.using_existing_volumes:
            return False
        differing = [
            name
            for name, value in self._made_from.items()
            if self.live.bound.get(name, self.live.value(name)) != value
        ]
        other = bool(SIZES & set(differing)) and self.growing.needs_others(
            self.volume_size, self.data_volumes or ()
        )
        return self._anew or other or bool(remakes(differing, found=False))

    @exposed()
    async def to_be_replaced(self) -> bool:
        """Say whether others are to be made instead of the volumes."""
        return self.remade()

    @exposed()
    async def accept(self) -> None:
        """Take the volumes there are for those that are described."""
        self._made_from, self._anew = {}, False

    @exposed()
    async def begin_replacement(self) -> None:
        """Make the volumes that are described beside those that are there.

        Raises:
            EngineError: They could not be made; what was made of them is gone again.
        """
        await self.replacing.begin()

    @exposed()
    async def use_replacement(self, new: bool) -> None:  # noqa: FBT001 - called from afar
        """Go by the new volumes, or by the old ones again."""
        await self.replacing.use(new=new)

    @exposed()
    async def end_replacement(self, new: bool) -> None:  # noqa: FBT001 - called from afar
        """Have only the new volumes, or only the old ones."""
        await self.replacing.end(new=new)
        if new:
            self._made_from, self._anew = {}, False
        self._anew = False

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
