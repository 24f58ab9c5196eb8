"""`SharedStore`: a directory that several hosts see, and the proof that they do."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from typing_extensions import override

from components.reporting import Reporting
from engine.compound import Compound
from engine.core.faults import BadDescription, EngineError, Refused
from engine.prim import Prim
from engine.runtime.attributes import attr, exposed, output
from engine.runtime.effects import Effect, Presence, Site
from engine.runtime.kinds import BadValueError, Kind, bool_, duration_s, shown, str_, strings
from engine.wire.messages import Handle
from sfdl.values import Description, Value

TYPES = ("same-path", "nfs")
SLOW_S = 1.0
"""A store that takes longer for one small write to be safe is worth a warning."""
_PREFIX = ".smartdomains-seen-"
_MOUNTS = Path("/proc/self/mounts")


def _path(value: Value) -> str:
    if isinstance(value, str) and value.startswith("/"):
        return str(Path(value))
    raise BadValueError(f"must be an absolute path (got {shown(value)})")


path_kind = Kind("absolute path", "String", _path)


def hosts_in(description: Description) -> Iterator[str]:
    """Give the hosts that parts of a description are put on.

    Example:
        >>> inner = Description((("sfProcessHost", "b"),))
        >>> list(hosts_in(Description((("x", inner), ("sfProcessHost", "a")))))
        ['b', 'a']
    """
    for name, value in description.attributes:
        if isinstance(value, Description):
            yield from hosts_in(value)
        elif name == "sfProcessHost" and isinstance(value, str):
            yield value


def disagreement(written: Mapping[str, str], seen: Mapping[str, Mapping[str, str]]) -> str:
    """Find two hosts of which one does not see what the other has written; nothing if all agree.

    Args:
        written: What each host has written.
        seen: What each host reads, by the host that should have written it.

    Example:
        >>> disagreement({"a": "1", "b": "2"}, {"a": {"a": "1", "b": "2"}, "b": {"b": "2"}})
        'b does not see what a has written'
    """
    for reader, found in seen.items():
        for writer, nonce in written.items():
            if found.get(writer) != nonce:
                return f"{reader} does not see what {writer} has written"
    return ""


class MountedExport(Effect, frozen=True):
    """A directory of a server, mounted on this host.

    Attributes:
        source: `SERVER:EXPORT`.
        path: Where; made if it is not there.
        options: For mount, with commas.
    """

    source: str
    path: str
    options: str = ""
    made_folder: bool = False

    @override
    def label(self) -> str:
        return f"mount of {self.source} on {self.path}"

    def _mounted(self) -> str:
        """Return what is mounted there now."""
        rows = [line.split() for line in _MOUNTS.read_text().splitlines()]
        there = [row[0] for row in rows if row[1].replace("\\040", " ") == self.path]
        return there[-1] if there else ""

    @override
    async def look(self, at: Site) -> Presence:
        there = await at.blocking(self._mounted)
        if not there:
            return Presence.ABSENT
        return Presence.OURS if there == self.source else Presence.FOREIGN

    @override
    async def make(self, at: Site) -> Self:
        if await at.blocking(self._mounted) == self.source:
            return self
        await at.blocking(lambda: Path(self.path).mkdir(parents=True, exist_ok=True))
        options = ("-o", self.options) if self.options else ()
        await at.run(("mount", "-t", "nfs", *options, "--", self.source, self.path), timeout_s=60)
        return self

    @override
    async def undo(self, at: Site) -> None:
        if await at.blocking(self._mounted) == self.source:
            await at.run(("umount", "--", self.path), timeout_s=60)
        if self.made_folder:
            await at.blocking(self._remove_folder)

    def _remove_folder(self) -> None:
        folder = Path(self.path)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


class SharedView(Prim, type="storage.sharedview"):
    """A shared directory as one host sees it; made by a `SharedStore` on each host."""

    path_ = attr(path_kind, doc="The directory.", called="path")
    source = attr(str_, "", doc="SERVER:EXPORT that is mounted there; nothing is if empty.")
    options = attr(str_, "", doc="For mount.")

    @override
    async def on_deploy(self) -> None:
        if not self.source and not await self.run_blocking(
            os.access, self.path_, os.W_OK | os.X_OK
        ):
            raise Refused(
                f"{self.path_} is no directory of this host that can be written to",
                code="SF-STORE-025", where=self.path, hint="make or mount it, or say mount true",
            )  # fmt: skip

    @override
    async def on_start(self) -> None:
        if self.source:
            fresh = not await self.run_blocking(os.path.exists, self.path_)
            await self.make(MountedExport(self.source, self.path_, self.options, fresh))

    @exposed()
    async def write(self, token: str, nonce: str) -> float:
        """Write a nonce into the directory; return the seconds until it was safe."""
        return await self.run_blocking(self._write, token, nonce)

    def _write(self, token: str, nonce: str) -> float:
        begun = time.monotonic()
        with Path(self.path_, f"{_PREFIX}{token}").open("x") as file:
            file.write(nonce.ljust(4096))
            file.flush()
            os.fsync(file.fileno())
        return time.monotonic() - begun

    @exposed()
    async def read(self, tokens: list[str]) -> dict[str, str]:
        """Read nonces that this host and others have written; those not seen are missing."""
        return await self.run_blocking(self._read, tokens)

    def _read(self, tokens: list[str]) -> dict[str, str]:
        next(Path(self.path_).iterdir(), None)  # a network's file system looks anew
        found = {}
        for token in tokens:
            try:
                text = Path(self.path_, f"{_PREFIX}{token}").read_text()
            except OSError:
                continue
            found[token] = text.strip()
        return found

    @exposed()
    async def clear(self, tokens: list[str]) -> None:
        """Remove nonces."""
        for token in tokens:
            file = Path(self.path_, f"{_PREFIX}{token}")
            await self.run_blocking(lambda file=file: file.unlink(missing_ok=True))


VIEW = f"{SharedView.__module__}.{SharedView.__qualname__}"


class SharedStore(Reporting, Compound, type="storage.shared"):
    """A directory that several hosts see, mounted there if wished.

    Before it has started, each host of the application writes something into it, and every other host
    reads that: a store that is not shared fails at once, with the two hosts that disagree.
    """

    creates_children = True

    path_ = attr(
        path_kind,
        doc="The directory, the same on all hosts; LAZY ATTRIB store:path.",
        called="path",
    )
    kind = attr(
        str_, "same-path", choices=TYPES, called="type",
        doc="same-path: it is there on all hosts; nfs: it is a directory of a server.",
    )  # fmt: skip
    mount = attr(bool_, False, doc="Mount it on each host, with type nfs.")
    server = attr(str_, "", doc="Server it is mounted from.")
    export = attr(str_, "", doc="Directory of the server.")
    options = attr(str_, "", doc="Options of the mount, with commas.")
    hosts = attr(
        strings, None,
        doc="Hosts that must see it; those the application names if not given, and this one.",
    )  # fmt: skip
    fsync_proof = attr(
        bool_, True, doc="Warn of a store that takes over a second for one write to be safe.",
        called="fsyncProof",
    )  # fmt: skip
    within = attr(duration_s, 30, doc="Seconds in which all hosts must see what was written.")
    seenBy = output(str, doc="Hosts that have proven to see it.")
    fsyncSeconds = output(float, doc="Seconds of the slowest host for one write to be safe.")

    reserved: ClassVar[dict[str, Value]] = {"sfOrphanPolicy": "keep"}

    def __init__(self) -> None:
        """Know no host yet."""
        self._views: dict[str, Handle] = {}

    @override
    async def on_deploy(self) -> None:
        if self.mount and not (self.kind == "nfs" and self.server and self.export):
            raise BadDescription(
                'mount needs type "nfs", server and export', code="SF-STORE-023", where=self.path
            )
        if (self.server or self.export) and self.kind != "nfs":
            raise BadDescription(
                'server and export need type "nfs"', code="SF-STORE-023", where=self.path
            )
        await self._make_views()
        if not self.mount:
            await self._prove()

    @override
    async def on_started(self) -> None:
        if self.mount:
            await self._prove()

    def _others(self) -> tuple[str, ...]:
        named = self.hosts if self.hosts is not None else hosts_in(self.live.segment.description)
        return tuple(dict.fromkeys(named))

    async def _make_views(self) -> None:
        source = f"{self.server}:{self.export}" if self.mount else ""
        said = (
            ("sfClass", VIEW), ("path", self.path_), ("source", source), ("options", self.options),
        )  # fmt: skip
        own = await self.create_child("here", Description(said), upto="deployed")
        self._views = {self.live.process.address: own}
        for number, host in enumerate(self._others(), 1):
            there = await self.live.process.peers.elsewhere(host, where=self.path)
            if there is None or there in self._views:
                continue
            view = Description((*said, ("sfProcessHost", host)))
            self._views[there] = await self.create_child(f"there{number}", view, upto="deployed")

    async def _prove(self) -> None:
        """Have every host read what every host has written.

        Raises:
            Refused: Two hosts disagree, or one cannot use it.
        """
        names = list(self._views)
        tokens = {name: secrets.token_hex(8) for name in names}
        nonces = {name: secrets.token_hex(16) for name in names}
        try:
            slowest = 0.0
            for name in names:
                slowest = max(slowest, await self._write(name, tokens[name], nonces[name]))
            await self._compare(tokens, nonces)
        finally:
            await self._clear(list(tokens.values()))
        self.seenBy = ", ".join(names)
        self.fsyncSeconds = round(slowest, 6)
        if self.fsync_proof and slowest > SLOW_S:
            self.note(f"{self.path_}: one write takes {slowest:.1f} s to be safe", "warning")

    async def _write(self, name: str, token: str, nonce: str) -> float:
        try:
            found = await self.call(self._views[name], SharedView, "write", token, nonce)
        except EngineError as error:
            raise Refused(
                f"{self.path_} cannot be written to on {name}: {error}", code="SF-STORE-025",
                where=self.path,
            ) from error  # fmt: skip
        return found if isinstance(found, float) else 0.0

    async def _compare(self, tokens: Mapping[str, str], nonces: Mapping[str, str]) -> None:
        """Look until all agree, for what is cached takes its time; fail with the pair that does not."""
        end = time.monotonic() + (self.within if self.kind == "nfs" else 0.0)
        while True:
            seen = {name: await self._read(name, tokens) for name in self._views}
            trouble = disagreement(nonces, seen)
            if not trouble:
                return
            if time.monotonic() >= end:
                raise Refused(
                    f"{self.path_} is not shared: {trouble}", code="SF-STORE-025", where=self.path,
                    hint="mount the same directory on both, or name the hosts that share it",
                )  # fmt: skip
            await asyncio.sleep(0.5)

    async def _read(self, name: str, tokens: Mapping[str, str]) -> Mapping[str, str]:
        found = await self.call(self._views[name], SharedView, "read", list(tokens.values()))
        by_token = found if isinstance(found, dict) else {}
        return {writer: by_token[token] for writer, token in tokens.items() if token in by_token}

    async def _clear(self, tokens: Sequence[str]) -> None:
        for name, view in self._views.items():
            try:
                await self.call(view, SharedView, "clear", list(tokens))
            except EngineError as error:
                self.log.warning("what %s wrote may be left: %s", name, error)
