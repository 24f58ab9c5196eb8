"""What a domain makes on its host: its console log, its definition, its running instance."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from msgspec.structs import replace
from typing_extensions import override

from components.domains.rotation import pieces
from components.hypervisor.capabilities import Capability
from components.hypervisor.errors import HypervisorError
from components.hypervisor.owner import is_ours, owner_record
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import DomainFacts, Hypervisor
from engine.runtime.effects import Effect, NameTaken, Presence, Site


@contextlib.contextmanager
def _threads_of(at: Site, hypervisor: Hypervisor, uuid: str) -> Iterator[None]:
    """Make undo wait for hypervisor calls that outlive the one who made them."""
    try:
        yield
    except BaseException:
        for call in hypervisor.pending(uuid):
            at.watch(asyncio.ensure_future(call.wait()))
        raise


class ConsoleLog(Effect, frozen=True):
    """The file a machine's serial console is written to."""

    path: str

    @override
    def label(self) -> str:
        return f"console log {Path(self.path).name}"

    @override
    async def look(self, at: Site) -> Presence:
        return Presence.OURS if Path(self.path).exists() else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        await at.blocking(self._touch)
        return self

    def _touch(self) -> None:
        Path(self.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(self.path).write_bytes(b"")

    @override
    async def claim(self, at: Site) -> Self:
        return self

    @override
    async def undo(self, at: Site) -> None:
        for path in (Path(self.path), *pieces(Path(self.path))):
            await at.blocking(lambda path=path: path.unlink(missing_ok=True))


class Screen(Effect, frozen=True):
    """A picture of a machine's screen; the next one replaces it."""

    path: str

    @override
    def label(self) -> str:
        return f"picture {Path(self.path).name}"

    @override
    async def look(self, at: Site) -> Presence:
        return Presence.OURS  # whoever removes it does no harm

    @override
    async def make(self, at: Site) -> Self:
        await at.blocking(self.write, b"")
        return self

    def write(self, data: bytes) -> None:
        """Replace the picture; blocks."""
        Path(self.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(self.path).write_bytes(data)

    @override
    async def undo(self, at: Site) -> None:
        await at.blocking(lambda: Path(self.path).unlink(missing_ok=True))


class _OnHypervisor(Effect, frozen=True):
    """Common part of what is looked up at a hypervisor by its UUID."""

    uri: str
    uuid: str
    name: str

    async def _hypervisor(self, at: Site) -> Hypervisor:
        return await at.service(HypervisorPool).get(self.uri)

    async def _facts(self, at: Site) -> DomainFacts | None:
        return await (await self._hypervisor(at)).fact(self.uuid)

    async def _known(self, at: Site) -> Presence:
        """Look whether a domain of that name or UUID is known, running or not, and whose it is."""
        try:
            hypervisor = await self._hypervisor(at)
            facts = await hypervisor.fact(self.uuid) or await hypervisor.by_name(self.name)
        except HypervisorError as error:
            if error.kind in {"Unreachable", "Timeout"}:
                return Presence.UNKNOWN
            raise
        if facts is None:
            return Presence.ABSENT
        ours = facts.uuid == self.uuid and is_ours(facts, at.owner, exactly=False)
        return Presence.OURS if ours else Presence.FOREIGN


class DefinedDomain(_OnHypervisor, frozen=True):
    """A domain known to its hypervisor, with our owner record in its metadata.

    Attributes:
        was: Its name until it is made: it is there under either, or under none where its hypervisor has
            no other way to rename it than to forget it first.
    """

    xml: str
    autostart: bool = False
    was: str = ""

    @override
    def label(self) -> str:
        return f"domain {self.name}"

    @override
    async def look(self, at: Site) -> Presence:
        found = await self._known(at)
        return Presence.OURS if self.was and found is Presence.ABSENT else found

    @override
    async def make(self, at: Site) -> Self:
        hypervisor = await self._hypervisor(at)
        with _threads_of(at, hypervisor, self.uuid):
            try:
                if self.was:
                    await self._take_name(hypervisor, at)
                await hypervisor.define(self.xml)
            except HypervisorError as error:
                if error.kind == "NameTaken":
                    raise NameTaken(
                        f"a domain called {self.name} exists and is not ours", code="SF-NAME-001",
                        hint="choose another domainName; nothing was touched",
                    ) from error  # fmt: skip
                raise
            if self.autostart:
                await hypervisor.machines.autostart(self.uuid, on=True)
        return replace(self, was="")

    async def _take_name(self, hypervisor: Hypervisor, at: Site) -> None:
        """Have ours, which is off, go by this name."""
        facts = await hypervisor.fact(self.uuid)
        if facts is None or facts.name == self.name or not is_ours(facts, at.owner, exactly=False):
            return
        if Capability.RENAME in hypervisor.caps:
            await hypervisor.machines.rename(self.uuid, self.name)
        elif not facts.active:
            if await hypervisor.by_name(self.name) is not None:
                raise HypervisorError(
                    "NameTaken", f"there is a domain {self.name}", step="rename", name=facts.name
                )
            await hypervisor.undefine(self.uuid)

    @override
    async def claim(self, at: Site) -> Self:
        """Define it anew if it is off; one that runs or is saved goes on as it was."""
        hypervisor = await self._hypervisor(at)
        facts = await hypervisor.fact(self.uuid)
        goes_on = facts is not None and facts.active
        if not goes_on and not await hypervisor.machines.is_saved(self.uuid):
            return await self.make(at)
        with _threads_of(at, hypervisor, self.uuid):
            await hypervisor.machines.claim(self.uuid, owner_record(at.owner))
        return self

    @override
    async def undo(self, at: Site) -> None:
        hypervisor = await self._hypervisor(at)
        facts = await hypervisor.fact(self.uuid)
        if facts is None or not is_ours(facts, at.owner, exactly=True):
            return
        with _threads_of(at, hypervisor, self.uuid):
            if facts.active:
                await hypervisor.destroy(self.uuid, gentle=False)
            await hypervisor.undefine(self.uuid)


class RunningDomain(_OnHypervisor, frozen=True):
    """The running instance of a defined domain; it outlives our process.

    Attributes:
        paused: Start it without letting its processors go.
    """

    paused: bool = False

    @override
    def label(self) -> str:
        return f"running domain {self.name}"

    @override
    async def look(self, at: Site) -> Presence:
        try:
            facts = await self._facts(at)
        except HypervisorError as error:
            if error.kind in {"Unreachable", "Timeout"}:
                return Presence.UNKNOWN
            raise
        if facts is None or not facts.active:
            return Presence.ABSENT
        return Presence.OURS if is_ours(facts, at.owner, exactly=False) else Presence.FOREIGN

    @override
    async def make(self, at: Site) -> Self:
        hypervisor = await self._hypervisor(at)
        with _threads_of(at, hypervisor, self.uuid):
            saved = await hypervisor.machines.is_saved(self.uuid)
            await hypervisor.start(self.uuid, paused=self.paused)
            if saved:  # it came back with the owner it was saved with
                await hypervisor.machines.claim(self.uuid, owner_record(at.owner))
        return self

    @override
    async def claim(self, at: Site) -> Self:
        """Let go on what was suspended."""
        hypervisor = await self._hypervisor(at)
        with _threads_of(at, hypervisor, self.uuid):
            if not self.paused:
                await hypervisor.resume(self.uuid)
            await hypervisor.machines.claim(self.uuid, owner_record(at.owner))
        return self

    @override
    async def undo(self, at: Site) -> None:
        hypervisor = await self._hypervisor(at)
        facts = await hypervisor.fact(self.uuid)
        if facts is None or not facts.active or not is_ours(facts, at.owner, exactly=True):
            return
        with _threads_of(at, hypervisor, self.uuid):
            try:
                await hypervisor.destroy(self.uuid, gentle=True)
            except HypervisorError as error:
                if error.kind in {"Unreachable", "Timeout"}:
                    raise
                await hypervisor.destroy(self.uuid, gentle=False)


class TransientDomain(RunningDomain, frozen=True):
    """A running domain that its hypervisor forgets once it stops.

    Attributes:
        xml: What it is made from, also when it is started again.
    """

    xml: str = ""

    @override
    def label(self) -> str:
        return f"transient domain {self.name}"

    @override
    async def look(self, at: Site) -> Presence:
        return await self._known(at)

    @override
    async def make(self, at: Site) -> Self:
        hypervisor = await self._hypervisor(at)
        with _threads_of(at, hypervisor, self.uuid):
            await hypervisor.machines.create(self.xml)
        return self
