"""The name of a machine at its hypervisor, and giving it another one while its guest is off.

What was named after it before keeps its name: volumes, console log, context disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from components.domains.effects import ConsoleLog, DefinedDomain, RunningDomain
from components.hypervisor import names
from components.hypervisor.errors import HypervisorError
from components.hypervisor.owner import holder_of
from components.networks.effects import KeptAddress
from engine.core.faults import EngineError, Refused
from engine.runtime.effects import NameTaken

if TYPE_CHECKING:
    from components.domains.domain import Domain

NAME = "domainName"
"""Attribute that says it."""


class Naming:
    """Names one domain."""

    def __init__(self, domain: Domain) -> None:
        """Serve one domain."""
        self._domain = domain

    async def wanted(self, given: str | None = None) -> str:
        """Return the name that is described: on the machine, on its storage, or by its path.

        Args:
            given: On the machine, if it is not what that says now.

        Raises:
            BadDescription: It cannot be a name.
        """
        domain = self._domain
        given = domain.domain_name if given is None else given
        if not given and domain.storage_backend.given:
            given = await domain.storage_backend.api.wanted_name()
        return names.check_name(given or names.name_from_path(domain.path), where=domain.path)

    async def check(self, given: str) -> None:
        """Refuse another name, before anything is changed, that the machine cannot have.

        Args:
            given: On the machine, to be.

        Raises:
            NameTaken: Another domain has it; the text says whose that is.
            Refused: Its storage gives it its name.
        """
        domain = self._domain
        name = await self.wanted(given)
        if domain.storage_backend.given:
            theirs = await domain.storage_backend.api.wanted_name()
            if theirs and theirs != name:
                raise Refused(
                    f"domainName is {theirs!r} on its storage, whose volumes have it, and would be "
                    f"{name!r} on {domain.path}",
                    code="SF-STORE-003", where=domain.path,
                )  # fmt: skip
        facts = await (await domain.hypervisor()).by_name(name)
        if facts is not None and facts.uuid != domain.uuid:
            raise NameTaken(
                f"a domain called {name} exists already ({holder_of(facts)}, UUID {facts.uuid}, "
                f"{facts.state.value})",
                code="SF-NAME-001", where=domain.path,
                hint="choose another domainName; neither domain was touched",
            )  # fmt: skip

    async def renew(self) -> None:
        """Give the machine, whose guest is off, the name that is described now.

        Where that cannot be, it keeps the one it has, and people are warned.
        """
        domain = self._domain
        try:
            wanted = await self.wanted()
            if wanted != domain.called:
                if await (await domain.hypervisor()).machines.is_saved(domain.uuid):
                    return  # it goes on under the name it was saved with
                await self.take(wanted)
        except (EngineError, HypervisorError) as error:
            domain.note(f"it is still called {domain.called}: {error}", "warning")

    async def take(self, name: str) -> None:
        """Give the machine, whose guest is off, another name.

        Raises:
            HypervisorError: It cannot have it; it has the old one.
        """
        domain, making, before = self._domain, self._domain.making, self._domain.called
        keeper, live = domain.live.process.keeper, domain.live
        domain.called = name
        try:
            await making.write()
            for made in list(live.effects):
                if isinstance(made.effect, DefinedDomain):
                    old = made.effect
                    new = replace(old, name=name, xml=making.xml, was=old.name)
                    await keeper.restate(live, old, new)
                    await self._rename(old, new)
        except BaseException:
            domain.called = before
            await making.write()
            raise
        for made in list(live.effects):
            if isinstance(made.effect, RunningDomain):
                await keeper.restate(live, made.effect, replace(made.effect, name=name))
        await self._take_console()
        domain.note(f"it was called {before}, and is called {name} now")

    async def _rename(self, old: DefinedDomain, new: DefinedDomain) -> None:
        """Have it defined under its new name, or under its old one; its record says which."""
        keeper, live = self._domain.live.process.keeper, self._domain.live
        try:
            await keeper.remake(live, new, new)
        except Exception:
            facts = await (await self._domain.hypervisor()).fact(new.uuid)
            if facts is not None and facts.name == new.name:  # that much was done
                await keeper.restate(live, new, replace(new, was=""))
                return
            await keeper.restate(live, new, old)
            if facts is None:
                await keeper.remake(live, old, old)
            raise

    async def finish(self) -> None:
        """Take the name that the daemon was about to give it when it went down.

        Where that cannot be had any more, it keeps the one it had.
        """
        domain = self._domain
        for made in list(domain.live.effects):
            effect = made.effect
            if isinstance(effect, DefinedDomain) and effect.was:
                before = replace(effect, name=effect.was, was="")
                try:
                    hypervisor = await domain.hypervisor()
                    if await hypervisor.fact(domain.uuid) is not None:
                        before = replace(before, xml=await hypervisor.xml(domain.uuid))
                    await self._rename(before, effect)
                except (EngineError, HypervisorError) as error:
                    domain.called = before.name
                    domain.note(f"it is still called {before.name}: {error}", "warning")

    async def _take_console(self) -> None:
        """Follow a console log that the hypervisor itself names after the machine."""
        domain, log = self._domain, self._domain.making.console_path()
        before = domain.consolePath
        if log != before and domain.make_profile().console_log(domain.called) == log:
            await domain.making.make(ConsoleLog(log))
            domain.consolePath = log
            await domain.unmake(ConsoleLog(before))

    async def renew_addresses(self) -> None:
        """Have networks that keep addresses for the machine know them by its host name as it is now.

        Raises:
            EngineError: A network does not.
        """
        domain = self._domain
        name = domain.making.hostname
        for made in list(domain.live.effects):
            kept = made.effect
            if isinstance(kept, KeptAddress) and kept.host.name != name:
                await domain.unmake(kept)
                await domain.making.make(replace(kept, host=replace(kept.host, name=name)))
