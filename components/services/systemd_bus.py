"""The manager object of systemd on a message bus: the only importer of dbus-fast."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

from engine.core.faults import NotFound, Refused, TimedOut, Unreachable

NAME = "org.freedesktop.systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
UNIT = "org.freedesktop.systemd1.Unit"
ROOT = "/org/freedesktop/systemd1"
PROPERTIES = "org.freedesktop.DBus.Properties"
CONNECT_S = 5.0
CALL_S = 25.0


class Systemd:
    """A connection to the manager of units: `async with Systemd(address) as systemd`."""

    def __init__(self, address: str) -> None:
        """Take the address of the bus; empty: the system's."""
        self._address = address
        self._bus: Any = None
        self._jobs: dict[str, asyncio.Future[str]] = {}
        self._done: dict[str, str] = {}
        self._listeners: dict[str, Callable[[str], None]] = {}

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            Unreachable: There is no bus, or no systemd on it.
        """
        name = self._address or "the system bus"
        try:
            async with asyncio.timeout(CONNECT_S):
                self._bus = await MessageBus(
                    bus_address=self._address or None, bus_type=BusType.SYSTEM
                ).connect()
                self._bus.add_message_handler(self._heard)
                await self._match("type='signal',interface='org.freedesktop.systemd1.Manager'")
                await self._match(f"type='signal',interface='{PROPERTIES}'")
                await self._call(ROOT, MANAGER, "Subscribe")
        except (OSError, TimeoutError, DBusError, Refused, NotFound, ValueError) as error:
            self.close()
            raise Unreachable(
                f"systemd does not answer at {name}: {error}", code="SF-SYSTEMD-001",
                hint="is this host run by systemd?",
            ) from error  # fmt: skip
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Disconnect."""
        self.close()

    def close(self) -> None:
        """Disconnect."""
        if self._bus is not None:
            self._bus.disconnect()
            self._bus = None

    async def broken(self) -> None:
        """Wait until the bus does not answer any more."""
        with contextlib.suppress(Exception):
            await self._bus.wait_for_disconnect()

    async def unit(self, name: str) -> str:
        """Return the path of a unit's object, loaded if it was not.

        Raises:
            NotFound: There is no such unit.
        """
        path = str((await self._call(ROOT, MANAGER, "LoadUnit", "s", [name]))[0])
        if await self.property(path, "LoadState") == "not-found":
            raise NotFound(f"there is no unit {name} on this host", code="SF-SYSTEMD-002")
        return path

    async def property(self, path: str, name: str) -> str:
        """Return a property of a unit's object, such as its `ActiveState`."""
        answer = await self._call(path, PROPERTIES, "Get", "ss", [UNIT, name])
        value = answer[0]
        return str(value.value if isinstance(value, Variant) else value)

    async def change(self, name: str, verb: str) -> None:
        """Start or stop a unit and wait until that is done.

        Args:
            name: The unit.
            verb: `StartUnit` or `StopUnit`.

        Raises:
            Refused: It could not be done; the message has systemd's word for it.
            TimedOut: It took longer than a minute and a half.
        """
        job = str((await self._call(ROOT, MANAGER, verb, "ss", [name, "replace"]))[0])
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._jobs[job] = future
        if job in self._done:
            future.set_result(self._done.pop(job))
        try:
            async with asyncio.timeout(90.0):
                result = await future
        except TimeoutError as error:
            raise TimedOut(f"{verb} of {name} was not done within 90 s") from error
        finally:
            self._jobs.pop(job, None)
        if result not in {"done", "skipped"}:
            raise Refused(f"{verb} of {name}: {result}", code="SF-SYSTEMD-003")

    def follow(self, path: str, told: Callable[[str], None]) -> None:
        """Call this with the active state of a unit's object whenever it changes."""
        self._listeners[path] = told

    # -- messages

    async def _match(self, rule: str) -> None:
        await self._send("org.freedesktop.DBus", "/org/freedesktop/DBus",
                         "org.freedesktop.DBus", "AddMatch", "s", [rule])  # fmt: skip

    async def _call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Sequence[object] = (),
    ) -> list[Any]:
        return await self._send(NAME, path, interface, member, signature, list(body))

    async def _send(
        self, name: str, path: str, interface: str, member: str, signature: str, body: list[Any]
    ) -> list[Any]:
        message = Message(
            destination=name, path=path, interface=interface, member=member, signature=signature,
            body=body,
        )  # fmt: skip
        try:
            async with asyncio.timeout(CALL_S):
                answer = await self._bus.call(message)
        except TimeoutError as error:
            raise TimedOut(f"{member}: no answer within {CALL_S:g} s") from error
        except (OSError, EOFError) as error:
            raise Unreachable(f"the bus does not answer: {error}") from error
        if answer.message_type is MessageType.ERROR:
            said = str(answer.body[0]) if answer.body else str(answer.error_name)
            kind = NotFound if str(answer.error_name).endswith("NoSuchUnit") else Refused
            raise kind(f"{member}: {said}", code="SF-SYSTEMD-003")
        return list(answer.body)

    def _heard(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "JobRemoved":
            _, job, _, result = message.body
            waiting = self._jobs.get(job)
            if waiting is None:
                self._done[job] = result
            elif not waiting.done():
                waiting.set_result(result)
        elif message.member == "PropertiesChanged" and message.path in self._listeners:
            changed = message.body[1].get("ActiveState")
            if changed is not None:
                self._listeners[message.path](str(changed.value))
