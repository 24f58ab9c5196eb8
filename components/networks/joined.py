"""What networks and bridges share: the machines that are on them."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

from msgspec import Struct
from typing_extensions import override

from components.networks.forwards import Forward
from components.reporting import Reporting
from engine.core.faults import BadDescription, EngineError, Refused
from engine.core.records import DEPLOYMENT_FAILURE, Record
from engine.runtime.attributes import exposed
from engine.wire.messages import Handle


class User:
    """What may be asked of a machine that is on a network or bridge."""

    async def let_go(self, of: str = "") -> None:
        """Stop using it: it is about to go; `of` is its path."""


class Place(Struct, frozen=True):
    """Where a machine is that has joined.

    Attributes:
        kind: `network` and `bridge` of the hypervisor; `user`: the machine's emulator makes one up.
        name: What the hypervisor calls it; of a user network the path of the component.
        forwards: Ports of the host that lead to a guest on a user network.
    """

    kind: Literal["network", "bridge", "user"]
    name: str
    forwards: tuple[Forward, ...] = ()


class Joined(Reporting):
    """Something of this host that machines join; it ends after they have let go.

    Attributes:
        joined_by: Attribute of a machine that names it, `network` or `bridge`.
        users: Machines that have joined, by their names.
    """

    joined_by: ClassVar[Literal["network", "bridge"]]

    def __init__(self) -> None:
        """Have nobody on it."""
        self.users: dict[str, Handle] = {}

    @abstractmethod
    def device_name(self) -> str:
        """Return what the hypervisor calls it."""

    def place(self) -> Place:
        """Return where machines are that join it."""
        return Place(self.joined_by, self.device_name())

    def check_joining(self, user: Handle) -> None:
        """Refuse a machine that cannot be on it beside those that are.

        Raises:
            Refused: The text says why.
        """

    @exposed()
    async def attach(self, user: Handle, by: str) -> Place:
        """Say that a machine will be on it; return where that is.

        Args:
            user: The machine.
            by: Attribute it names it with.

        Raises:
            BadDescription: It is to be named with another attribute.
            Refused: The machine is on another host, or cannot be on it.
        """
        if by != self.joined_by:
            raise BadDescription(
                f"{by} leads to {self.path}, which is a {self.joined_by}", code="SF-DOM-002",
                where=user.name, hint=f"write {self.joined_by} instead of {by}",
            )  # fmt: skip
        if user.ident.daemon != self.live.process.daemon_id:
            raise Refused(
                f"{self.path} is on {self.handle.address}, {user.name} on {user.address}",
                code="SF-NET-005", where=user.name,
                hint="declare one beside the machines of each host, or name a bridge all hosts have",
            )  # fmt: skip
        self.check_joining(user)
        self.users[user.name] = user
        return self.place()

    @exposed()
    async def leave(self, user: Handle) -> None:
        """Say that a machine is on it no more."""
        self.users.pop(user.name, None)

    @exposed()
    async def retain(self) -> None:
        """Stay at the end: a machine on it goes on."""
        for made in list(self.live.effects):
            await self.amend(made.effect, f"always {DEPLOYMENT_FAILURE}")

    @override
    async def on_terminate(self, record: Record) -> None:
        for user in list(self.users.values()):
            try:
                await self.call(user, User, "let_go", self.path)
            except EngineError as error:
                self.log.debug("%s is gone already: %s", user.name, error)
