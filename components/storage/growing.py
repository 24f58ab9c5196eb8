"""Volumes that become larger where they are: never smaller, and never undone.

A guest that runs hears of it from its hypervisor, where that can be; its file systems are grown inside.
What is on a volume is touched by neither, so that going back to an earlier description leaves it large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, cast, runtime_checkable

from components.storage.declared import DataVolume
from engine.core.faults import Refused
from engine.runtime.effects import Effect, Site

if TYPE_CHECKING:
    from components.storage.changing import ChangingStorage

SIZES = frozenset({"volumeSize", "dataVolumes"})
"""Attributes that may change while the volumes are there, if they become larger."""
OFF, LIVE, LATER = "off", "live", "later"
"""How a guest hears of it: as it starts, at once, or at its next power cycle."""
WAYS = {OFF: "at once", LIVE: "live", LATER: "next power cycle"}
"""The same, for a plan."""


class User:
    """What is asked of the domain whose volumes grow."""

    async def hears_of_growth(self) -> str:
        """Return `off`, `live` or `later`."""
        raise NotImplementedError

    async def grow_disk(self, path: str, size_bytes: int) -> None:
        """Have the running guest see a disk as larger; a file becomes as large by it."""

    async def see_later(self, names: list[str]) -> None:
        """Say that something counts at the next power cycle."""


@runtime_checkable
class Growable(Protocol):
    """A volume that can become larger."""

    @property
    def capacity_bytes(self) -> int:
        """Return what a guest sees."""

    def sized(self, size_bytes: int) -> Self:
        """Return the same, described as larger."""

    async def enlarge(self, at: Site, size_bytes: int) -> None:
        """Make it larger; it is as large already: nothing is done."""


@runtime_checkable
class Above(Protocol):
    """What a machine writes to instead of a volume that was frozen."""

    @property
    def volume(self) -> str:
        """Return the name of that volume."""


def name_of(effect: Effect, path: str) -> str:
    """Return the name of the volume that an effect stands for, whatever has been frozen of it."""
    return effect.volume if isinstance(effect, Above) else Path(path).name


def only_sizes(old: Sequence[DataVolume], new: Sequence[DataVolume]) -> bool:
    """Say whether two lists of volumes differ in sizes only.

    Example:
        >>> only_sizes([DataVolume("a", 1)], [DataVolume("a", 2)])
        True
        >>> only_sizes([DataVolume("a", 1)], [])
        False
    """
    return [(one.name, one.make_fs) for one in old] == [(one.name, one.make_fs) for one in new]


def cut(
    there: Mapping[str, int], wanted: Mapping[str, int], earlier: Mapping[str, int]
) -> str | None:
    """Return a volume that would have to become smaller, unless it was described so just before.

    Example:
        >>> cut({"root": 8}, {"root": 4}, {})
        'root'
        >>> cut({"root": 8}, {"root": 4}, {"root": 4}), cut({"root": 8}, {"root": 9}, {})
        (None, None)
    """
    return next(
        (
            name
            for name, size in wanted.items()
            if size < there.get(name, 0) and earlier.get(name) != size
        ),
        None,
    )


class Growing:
    """Grows the volumes of one backend."""

    def __init__(self, backend: ChangingStorage) -> None:
        """Serve one backend."""
        self._backend = backend
        self._earlier: dict[str, int] = {}

    def _volumes(self) -> dict[str, Effect]:
        """Return the volumes there are, by name."""
        found: dict[str, Effect] = {}
        for made in self._backend.live.effects:
            offer = self._backend.offer_of(made.effect)
            if offer is not None and isinstance(made.effect, Growable):
                found[name_of(made.effect, offer.path)] = made.effect
        return found

    def there(self) -> dict[str, int]:
        """Return how large the volumes are that there are, by name."""
        return {name: cast("Growable", one).capacity_bytes for name, one in self._volumes().items()}

    def _sizes(self, root: int, data: Sequence[DataVolume]) -> dict[str, int]:
        """Return the sizes to be, by name."""
        further = iter(data)
        found = {}
        for one in self._backend.layout():
            match one.role:
                case "root":
                    found[one.name] = root
                case "data":
                    found[one.name] = next(further).size_bytes
                case _:
                    continue
        return found

    def _data(self) -> Sequence[DataVolume]:
        """Return the data volumes there are, as they were described."""
        found = self._backend.as_made("dataVolumes")
        return cast("tuple[DataVolume, ...] | None", found) or ()

    def needs_others(self, root: int, data: Sequence[DataVolume]) -> bool:
        """Say whether these sizes need other volumes: smaller ones, more, or fewer."""
        if not only_sizes(self._data(), data):
            return True
        return cut(self.there(), self._sizes(root, data), self._earlier) is not None

    async def check(self, root: int, data: Sequence[DataVolume]) -> None:
        """Refuse sizes that the volumes cannot grow to.

        Args:
            root: `volumeSize` to be.
            data: `dataVolumes` to be.

        Raises:
            Refused: One would become smaller, others would be needed, or there is no room.
        """
        backend = self._backend
        if not only_sizes(self._data(), data):
            raise Refused(
                "dataVolumes: volumes are made with their machine; only their sizes can change",
                code="SF-STORE-022", where=backend.path,
                hint="describe a Volume, and name it in the machine's disks",
            )  # fmt: skip
        wanted, there = self._sizes(root, data), self.there()
        smaller = cut(there, wanted, self._earlier)
        if smaller is not None:
            raise Refused(
                f"{smaller} cannot become {wanted[smaller]} bytes: it has {there[smaller]}, and volumes "
                "grow, they are never cut",
                code="SF-STORE-018", where=backend.path, hint="describe another machine beside it",
            )  # fmt: skip
        more = sum(max(0, wanted[name] - there[name]) for name in wanted.keys() & there.keys())
        if more:
            await backend.check_growth_fits(more)
            await self._check_told(wanted, there)

    async def _check_told(self, wanted: Mapping[str, int], there: Mapping[str, int]) -> None:
        """Refuse to touch a qcow2 file that a guest has open and cannot be told about."""
        backend = self._backend
        if await self.heard() != LATER:
            return
        for effect in self._volumes().values():
            offer = backend.offer_of(effect)
            name = name_of(effect, offer.path) if offer is not None else ""
            if offer is not None and offer.format == "qcow2" and wanted.get(name, 0) > there[name]:
                raise Refused(
                    f"{name} is a qcow2 file that a guest has open, and its hypervisor cannot be told "
                    "that it grows",
                    code="SF-STORE-018", where=backend.path, hint="stop the guest first",
                )  # fmt: skip

    async def heard(self) -> str:
        """Return how the guest would hear of it."""
        user = self._backend.user
        if user is None:
            return OFF
        return cast("str", await self._backend.call(user, User, "hears_of_growth"))

    async def carry_out(self) -> None:
        """Make all volumes as large as they are described now; what is large enough stays.

        Raises:
            EngineError: It did not work; what has grown stays so.
        """
        backend = self._backend
        wanted = self._sizes(backend.volume_size, backend.data_volumes or ())
        volumes, how, later = self._volumes(), await self.heard(), False
        for name, size in wanted.items():
            effect = volumes.get(name)
            if effect is None:
                continue
            before = cast("Growable", effect).capacity_bytes
            if size < before:
                backend.note(f"{name} stays {before} bytes large: volumes are never cut", "warning")
            if size <= before:
                continue
            await self._grow(effect, size, how)
            later = later or how == LATER
            self._earlier[name] = before
            backend.note(f"{name} has {size} bytes now; its file system is grown in the guest")
        await backend.promise_again()
        if later and backend.user is not None:
            await backend.call(backend.user, User, "see_later", ["volumeSize"])

    async def _grow(self, effect: Effect, size: int, how: str) -> None:
        backend, keeper = self._backend, self._backend.live.process.keeper
        offer = backend.offer_of(effect)
        made = next(each for each in backend.live.effects if each.effect == effect)
        volume = cast("Growable", effect)
        if offer is None:
            return
        # The emulator has a file open, and grows it itself.
        if how != LIVE or offer.kind == "block":
            await volume.enlarge(made.site, size)
        if how == LIVE and backend.user is not None:
            await backend.call(backend.user, User, "grow_disk", offer.path, size)
        await keeper.restate(backend.live, effect, cast("Effect", volume.sized(size)))
