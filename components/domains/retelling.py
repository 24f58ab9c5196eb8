"""What a guest is told, kept up with its description: renewed whenever its machine is started again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.context.told import Told, Wishes, content_id
from components.domains import telling
from components.domains.telling import Telling
from components.hypervisor.errors import HypervisorError
from engine.core.faults import EngineError, Refused

if TYPE_CHECKING:
    from components.context.context import Outline
    from components.domains.domain import Domain

AUTO = "auto"


class Retelling:
    """Keeps up what the guest of one domain is told."""

    def __init__(self, domain: Domain) -> None:
        """Serve one domain."""
        self._domain = domain
        self._heard: Wishes | None = None
        self._words = ""
        self._id = ""

    def done(self, telling_: Telling, told: Told) -> None:
        """Take in that the guest is told something, for the start that comes next."""
        self._domain.contextMode = telling_.mode
        self._heard, self._words, self._id = told.wishes, telling_.words, content_id(told)

    async def adopted(self) -> None:
        """Take in, after a restart of the daemon, what the guest was told; as far as that is known."""
        domain = self._domain
        described = domain.making.outline.mode
        domain.contextMode = telling.mode_there(domain, described, domain.ip)
        try:
            told = await domain.making.told()
        except EngineError as error:
            domain.log.debug("its context does not answer yet: %s", error)
            return
        self._heard = told.wishes
        self._words = telling.words_of(domain.making.outline.mode, told)
        self._id = content_id(told)

    async def changed(self) -> bool:
        """Say whether its context says something else than when it was asked last.

        Raises:
            EngineError: It cannot be asked.
        """
        domain = self._domain
        before = domain.making.outline
        await domain.making.read_context()
        wishes = await telling.wishes_of(domain.context)
        heard, self._heard = self._heard, wishes
        other_way = before.mode != domain.making.outline.mode
        return other_way or (heard is not None and wishes != heard)

    async def waits(self) -> bool:
        """Say whether the guest will be told something else at its next start than it was.

        Raises:
            EngineError: Its context cannot be asked.
        """
        domain = self._domain
        told, mode = await domain.making.told(), self._mode()
        if mode != self.mode:
            return True
        if mode in {*telling.DISKS, "inject"}:
            return telling.last_told(domain, mode) not in {None, content_id(told)}
        if mode == "agent":
            return self._id not in {"", content_id(told)}
        return telling.words_of(domain.making.outline.mode, told) != self._words

    @property
    def mode(self) -> str:
        """Return how the guest was told; nothing if it was not yet."""
        known = self._domain.live.value("contextMode")
        return known if isinstance(known, str) else ""

    def _mode(self) -> str:
        """Return how it is told; what was found out about its image stands."""
        mode = self._domain.making.outline.mode
        return self.mode if mode == AUTO and self.mode else mode

    async def renew(self) -> None:
        """Have the guest told, at the start that comes, what its description says now.

        Where that cannot be, it is told what it was told before, and people are warned.
        """
        domain = self._domain
        try:
            if not await (await domain.hypervisor()).machines.is_saved(domain.uuid):
                await domain.making.naming.renew_addresses()
                await self._renew()
        except (EngineError, HypervisorError) as error:
            text = f"the guest is told what it was told before, as this cannot be renewed: {error}"
            domain.note(text, "warning")
            self._heard = None

    async def _renew(self) -> None:
        domain, before = self._domain, telling.disk_of(self._domain)
        known = self.mode
        await domain.making.read_context()
        mode, outline = self._mode(), domain.making.outline
        if outline.mode == AUTO and mode not in {*telling.DISKS, "inject"}:
            return  # nothing that stands anywhere
        done = await domain.making.tell(await domain.making.told(), mode)
        if (done.mode, done.words) != (known, ""):
            await domain.making.rewrite()
        if before is not None and not done.disks:
            await domain.unmake(before)

    async def check(self, outline: Outline) -> None:
        """Refuse what its context is to be where the guest cannot be told so.

        Raises:
            BadDescription: The text says what is missing or in the way.
            Refused: Its address would be another one.
        """
        domain = self._domain
        prefix = domain.making.outline.mac_prefix
        if (
            outline.mac_prefix != prefix
            and not domain.mac
            and domain.mac_mode == "ip"
            and domain.ip
        ):
            raise Refused(
                f"macPrefix {prefix} is in the MAC address of {domain.path}", code="SF-CTX-006",
                where=domain.path, hint="end the machine first, or give it its mac",
            )  # fmt: skip
        telling.check(
            outline, domain, kernel=domain.boots_directly, ip=domain.ip, mac=domain.mac,
            disks=domain.storage_backend.given,
        )  # fmt: skip
        hypervisor = await domain.hypervisor()
        telling.check_agent(outline, domain, hypervisor, channel=domain.asks_agent)
