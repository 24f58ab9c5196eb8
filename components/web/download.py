"""`Download`: a file fetched over HTTP, verified, kept for the next time."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import threading
import time
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from components.files.base import FilePrim, WithSettings
from components.files.changes import FileChange
from components.files.kinds import path_
from components.system.kinds import url_
from components.web.fetching import digest_of, fetch
from engine.core.faults import Refused, Unreachable
from engine.runtime.attributes import attr, output
from engine.runtime.kinds import BadValueError, Kind, bool_, duration_s, shown
from sfdl.values import Value

ATTEMPTS = 5
PAUSE_S = 1.0
MARGIN_S = 30.0
UNUSED_S = 7 * 86_400.0


def _sha256(value: Value) -> str:
    if isinstance(value, str):
        text = value.removeprefix("sha256:").lower()
        if re.fullmatch(r"[0-9a-f]{64}", text):
            return text
    raise BadValueError(f"must be a SHA-256 of 64 hexadecimal digits (got {shown(value)})")


sha256_: Kind[str] = Kind("SHA-256", "String", _sha256)


def forget_old(folder: Path, now_s: float) -> None:
    """Remove what nobody has used for a week from the cache; blocks."""
    for each in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if now_s - each.stat().st_atime > UNUSED_S:
                each.unlink()


def _used(path: Path) -> None:
    os.utime(path, (time.time(), path.stat().st_mtime))


class Fetches:
    """The fetches of one process: two components that want the same file take turns."""

    def __init__(self) -> None:
        """Fetch nothing yet."""
        self._turns: dict[str, asyncio.Lock] = {}

    def turn(self, key: str) -> asyncio.Lock:
        """Return the lock of one file of the cache."""
        return self._turns.setdefault(key, asyncio.Lock())


class Download(WithSettings, FilePrim, type="web.download"):
    """Fetches a file; it takes its name only once it is whole and verified.

    What was fetched stays in a cache of this host. A fetch that broke off is taken up again where the
    server can do that, also after a restart of the daemon.
    """

    url = attr(url_, doc="Where from.")
    to = attr(path_, doc="Where to.")
    sha256 = attr(sha256_, None, doc="Digest it must have; not checked if not given.")
    max_age = attr(
        duration_s, 0, called="maxCacheAge",
        doc="Seconds for which the cached file is taken without asking; with `sha256` it always is.",
    )  # fmt: skip
    timeout = attr(duration_s, 600, ge=0.001, doc="Seconds it may take in all.")
    resume = attr(bool_, True, doc="Take up a fetch that broke off.")
    overwrite = attr(bool_, True, doc="Take the place of a file that is there.")
    parents = attr(bool_, False, doc="Make missing folders above it.", called="createParentDirs")
    delete = attr(bool_, False, doc="Remove it when the component ends.", called="deleteOnExit")
    cached = output(bool, doc="It was taken from the cache.")
    digest = output(str, doc="Its SHA-256.")

    reserved: ClassVar[dict[str, Value]] = {"sfStartTimeout": 3600}

    @override
    def keeps(self) -> bool:
        return not self.delete

    @override
    def target(self) -> Path:
        return self.absolute("to", self.to)

    @override
    def look_over(self) -> None:
        super().look_over()
        most_s = self.live.seconds("sfStartTimeout", 3600.0) - MARGIN_S
        if self.timeout > most_s:
            self.refuse(f"timeout of {self.timeout:g} s does not fit into sfStartTimeout")

    @override
    async def act(self, path: Path) -> Path:
        path = path.resolve()
        folder = self.work_folder / "downloads"
        await self.run_blocking(lambda: folder.mkdir(mode=0o700, parents=True, exist_ok=True))
        key = hashlib.sha256(f"{self.url}\n{self.sha256 or ''}".encode()).hexdigest()
        async with self.service(Fetches).turn(key):
            source = folder / key
            await self.run_blocking(forget_old, folder, time.time())
            self.cached = await self.run_blocking(self._is_fresh, source)
            if not self.cached:
                await self._fetch(source)
            await self.run_blocking(_used, source)
            self.digest = await self.run_blocking(digest_of, source)
            await self.do(FileChange(
                str(path), await self.room(), secrets.token_hex(16), source=str(source),
                mode=0o644 if self.mode is None else self.mode, owner=self.owner or "",
                overwrite=self.overwrite, parents=self.parents,
            ))  # fmt: skip
        return path

    def _is_fresh(self, source: Path) -> bool:
        if not source.exists():
            return False
        if self.sha256:
            return digest_of(source) == self.sha256
        return time.time() - source.stat().st_mtime <= self.max_age and self.max_age > 0

    async def _fetch(self, source: Path) -> None:
        part = source.with_name(f"{source.name}.part")
        until = time.monotonic() + self.timeout
        given_up = threading.Event()
        try:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    left_s = max(until - time.monotonic(), 0.001)
                    await self.run_blocking(self._fetch_once, part, left_s, given_up)
                    break
                except Unreachable:
                    if attempt == ATTEMPTS or time.monotonic() + PAUSE_S > until:
                        raise
                    await self.sleep(PAUSE_S)
        finally:
            given_up.set()
        await self.run_blocking(self._accept, part, source)

    def _fetch_once(self, part: Path, timeout_s: float, given_up: threading.Event) -> None:
        fetch(self.url, part, timeout_s=timeout_s, resume=self.resume, stop=given_up.is_set)

    def _accept(self, part: Path, source: Path) -> None:
        found = digest_of(part)
        part.with_name(f"{part.name}.validator").unlink(missing_ok=True)
        if self.sha256 and found != self.sha256:
            part.unlink()
            raise Refused(
                f"what {self.url} sent has SHA-256 {found}, not {self.sha256}", where=self.path,
                code="SF-WEB-002", hint="check the address and the digest; nothing was put in place",
            )  # fmt: skip
        part.replace(source)
