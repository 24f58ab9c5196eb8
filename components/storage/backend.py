"""What all storage backends share: the domain they serve, its volumes, and what becomes of them."""

from __future__ import annotations

import asyncio
import uuid as uuids
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from msgspec.structs import replace
from typing_extensions import override

from components.images.kinds import ImageFacts
from components.storage.closing import Closing
from components.storage.declared import ON_THE_DOMAIN
from components.storage.filling import how_to_fill
from components.storage.found import GivenUpVolume
from components.storage.freezing import FreezingStorage
from components.storage.growing import name_of
from components.storage.keeping import ALWAYS, AS_LONG_AS_MADE, AS_LONG_AS_RESUMED, ending_of
from components.storage.offers import FROZEN, DiskOffer
from components.storage.replacing import MOST, Replacing, mark_of, read_name
from components.storage.sourcing import Wanted
from components.storage.space import Promise, Promises, on_disk, outstanding
from components.storage.usage import VolumeUsage, usage_of
from components.storage.using import VolumesInUse
from components.storage.volume_file import VolumeFile
from components.surroundings.above import said_above
from engine.core.faults import BadDescription, EngineError, NotFound, Refused
from engine.core.lifecycle import State
from engine.core.records import SHUTDOWN, Record
from engine.runtime.attributes import NotBound, exposed
from engine.runtime.effects import Effect
from engine.runtime.kinds import BadValueError, float_
from engine.wire.codec import FlatTree, unflatten
from engine.wire.messages import Handle
from sfdl.values import Value


class User:
    """What a backend may ask of the domain it serves."""

    async def let_go(self) -> None:
        """Stop using the disks: the backend is about to remove them."""


