"""Conditions that look at the world: files, ports, hosts, commands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import socket
import stat
import urllib.error
import urllib.request
from typing import Any

from msgspec import Struct
from typing_extensions import override

from components.system.kinds import url_, words
from components.workflow.conditions import Conditional
from engine.core.faults import Refused
from engine.runtime.attributes import attr
from engine.runtime.commands import search_path
from engine.runtime.kinds import (
    BadValueError,
    Kind,
    bool_,
    duration_ms,
    float_,
    int_,
    shown,
    str_,
)
from sfdl.values import Value

KILL_S = 2.0


class FileExists(Conditional, type="condition.fileexists"):
    """A file is there on this host, of a size within limits."""

    filename = attr(str_, doc="Its path.")
    min_size = attr(float_, -1, doc="Least bytes; negative: any.", called="minSize")
    max_size = attr(float_, -1, doc="Most bytes; negative: any.", called="maxSize")
    file = attr(bool_, True, doc="It may be a plain file.", called="canBeFile")
    directory = attr(bool_, True, doc="It may be a folder.", called="canBeDirectory")

    @override
    async def verdict(self) -> str:
        path = str(await self.fetch("filename"))
        try:
            found = await self.run_blocking(os.stat, path)
        except (FileNotFoundError, NotADirectoryError):
            return f"{path} is not there"
        except OSError as error:
            raise Refused(f"{path} cannot be looked at: {error.strerror}") from error
        return self._judged(path, found)

    def _judged(self, path: str, found: os.stat_result) -> str:
        folder, plain = stat.S_ISDIR(found.st_mode), stat.S_ISREG(found.st_mode)
        if (folder and not self.directory) or (plain and not self.file):
            return f"{path} is a {'folder' if folder else 'file'}"
        if not folder and 0 <= self.max_size < found.st_size:
            return f"{path} has {found.st_size} bytes, more than {self.max_size:g}"
        if not folder and found.st_size < self.min_size:
            return f"{path} has {found.st_size} bytes, less than {self.min_size:g}"
        return ""


class DirectoryExists(Conditional, type="condition.directoryexists"):
    """A folder is there on this host."""

    filename = attr(str_, doc="Its path.")

    @override
    async def verdict(self) -> str:
        path = str(await self.fetch("filename"))
        return "" if await self.run_blocking(os.path.isdir, path) else f"{path} is no folder"


class PortOpen(Conditional, type="condition.portopen"):
    """Something accepts connections at a port."""

    host = attr(str_, "localhost", doc="Name or address.")
    port = attr(int_, ge=1, le=65535, doc="TCP port.")
    timeout = attr(duration_ms, 1000, doc="Milliseconds to wait for it.")

    @override
    async def verdict(self) -> str:
        return await ask_port(str(await self.fetch("host")), self.port, self.timeout)


async def ask_port(host: str, port: int, timeout_s: float) -> str:
    """Return why nothing accepts connections at a TCP port, or nothing if something does."""
    text = f"nothing at {host}:{port}"
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"{text}: no answer within {timeout_s:g} s"
    except OSError as error:
        return f"{text}: {error.strerror or error}"
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    @override
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _status(url: str, timeout_s: float, method: str, *, follow: bool) -> tuple[int, bytes]:
    handlers = [] if follow else [_NoRedirect()]
    opener = urllib.request.build_opener(*handlers)
    asked = urllib.request.Request(url, method=method)  # noqa: S310 - checked by the caller
    try:
        with opener.open(asked, timeout=timeout_s) as answer:
            return answer.status, answer.read(65536)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""


class Expected(Struct, frozen=True):
    """What a page has to be like: how it is asked for, its status, and what it contains."""

    method: str = "GET"
    least: int = 200
    most: int = 299
    contains: str = ""
    follow: bool = True


def ask_page(url: str, wanted: Expected, timeout_s: float) -> str:
    """Return why a page is not served as expected, or nothing if it is; blocks."""
    try:
        status, body = _status(url, max(timeout_s, 0.001), wanted.method, follow=wanted.follow)
    except (OSError, ValueError) as error:
        return f"{url} does not answer: {getattr(error, 'reason', error)}"
    if not wanted.least <= status <= wanted.most:
        return f"{url} answers with {status}"
    if wanted.contains and wanted.contains not in body.decode(errors="replace"):
        return f"{url} does not contain {wanted.contains!r}"
    return ""


class HttpOk(Conditional, type="condition.httpok"):
    """A page is served as expected."""

    url = attr(url_, doc="Its address.")
    timeout = attr(duration_ms, 5000, doc="Milliseconds to wait for it.")
    method = attr(str_, "GET", choices=("GET", "HEAD"), doc="How to ask.")
    least = attr(int_, 200, ge=100, le=599, doc="Least status that is good.", called="minCode")
    most = attr(int_, 299, ge=100, le=599, doc="Greatest status that is good.", called="maxCode")
    contains = attr(str_, "", doc="What the first 64 KiB must contain.")
    follow = attr(bool_, True, doc="Follow redirections.", called="followRedirects")

    @override
    async def verdict(self) -> str:
        url = str(await self.fetch("url"))
        wanted = Expected(self.method, self.least, self.most, self.contains, self.follow)
        return await self.run_blocking(ask_page, url, wanted, self.timeout)


class HostnameIs(Conditional, type="condition.hostnameis"):
    """This host has one of some names."""

    hostnames = attr(words, doc="The names; a short one is enough for a long one.")

    @override
    async def verdict(self) -> str:
        name = socket.gethostname()
        mine = {name, name.partition(".")[0], self.live.process.node_name}
        return "" if mine & set(self.hostnames) else f"this is {name}"


class IsOS(Conditional, type="condition.isos"):
    """This host runs some operating system."""

    os = attr(str_, doc="Its name, such as linux, unix, debian or windows; capitals do not count.")

    @override
    async def verdict(self) -> str:
        names = {platform.system().lower(), os.name, "unix" if os.name == "posix" else ""}
        with contextlib.suppress(OSError):
            release = platform.freedesktop_os_release()
            names |= {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
        wanted = self.os.lower()
        return "" if wanted and wanted in names else f"this is {platform.system()}"


class CommandSucceeds(Conditional, type="condition.commandsucceeds"):
    """A program ends with status 0; it is ended with the group it makes if it takes too long."""

    command = attr(words, doc="Program and arguments; a string is for the shell.", called="cmd")
    timeout = attr(duration_ms, 10_000, doc="Milliseconds it may take.")

    @override
    async def verdict(self) -> str:
        return await ask_command(self.command, self.timeout)


async def ask_command(words_: tuple[str, ...], timeout_s: float) -> str:
    """Return why a program does not end with status 0, or nothing if it does.

    One word alone is for /bin/sh. The program is ended with the group it makes if it takes too long.
    """
    command = words_ if len(words_) > 1 else ("/bin/sh", "-c", words_[0])
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
            env={**os.environ, "PATH": search_path()},
        )  # fmt: skip
    except OSError as error:
        return f"{command[0]} cannot be run: {error.strerror}"
    try:
        async with asyncio.timeout(timeout_s):
            _, err = await process.communicate()
    except TimeoutError:
        return f"{words_[0]} did not end within {timeout_s:g} s"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), KILL_S)
    if process.returncode == 0:
        return ""
    said = err.decode(errors="replace").strip().splitlines()
    return f"{words_[0]} ended with {process.returncode}" + (f": {said[-1]}" if said else "")


def ask_name(name: str, addresses: tuple[str, ...]) -> str:
    """Return why a name does not lead to these addresses, or to any; nothing if it does. Blocks."""
    try:
        found = {str(row[4][0]) for row in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        return f"{name} has no address: {getattr(error, 'strerror', None) or error}"
    missing = [address for address in addresses if address not in found]
    if missing:
        return f"{name} is {', '.join(sorted(found))}, not {', '.join(missing)}"
    return ""


def _property(value: Value) -> str:
    if isinstance(value, str) and value:
        return value
    raise BadValueError(f"must be the name of a property (got {shown(value)})")


class IsPropertySet(Conditional, type="condition.ispropertyset"):
    """A property is set where this runs; properties are variables of the daemon's environment."""

    property = attr(Kind("property", "String", _property), doc="Its name.")

    @override
    async def verdict(self) -> str:
        name = str(await self.fetch("property"))
        return "" if name in os.environ else f"{name} is not set"


class IsPropertyTrue(IsPropertySet, type="condition.ispropertytrue"):
    """A property is set and says true, yes, on or 1."""

    @override
    async def verdict(self) -> str:
        name = str(await self.fetch("property"))
        value = os.environ.get(name, "")
        return (
            "" if value.lower() in {"true", "yes", "on", "1"} else f"{name} is {value or 'not set'}"
        )
