"""What networks make at a hypervisor: a definition, its running instance, addresses kept."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Self

from typing_extensions import override

from components.hypervisor.errors import HypervisorError
from components.hypervisor.owner import is_ours
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import DhcpHost, Hypervisor, NetworkFacts
from engine.core.faults import Busy
from engine.runtime.effects import Effect, NameTaken, Presence, Site

LOST = {"Unreachable", "Timeout"}


@contextlib.contextmanager
def _threads_of(at: Site, hypervisor: Hypervisor, uuid: str) -> Iterator[None]:
    """Make undo wait for hypervisor calls that outlive the one who made them."""
    try:
        yield
    except BaseException:
        for call in hypervisor.pending(uuid):
            at.watch(asyncio.ensure_future(call.wait()))
        raise


class _OnNetwork(Effect, frozen=True):
    """Common part of what is looked up by a network's UUID.

    Attributes:
        uri: Hypervisor.
        uuid: Of the network.
        name: Of the network.
    """

    uri: str
    uuid: str
    name: str

    async def _hypervisor(self, at: Site) -> Hypervisor:
        return await at.service(HypervisorPool).get(self.uri)

    @override
    async def look(self, at: Site) -> Presence:
        try:
            networks = (await self._hypervisor(at)).networks
            facts = await networks.fact(self.uuid) or await networks.by_name(self.name)
        except HypervisorError as error:
            if error.kind in LOST:
                return Presence.UNKNOWN
            raise
        return Presence.ABSENT if facts is None else self._judge(facts, at)

    def _judge(self, facts: NetworkFacts, at: Site) -> Presence:
        """Say what a network that was found is to this effect."""
        raise NotImplementedError


class DefinedNetwork(_OnNetwork, frozen=True):
    """A network known to its hypervisor, with our owner record in its metadata."""

    xml: str

    @override
    def label(self) -> str:
        return f"network {self.name}"

    @override
    def _judge(self, facts: NetworkFacts, at: Site) -> Presence:
        ours = facts.uuid == self.uuid and is_ours(facts, at.owner, exactly=False)
        return Presence.OURS if ours else Presence.FOREIGN

    @override
    async def make(self, at: Site) -> Self:
        hypervisor = await self._hypervisor(at)
        there = await hypervisor.networks.fact(self.uuid)
        with _threads_of(at, hypervisor, self.uuid):
            if there is not None and there.active and is_ours(there, at.owner, exactly=False):
                with contextlib.suppress(
                    Busy
                ):  # kept by an earlier deployment, with machines on it
                    await _stop(hypervisor, self.uuid, self.name)
            try:
                await hypervisor.networks.define(self.xml)
            except HypervisorError as error:
                if error.kind == "NameTaken":
                    raise NameTaken(
                        error.message, code="SF-NAME-001",
                        hint="choose another networkName; nothing was touched",
                    ) from error  # fmt: skip
                raise
        return self

    @override
    async def undo(self, at: Site) -> None:
        hypervisor = await self._hypervisor(at)
        facts = await hypervisor.networks.fact(self.uuid)
        if facts is None or not is_ours(facts, at.owner, exactly=True):
            return
        with _threads_of(at, hypervisor, self.uuid):
            await _stop(hypervisor, self.uuid, self.name)
            await hypervisor.networks.undefine(self.uuid)


class ActiveNetwork(_OnNetwork, frozen=True):
    """The running instance of a defined network; it outlives our process."""

    autostart: bool = False

    @override
    def label(self) -> str:
        return f"active network {self.name}"

    @override
    def _judge(self, facts: NetworkFacts, at: Site) -> Presence:
        if not is_ours(facts, at.owner, exactly=False):
            return Presence.FOREIGN
        return Presence.OURS if facts.active else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        hypervisor = await self._hypervisor(at)
        with _threads_of(at, hypervisor, self.uuid):
            await hypervisor.networks.start(self.uuid, autostart=self.autostart)
        return self

    @override
    async def undo(self, at: Site) -> None:
        hypervisor = await self._hypervisor(at)
        facts = await hypervisor.networks.fact(self.uuid)
        if facts is None or not facts.active or not is_ours(facts, at.owner, exactly=True):
            return
        with _threads_of(at, hypervisor, self.uuid):
            await _stop(hypervisor, self.uuid, self.name)


async def _stop(hypervisor: Hypervisor, uuid: str, name: str) -> None:
    """Stop a network that nobody is on.

    Raises:
        Busy: There are machines on it; they would lose their network.
    """
    domains = await hypervisor.facts()
    there = sorted(one.name for one in domains if one.active and name in one.networks)
    if there:
        raise Busy(
            f"network {name} has machines on it: {', '.join(there)}", code="SF-NET-003",
            hint="it goes as soon as they have ended",
        )  # fmt: skip
    await hypervisor.networks.stop(uuid)


class KeptAddress(_OnNetwork, frozen=True):
    """An address that a network's DHCP server keeps for one machine."""

    host: DhcpHost

    @override
    def label(self) -> str:
        return f"address {self.host.ip} on network {self.name}"

    @override
    def _judge(self, facts: NetworkFacts, at: Site) -> Presence:
        del at
        if self.host in facts.hosts:
            return Presence.OURS
        taken = any(self.host.mac == one.mac or self.host.ip == one.ip for one in facts.hosts)
        return Presence.FOREIGN if taken else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        hypervisor = await self._hypervisor(at)
        with _threads_of(at, hypervisor, self.uuid):
            await hypervisor.networks.reserve(self.uuid, self.host)
        return self

    @override
    async def undo(self, at: Site) -> None:
        hypervisor = await self._hypervisor(at)
        with _threads_of(at, hypervisor, self.uuid):
            await hypervisor.networks.unreserve(self.uuid, self.host)
