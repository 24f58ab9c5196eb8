"""Health checks: components that look again and again, and can be asked as conditions."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re

from msgspec import Struct
from typing_extensions import override

from components.system.kinds import host_, url_, words
from components.system.probes import Expected, ask_command, ask_name, ask_page, ask_port
from components.workflow.conditions import Conditional
from engine.core.faults import BadDescription
from engine.prim import Unwell
from engine.runtime.attributes import NotBound, attr, output
from engine.runtime.effects import Effect
from engine.runtime.kinds import (
    BadValueError,
    Kind,
    bool_,
    duration_s,
    int_,
    shown,
    str_,
    strings,
)
from sfdl.values import Value


class Port(Struct, frozen=True):
    """A TCP port of a host."""

    host: str
    port: int


def _port(value: Value) -> Port:
    match = re.fullmatch(
        r"(?:\[([^]\s]+)\]|([^:\s]+)):(\d{1,5})", value if isinstance(value, str) else ""
    )
    if match is None or not 1 <= int(match[3]) <= 65535:
        raise BadValueError(f'must be "host:port" (got {shown(value)})')
    return Port(host_.read(match[1] or match[2]), int(match[3]))


def _addresses(value: Value) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_address(item)) for item in strings.read(value))
    except ValueError:
        raise BadValueError(f"must be a list of IP addresses (got {shown(value)})") from None


port_: Kind[Port] = Kind("host:port", "String", _port)
addresses_: Kind[tuple[str, ...]] = Kind("list of IP addresses", "Vector", _addresses)


class Check(Conditional):
    """Looks at its target at intervals; unwell after so many failures in a row, until one is good.

    As a condition it looks at once when it is asked.
    """

    interval = attr(duration_s, 10, ge=0.01, doc="Seconds between looks.")
    timeout = attr(duration_s, 5, ge=0.001, doc="Seconds for an answer.")
    failures = attr(int_, 3, ge=1, doc="Failures in a row that make it unwell.")
    failed = output(int, doc="Failures in a row.")

    def __init__(self) -> None:
        """Have looked at nothing."""
        self._text = ""

    @override
    async def on_start(self) -> None:
        self.failed = 0
        self.spawn(self._look())

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        self.failed = 0
        self.spawn(self._look())

    async def _look(self) -> None:
        while True:
            text = await self.verdict()
            self.failed = self.failed + 1 if text else 0
            self.failureText = self._text = text
            await self.sleep(self.interval)

    @override
    async def check(self) -> None:
        if self.live.value("failed") is not None and self.failed >= self.failures:
            raise Unwell(f"{self._text} ({self.failed} times)")


class HttpCheck(Check, type="check.http"):
    """A page is served as expected."""

    target = attr(url_, doc="Its address.")
    method = attr(str_, "GET", choices=("GET", "HEAD"), doc="How to ask.")
    least = attr(int_, 200, ge=100, le=599, doc="Least status that is good.", called="minCode")
    most = attr(int_, 299, ge=100, le=599, doc="Greatest status that is good.", called="maxCode")
    contains = attr(str_, "", doc="What the first 64 KiB must contain.")
    follow = attr(bool_, True, doc="Follow redirections.", called="followRedirects")

    @override
    async def on_deploy(self) -> None:
        with contextlib.suppress(NotBound):
            if self.least > self.most:
                text = f"maxCode: must be at least minCode, {self.least}"
                raise BadDescription(text, where=self.path, code="SF-ATTR-001")

    @override
    async def verdict(self) -> str:
        url = str(await self.fetch("target"))
        wanted = Expected(self.method, self.least, self.most, self.contains, self.follow)
        return await self.run_blocking(ask_page, url, wanted, self.timeout)


class PortCheck(Check, type="check.port"):
    """Something accepts connections at a port.

    Example:
        port extends PortCheck {
            target "localhost:8080";
        }
    """

    target = attr(port_, doc='The port, as "host:port".')

    @override
    async def verdict(self) -> str:
        found = await self.fetch("target")
        if not isinstance(found, Port):
            return "target is no port"
        return await ask_port(found.host, found.port, self.timeout)


class DnsCheck(Check, type="check.dns"):
    """A name has an address."""

    target = attr(host_, doc="The name.")
    addresses = attr(addresses_, (), doc="Addresses it must have; any will do if none is given.")

    @override
    async def verdict(self) -> str:
        name = str(await self.fetch("target"))
        try:
            async with asyncio.timeout(self.timeout):
                return await self.run_blocking(ask_name, name, self.addresses)
        except TimeoutError:
            return f"{name}: no answer within {self.timeout:g} s"


class CommandCheck(Check, type="check.command"):
    """A program ends with status 0."""

    target = attr(words, doc="Program and arguments; a string is for the shell.")

    @override
    async def verdict(self) -> str:
        return await ask_command(self.target, self.timeout)
