"""`SystemdUnit`: a unit of the host's systemd, started or stopped as long as the component lives."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, ClassVar, Self

from typing_extensions import override

from engine.core.faults import Refused
from engine.core.records import Record
from engine.prim import Prim, Unwell
from engine.runtime.attributes import attr, output
from engine.runtime.effects import Effect, Presence, Site
from engine.runtime.kinds import BadValueError, Kind, shown, str_
from sfdl.values import Value

if TYPE_CHECKING:
    from components.services.systemd_bus import Systemd

KINDS = "service|socket|target|timer|path|mount|automount|swap|slice|scope|device"
UNIT = re.compile(rf"[\w:.\\@-]{{1,240}}\.({KINDS})")
UP = frozenset({"active", "reloading", "refreshing"})
ON_THE_WAY = frozenset({"activating", "deactivating", "maintenance"})


def _unit(value: Value) -> str:
    if isinstance(value, str) and UNIT.fullmatch(value):
        return value
    raise BadValueError(f'must be a unit such as "cron.service" (got {shown(value)})')


def _connection(address: str) -> Systemd:
    try:
        from components.services.systemd_bus import Systemd  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise Refused(
            "dbus-fast is not installed", code="SF-SYSTEMD-004",
            hint="pip install smartdomains[systemd]",
        ) from error  # fmt: skip
    return Systemd(address)


class UnitState(Effect, frozen=True):
    """A unit that was started, or stopped, by us; undone by the opposite.

    Attributes:
        up: It is to be running.
        bus: Address of the message bus; empty: the system's.
    """

    unit: str
    up: bool
    bus: str

    @override
    def label(self) -> str:
        return f"{self.unit} {'started' if self.up else 'stopped'}"

    @override
    async def look(self, at: Site) -> Presence:
        async with _connection(self.bus) as systemd:
            state = await systemd.property(await systemd.unit(self.unit), "ActiveState")
        return Presence.OURS if (state in UP) == self.up else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        await self._bring(up=self.up)
        return self

    @override
    async def undo(self, at: Site) -> None:
        await self._bring(up=not self.up)

    async def _bring(self, *, up: bool) -> None:
        async with _connection(self.bus) as systemd:
            state = await systemd.property(await systemd.unit(self.unit), "ActiveState")
            if (state in UP) != up:
                await systemd.change(self.unit, "StartUnit" if up else "StopUnit")


class SystemdUnit(Prim, type="service.systemd"):
    """A unit of this host's systemd that runs, or does not, as long as the component lives.

    At the end it is as it was before. A unit that was already as wished is only watched, and left so.
    One that goes another way meanwhile ends the component.
    """

    unit = attr(Kind("unit", "String", _unit), doc="Name of the unit, such as cron.service.")
    ensure = attr(str_, "started", choices=("started", "stopped"), doc="How it is to be.")
    bus = attr(str_, "", doc="Address of the message bus; the system's if empty.")
    activeState = output(str, doc="What systemd says of it: active, inactive, failed and so on.")

    reserved: ClassVar[dict[str, Value]] = {
        "sfReadyWhen": "signal", "sfStartTimeout": 120, "sfTerminateTimeout": 120,
    }  # fmt: skip

    def __init__(self) -> None:
        """Know nothing yet."""
        self._state = ""
        self._changed = asyncio.Event()

    @property
    def _up(self) -> bool:
        return self.ensure == "started"

    @override
    async def on_deploy(self) -> None:
        async with _connection(self.bus) as systemd:
            path = await systemd.unit(self.unit)
            if self._up and await systemd.property(path, "LoadState") == "masked":
                raise Refused(f"{self.unit} is masked", code="SF-SYSTEMD-005", where=self.path)

    @override
    async def on_start(self) -> None:
        async with _connection(self.bus) as systemd:
            state = await systemd.property(await systemd.unit(self.unit), "ActiveState")
        if (state in UP) != self._up:
            await self.make(UnitState(self.unit, self._up, self.bus))
        self.spawn(self._follow())

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        self.spawn(self._follow())

    async def _follow(self) -> None:
        """Watch the unit; end when it is not as it is to be."""
        async with _connection(self.bus) as systemd:
            path = await systemd.unit(self.unit)
            systemd.follow(path, self._heard)
            self._heard(await systemd.property(path, "ActiveState"))
            broken = asyncio.ensure_future(systemd.broken())
            broken.add_done_callback(lambda _: self._changed.set())
            try:
                while not broken.done() and self._as_wished():
                    self._changed.clear()
                    await self._changed.wait()
            finally:
                broken.cancel()
        if self._as_wished():
            await self.finish(Record.abnormal("the message bus does not answer any more"))
        else:
            await self.finish(Record.abnormal(f"{self.unit} is {self._state}"))

    def _heard(self, state: str) -> None:
        self._state = self.activeState = state
        self.set_ready((state in UP) == self._up and state not in ON_THE_WAY)
        self._changed.set()

    def _as_wished(self) -> bool:
        return self._state in ON_THE_WAY or (self._state in UP) == self._up

    @override
    async def check(self) -> None:
        if self._state and not self._as_wished():
            raise Unwell(f"{self.unit} is {self._state}")