class StorageBackend(FreezingStorage):
    """Makes the volumes of one domain when it starts; what becomes of them at the end is a table.

    A domain binds the backend in its own deploy phase, so the backend knows whom it serves, and what
    the domain says about storage, before anything is made.
    """

    may_come_from_parent: ClassVar[frozenset[str]] = frozenset(ON_THE_DOMAIN)
    reserved: ClassVar[dict[str, Value]] = {
        "sfOrphanPolicy": "keep", "sfStartTimeout": 3600, "sfTerminateTimeout": 3600,
    }  # fmt: skip

    resumable: ClassVar[bool] = True
    """Whether volumes of an earlier creation can be taken over as they are."""

    def __init__(self) -> None:
        """Serve nobody yet."""
        super().__init__()
        self._bound_name = ""
        self.mark = ""
        self.resumes = False
        self._retained = False
        self.replacing = Replacing(self)
        self.providing = asyncio.Lock()

    # -- the domain's side

    @exposed()
    async def bind(
        self, user: Handle, domain_name: str, overrides: FlatTree, shell: Handle | None
    ) -> None:
        """Say which domain this backend serves, and what that domain says about storage.

        Raises:
            Refused: It serves another one already, or the two names contradict each other.
            BadDescription: An attribute on the domain does not fit.
        """
        if self.user is not None and self.user.name != user.name:
            raise Refused(
                f"BackendInUse: {self.path} serves {self.user.name} already", code="SF-STORE-002",
                where=user.name, hint="give each domain a backend of its own",
            )  # fmt: skip
        if self.domain_name and domain_name and self.domain_name != domain_name:
            raise Refused(
                f"domainName is {self.domain_name!r} on {self.path}, but {domain_name!r} on {user.name}",
                code="SF-STORE-003",
            )  # fmt: skip
        await self.take_workplace()
        self._take(dict(unflatten(overrides).attributes), user.name)
        await self._bind_early()
        self.user = user
        self._bound_name = domain_name
        self.user_shell = shell
        if self.live.state is State.STARTED:
            await self.promise_again()  # its volumes are there, and so is what they are made from
        elif not self.live.state.ended:
            await self.check_host()

    def _take(self, overrides: dict[str, Value], where: str) -> None:
        declared = type(self).declarations.attrs
        for name, value in overrides.items():
            if name == "baseImage":
                self.live.changes[name] = self._image_from_user = value
                continue
            try:
                self.live.bound[name] = self.from_user[name] = declared[name].read(value)
            except BadValueError as error:
                raise BadDescription(f"{where}.{name}: {error}", code="SF-ATTR-001") from error

    async def _bind_early(self) -> None:
        """Read attributes that stand elsewhere, where they are known already: checks need them."""
        for name in type(self).declarations.attrs.keys() - self.live.bound.keys():
            try:
                self.live.bound[name] = await self.fetch(name)
            except (NotFound, NotBound):
                self.log.debug("%s is not known yet", name)

    @exposed()
    async def wanted_name(self) -> str:
        """Return the domain name set here, or nothing."""
        return self.domain_name

    @property
    def used_by(self) -> str:
        """Return the name of the domain it serves, as it is said here or there; empty: none is known."""
        return self.domain_name or self._bound_name

    @exposed()
    async def image_facts(self) -> ImageFacts | None:
        """Return what fills the root volume; nothing if the volume was there before."""
        return None if self.using_existing_volumes else await self.image()

    @exposed()
    async def resume(self, disks: list[str]) -> bool:
        """Take the volumes as they are when it starts, for a guest of an earlier creation.

        Args:
            disks: Paths of those that guest has: they may have been made beside others.

        Returns:
            Whether they are all there, and can be taken.
        """
        for number in range(1, MOST) if self.resumable else ():
            self.mark = mark_of(number)
            try:
                found = await self.find_volumes(self.layout())
            except Refused:
                continue
            if number == 1 or found[0].path in disks:
                self.resumes = True
                if found[0].path in disks:
                    return True
        self.mark = ""
        return self.resumes

    @exposed()
    async def retain(self) -> None:
        """Leave the volumes at the end whatever else is said: their guest goes on, or is set aside."""
        self._retained = True
        for made in list(self.live.effects):
            await self.amend(made.effect, ALWAYS)
            if isinstance(made.effect, VolumesInUse):
                kept = replace(made.effect, kept=True)
                await self.live.process.keeper.renew(self.live, made.effect, kept)

    @exposed()
    async def disks(self) -> list[DiskOffer]:
        """Return the disks, root first; those that are not there yet are made now.

        They are where `provisionOn` is `attach`, and where the machine starts before its storage.
        """
        await self._provide()
        return [replace(offer, limits=self.io_limits) for offer in self.offers]

    @exposed(role="viewer")
    async def usage(self) -> list[VolumeUsage]:
        """Return how large its volumes are, and how much they take, as they are now.

        Raises:
            Refused: One is gone.
        """
        try:
            has = {offer.path for offer in self.offers}
            below = [one for one in self.volumes_of(self.made_effects) if one.path not in has]
            frozen = [replace(offer, role=FROZEN) for offer in below]
            return [await self.usage_of(offer) for offer in (*self.offers, *frozen)]
        except OSError as error:
            raise Refused(
                f"a volume cannot be looked at: {error}", code="SF-STORE-026", where=self.path
            ) from error

    async def usage_of(self, offer: DiskOffer) -> VolumeUsage:
        """Look at one volume of this host."""
        return await self.run_blocking(usage_of, offer.role, offer.path)

    # -- volumes

    @abstractmethod
    async def check_host(self) -> None:
        """Check, making nothing, that the host has what the volumes need."""

    @abstractmethod
    async def volume(self, wanted: Wanted, image: ImageFacts) -> Effect:
        """Return the effect that makes and fills a volume; `image` is for the root."""

    @override
    @abstractmethod
    def offer_of(self, effect: Effect) -> DiskOffer | None:
        """Return the disk that an effect of this backend stands for; nothing if it is no volume."""

    @abstractmethod
    async def find_volumes(self, wanted: Sequence[Wanted]) -> list[DiskOffer]:
        """Return volumes that are there already, root first.

        Raises:
            Refused: One is missing.
        """

    def is_local(self, offer: DiskOffer) -> bool:
        """Say whether a volume is on this host, so that it can be written beside it who uses it."""
        return bool(offer.path)

    def given_up(self, offer: DiskOffer) -> Effect:
        """Return the effect whose undoing removes a volume that was found."""
        return GivenUpVolume(offer.path, wipe=self.wipe_on_remove)

    @override
    async def on_deploy(self) -> None:
        await self.take_workplace()

    @override
    async def on_start(self) -> None:
        if self.provision_on == "start":
            await self._provide()
        else:
            await self.check_host()

    async def _provide(self) -> None:
        async with self.providing:
            if not self.offers:
                await self._provide_now()

    async def _provide_now(self) -> None:
        await self.check_host()
        if self.using_existing_volumes:
            found = await self.find_volumes(self.layout())
            await self.use(found)
            self.offers = found
            return
        self.offers = await self.make_volumes()

    async def make_volumes(self) -> list[DiskOffer]:
        """Make the volumes that are described, and say that they are in use; return them, root first.

        Raises:
            Refused: VolumeInUse, or a volume could not be made.
        """
        image = await self.image()
        effects = [await self.volume(wanted, image) for wanted in self.layout()]
        if self.resumes:
            effects += await self.frozen_before(effects)
        known_before = all(offer.path for offer in self.volumes_of(effects))
        if known_before:
            await self.use(self.volumes_of(effects))
        keep, again = self.keep_made, self.resumes
        async with self.turn():
            made = [
                await self.make(effect, keep=keep, executor=self.executor(), resume=again)
                for effect in effects
            ]
        if self.takes_space_at_once:
            self.service(Promises).taken(self)
        if not known_before:
            await self.use(self.volumes_of(made))
        return self.offers_of(made)

    @property
    def takes_space_at_once(self) -> bool:
        """Say whether its volumes have all their space once they are made, if no files tell."""
        return True

    @property
    @override
    def keep_made(self) -> str:
        return AS_LONG_AS_RESUMED if self.resumes else AS_LONG_AS_MADE

    async def frozen_before(self, effects: Sequence[Effect]) -> list[Effect]:
        """Return what an earlier creation has frozen of volumes that are taken over."""
        del effects
        return []

    @override
    async def use(self, offers: Sequence[DiskOffer]) -> None:
        """Have nobody else use these volumes.

        Raises:
            Refused: VolumeInUse: somebody does.
        """
        paths = tuple(offer.path for offer in offers if self.is_local(offer))
        if paths:
            use = VolumesInUse(paths, self.user or self.handle, kept=self.resumes)
            await self.make(use, keep=self.keep_made)

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await self.take_workplace_again()
        for effect in effects:
            if isinstance(effect, VolumesInUse):
                await self._say_again(effect)
        if self.using_existing_volumes:
            self.offers = await self.find_volumes(self.layout())
        else:
            self.offers = self.offers_of(effects)
            self.read_mark()
            await self.replacing.adopt()

    async def _say_again(self, use: VolumesInUse) -> None:
        """Write down again who uses volumes, where that went with a start of the host."""
        if await self.run_blocking(use.is_written):
            return
        try:
            await self.live.process.keeper.renew(self.live, use, use)
        except EngineError as error:
            self.note(f"that its volumes are in use cannot be written down: {error}", "warning")

    @override
    def offers_of(self, effects: Sequence[Effect]) -> list[DiskOffer]:
        return [offer for offer in self.volumes_of(effects) if offer.role != FROZEN]

    @override
    def layout(self) -> tuple[Wanted, ...]:
        """Return the volumes to be: root, swap if there is one, then data volumes.

        Raises:
            Refused: There is nothing to name them after.
        """
        prefix = self.domain_name or self._made_for() or self._bound_name
        if not prefix and not self.volume_names:
            raise Refused("nobody uses this backend and it has no domainName", where=self.path)
        root, no_fs = f"{prefix}-{self.volume_base_name}", ("none",)
        wanted = [Wanted("root", root, self.volume_size, self.make_fs)]
        if self.swap_size:
            wanted.append(Wanted("swap", f"{root}-swap", self.swap_size, no_fs))
        wanted += [
            Wanted("data", f"{root}-{one.name}", one.size_bytes, one.make_fs or self.make_fs)
            for one in self.data_volumes or ()
        ]
        if not self.volume_names:
            return tuple(replace(one, name=f"{one.name}{self.mark}") for one in wanted)
        if len(self.volume_names) > len(wanted):
            raise BadDescription(
                f"volumeNames has {len(self.volume_names)} names, for {len(wanted)} volumes",
                code="SF-STORE-013", where=self.path, hint="name the root first, then swap, then data",
            )  # fmt: skip
        pairs = zip(wanted, self.volume_names, strict=False)
        return tuple(replace(one, name=f"{name}{self.mark}") for one, name in pairs)

    def _made_for(self) -> str:
        """Return the name its machine had when the volumes were made: they keep it; else nothing."""
        found = self._name_read()
        return found[0] if found is not None and not self.volume_names else ""

    def _name_read(self) -> tuple[str, str] | None:
        """Return what the name of the root volume begins with, and its mark."""
        plain = self.volume_names[0] if self.volume_names else f"-{self.volume_base_name}"
        if not self.offers:
            return None
        root = self.offers[0].path
        named = (
            name_of(e, root) for e in self.made_effects if self.volumes_of([e]) == [self.offers[0]]
        )
        return read_name(next(named, Path(root).name), plain)

    def read_mark(self) -> None:
        """Find out from the volumes there are how their names end."""
        found = self._name_read()
        self.mark = found[1] if found is not None else ""

    def file(self, path: str, wanted: Wanted, image: ImageFacts) -> VolumeFile:
        """Return a volume as a file, or what is to be on a device."""
        root = wanted.role == "root"
        kind = image.kind if root else ""
        maker = self.make_fs[0]
        return VolumeFile(
            path=path, size_bytes=wanted.size_bytes, role=wanted.role,
            image=image.path if root else "", image_kind=kind, make_fs=wanted.make_fs,
            uuid=self.identity(wanted.role if wanted.role != "data" else wanted.name),
            how=how_to_fill(self.populate_mode, kind, maker, root=True) if root else "offline",
            mount_parent=self.temp_mount_point, preallocate=self.preallocate,
            wipe=self.wipe_on_remove, loops=self.most_loops,
        )  # fmt: skip

    @property
    def most_loops(self) -> int:
        """Return how many loop devices volumes have at a time; 0: as many as the kernel gives."""
        return 0

    def space_wanted(self) -> int:
        """Return how many bytes the volumes may take, and how many are to stay free."""
        return sum(one.size_bytes for one in self.layout()) + self.space_reserve

    async def reserve_space(
        self, where: str, free: int, place: str, files: tuple[str, ...] = ()
    ) -> None:
        """Have room kept for its volumes, or refuse to make them where they do not fit.

        Args:
            where: The place, for people.
            free: Bytes that are free there.
            place: The place, for comparing.
            files: The volumes, where their size on disk says how much of it they have taken.

        Raises:
            Refused: NoSpace, with numbers.
        """
        promises = self.service(Promises)
        others = promises.to_others(place, self)
        promised = await self.run_blocking(outstanding, others)
        have = await self.run_blocking(on_disk, files)
        factor = await said_above(self, "diskOvercommit", float_)
        wanted = self.space_wanted() - have
        if free * (1.0 if factor is None else factor) < wanted + promised:
            more = f"; {promised} are promised to others" if promised else ""
            raise Refused(
                f"NoSpace: {where} has {free} bytes free{more}; {wanted} are wanted, "
                f"{self.space_reserve} of them to stay free",
                code="SF-STORE-004", where=self.path,
                hint="choose another place, smaller volumes or a smaller spaceReserve, or raise "
                "diskOvercommit above it",
            )  # fmt: skip
        promises.make(self, Promise(place, self.space_wanted() - self.space_reserve, files))

    def identity(self, role: str) -> str:
        """Return a UUID for a filesystem or swap area, the same at each deployment."""
        text = f"{self.live.process.community}/{self.path}/{role}"
        return str(uuids.uuid5(uuids.NAMESPACE_URL, text))

    # -- the end

    @override
    async def on_terminate(self, record: Record) -> None:
        await self._wait_for_user()
        if self._retained or record.type == SHUTDOWN:
            await self.retain()
        else:
            await Closing(self).carry_out(ending_of(record))

    async def _wait_for_user(self) -> None:
        if self.user is None:
            return
        try:
            await self.call(self.user, User, "let_go")
        except EngineError as error:
            self.log.debug("the domain is gone already: %s", error)
