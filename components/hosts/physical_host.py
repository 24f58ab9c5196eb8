"""`PhysicalHost`: one host of a description, and what holds for the machines on it."""

from __future__ import annotations

from typing_extensions import override

from components.hypervisor.choice import uri_kind
from components.hypervisor.pool import HypervisorPool
from engine.compound import Compound
from engine.runtime.attributes import attr, output
from engine.runtime.effects import Effect
from engine.runtime.kinds import str_


class PhysicalHost(Compound, type="host.physical"):
    """A compound whose children live on the host named by `sfProcessHost`.

    Its attributes are found by the machines below it.
    """

    hypervisor_uri = attr(
        uri_kind, "", doc="Hypervisor of the machines below; theirs wins.", called="hypervisorUri"
    )
    default_network = attr(
        str_, "", doc="Network of machines below that name none.", called="defaultNetwork"
    )
    hypervisorVersion = output(
        str, doc="Driver and versions of the hypervisor, once it has been asked."
    )

    @override
    async def on_deploy(self) -> None:
        await self._greet()

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await self._greet()

    async def _greet(self) -> None:
        if not self.hypervisor_uri:
            return
        hypervisor = await self.service(HypervisorPool).get(self.hypervisor_uri)
        version = await hypervisor.version()
        self.hypervisorVersion = f"{version.driver} {version.hypervisor}, libvirt {version.library}"
