"""`VM`: a virtual machine of whatever kind the host has."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import ClassVar

from typing_extensions import override

from components.domains.domain import Domain
from components.hypervisor.choice import scheme_of
from engine.core.faults import BadDescription
from engine.runtime.kinds import BadValueError

GROUP = "smartdomains.domains"


@cache
def domain_of(scheme: str) -> type[Domain]:
    """Return the kind of domain that runs on hypervisors with that URI scheme.

    Raises:
        KeyError: No installed package offers one.
    """
    for point in entry_points(group=GROUP):
        if point.name == scheme:
            found = point.load()
            if isinstance(found, type) and issubclass(found, Domain):
                return found
    raise KeyError(scheme)


class VM(Domain, type="vm"):
    """A virtual machine that takes the hypervisor of the host it lands on.

    Attributes that only one kind of domain knows may be given; on the other kind they are ignored, and
    told in degraded if they promise something.
    """

    takes_any_hypervisor: ClassVar[bool] = True

    @override
    def check_hypervisor(self, uri: str) -> None:
        self._kind(uri)

    def _kind(self, uri: str) -> type[Domain]:
        try:
            return domain_of(scheme_of(uri))
        except KeyError as error:
            known = ", ".join(sorted(point.name for point in entry_points(group=GROUP)))
            raise BadDescription(
                f"no kind of domain is known for {uri}", code="SF-DOM-008", where=self.path,
                hint=f"hypervisors known here: {known}; is hypervisorUri right?",
            ) from error  # fmt: skip

    @override
    async def on_deploy(self) -> None:
        await super().on_deploy()
        self.make_profile()

    @property
    @override
    def kind(self) -> type[Domain]:
        return self._kind(self.uri)

    @override
    def bound(self) -> Mapping[str, object]:
        values: dict[str, object] = {}
        try:
            self.kind.declarations.bind(self.live.context(), values, where=self.path)
        except BadValueError as error:
            raise BadDescription(str(error), code="SF-ATTR-001") from error
        return {**values, **self.live.bound}
