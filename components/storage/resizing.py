"""Making one volume larger by request: which attribute says its size, and what that is to say then."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.storage.changing import ChangingStorage
from components.storage.declared import DataVolume
from components.storage.growing import SIZES
from engine.core.faults import BadDescription, NotFound, Refused
from engine.runtime.attributes import exposed
from engine.runtime.kinds import BadValueError, size_bytes
from engine.wire.codec import FlatTree, flatten, unflatten
from engine.wire.messages import Change, as_tree
from sfdl.values import Description, Value, Vector

if TYPE_CHECKING:
    from components.storage.sourcing import Wanted


def in_kib(size: int) -> str:
    """Write a number of bytes so that it is read as that very number again.

    Example:
        >>> in_kib(8 * 2**20), in_kib(1537)
        ('8192k', '1.5010k')
    """
    return f"{size // 1024}k" if size % 1024 == 0 else f"{size / 1024:.4f}k"


def with_size(volumes: Sequence[DataVolume], index: int, size: Value) -> Vector:
    """Describe data volumes as they are, one of them with another size.

    Example:
        >>> with_size([DataVolume("a", 2**20), DataVolume("b", 2**20, ("mkfs.xfs",))], 0, "2m").items
        (Vector(items=('a', '2m')), Vector(items=('b', '1024k', 'mkfs.xfs')))
    """
    rows = []
    for place, one in enumerate(volumes):
        said: Value = size if place == index else in_kib(one.size_bytes)
        maker = (shlex.join(one.make_fs),) if one.make_fs else ()
        rows.append(Vector((one.name, said, *maker)))
    return Vector(tuple(rows))


class ResizingStorage(ChangingStorage):
    """A backend whose volumes are made larger one by one, on request."""

    @exposed()
    async def sized(self, volume: str, size: int | str) -> FlatTree:
        """Return the attribute that says how large a volume is, as it is to be.

        Args:
            volume: `root`, the name of one of the data volumes, or the whole name of either.
            size: As descriptions write it.

        Raises:
            NotFound: There is no such volume.
            Refused: It cannot become so large, or is not grown at all.
            BadDescription: That is no size.
        """
        if self.using_existing_volumes:
            raise Refused(
                "volumes that were there stay as they are", code="SF-STORE-022", where=self.path
            )
        try:
            bytes_ = size_bytes.read(size)
        except BadValueError as error:
            raise BadDescription(f"size {error}", code="SF-ATTR-001", where=self.path) from error
        index, name = self._place_of(volume)
        there = self.growing.there().get(name, 0)
        if bytes_ < there:
            raise Refused(
                f"{name} cannot become {bytes_} bytes: it has {there}, and volumes grow, they are never "
                "cut",
                code="SF-STORE-018", where=self.path, hint="say a larger size",
            )  # fmt: skip
        data = self.data_volumes or ()
        if index < 0:
            await self.growing.check(bytes_, data)
            return flatten(Description((("volumeSize", size),)))
        sizes = [bytes_ if place == index else one.size_bytes for place, one in enumerate(data)]
        grown = [DataVolume(one.name, sizes[place], one.make_fs) for place, one in enumerate(data)]
        await self.growing.check(self.volume_size, grown)
        return flatten(Description((("dataVolumes", with_size(data, index, size)),)))

    def _place_of(self, volume: str) -> tuple[int, str]:
        """Return the place of a volume among the data volumes, -1 for the root, and its whole name."""
        data: list[Wanted] = []
        for one in self.layout():
            if one.role == "data":
                data.append(one)
            elif volume in {one.role, one.name}:
                if one.role == "root":
                    return -1, one.name
                raise Refused(
                    "a swap volume stays as large as it was made", code="SF-STORE-022",
                    where=self.path, hint="only the root and data volumes grow",
                )  # fmt: skip
        for place, (one, said) in enumerate(zip(data, self.data_volumes or (), strict=False)):
            if volume in {one.name, said.name}:
                return place, one.name
        names = ", ".join(("root", *(said.name for said in self.data_volumes or ())))
        raise NotFound(
            f"there is no volume {volume}", code="SF-STORE-027", where=self.path,
            hint=f"it has {names}",
        )  # fmt: skip

    @exposed()
    async def take_size(self, said: FlatTree) -> None:
        """Give a volume the size that an attribute of this backend is to say, and have it say so.

        Raises:
            EngineError: It did not work; what has grown stays so.
        """
        before = {name: self.live.bound[name] for name in SIZES}
        self.live.bound.update(self._sizes_of(said))
        try:
            if self.offers:
                await self.growing.carry_out()
        except BaseException:
            self.live.bound.update(before)
            raise
        changes = tuple(
            Change(name, "replace", as_tree(value)) for name, value in unflatten(said).attributes
        )
        await self.live.process.changer.change(self.live, changes)
