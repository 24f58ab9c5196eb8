"""What servers have in common: generated files, programs of their own, and looks from outside."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import shutil
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec
from msgspec import Struct
from typing_extensions import override

from engine.compound import Compound
from engine.core.decoding import from_json
from engine.core.faults import BadDescription, Refused
from engine.core.flows import ChildEnded, Do, Finish, Flow, Happening, SharedFate, StartFailed
from engine.core.records import Record
from engine.ports import trouble_at
from engine.prim import Unwell
from engine.runtime.attributes import attr
from engine.runtime.commands import search_path
from engine.runtime.effects import Effect, NameTaken, Owner, Presence, Site
from engine.runtime.kinds import BadValueError, Kind, bool_, duration_s, shown
from sfdl.values import Description, Value, Vector

OWNER = "owner.json"
LOCK_TAKEN = 75
"""Exit status of a program that found the folder of its data in use by another."""
LOOK_S = 0.2
"""Seconds between looks at a server that does not serve yet."""
SILENT_LOOKS = 3
"""Looks in a row without an answer after which a server that has served is unwell."""


def _address(value: Value) -> str:
    try:
        return str(ipaddress.ip_address(value)) if isinstance(value, str) else _no_address(value)
    except ValueError:
        return _no_address(value)


def _no_address(value: Value) -> str:
    raise BadValueError(f"must be an IP address of this host (got {shown(value)})")


def _absolute(value: Value) -> str:
    if isinstance(value, str) and Path(value).is_absolute():
        return value
    raise BadValueError(f"must be an absolute path (got {shown(value)})")


address = Kind("IP address", "String", _address)
absolute_path = Kind("absolute path", "String", _absolute)


class ServerFolder(Effect, frozen=True):
    """A folder with the generated files of one server; it goes with everything below it.

    Attributes:
        files: Names and texts; none of them is readable by others. An absolute name stands beside.
        beside: Folders made if they are missing, and left: data that somebody named.
    """

    path: str
    files: tuple[tuple[str, str], ...]
    beside: tuple[str, ...] = ()

    @override
    def label(self) -> str:
        return f"folder {Path(self.path).name}"

    def _owner(self) -> Owner | None:
        try:
            return from_json((Path(self.path) / OWNER).read_bytes(), Owner)
        except (OSError, msgspec.DecodeError):
            return None

    @override
    async def look(self, at: Site) -> Presence:
        owner = await at.blocking(self._owner)
        if owner is None:
            return Presence.FOREIGN if Path(self.path).exists() else Presence.ABSENT
        return Presence.OURS if owner.same_place(at.owner) else Presence.FOREIGN

    @override
    async def make(self, at: Site) -> Self:
        owner = await at.blocking(self._owner)
        if owner is not None and not owner.same_place(at.owner):
            raise NameTaken(f"{self.path} is not ours")
        await at.blocking(self._write, at.owner)
        return self

    def _write(self, owner: Owner) -> None:
        folder = Path(self.path)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / OWNER).write_bytes(msgspec.json.encode(owner))
        for each in self.beside:
            Path(each).mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in self.files:
            file = folder / name
            file.touch(mode=0o600)
            file.write_text(text, "utf-8")

    @override
    async def undo(self, at: Site) -> None:
        if await at.blocking(self._owner) == at.owner:
            await at.blocking(shutil.rmtree, self.path)


class Answer(Enum):
    """How a server answers: it serves, it waits for something (its peers), or not at all."""

    SERVES = "serves"
    WAITS = "waits"
    SILENT = "silent"


class Look(Struct, frozen=True):
    """What one look at a server from outside found."""

    answer: Answer
    text: str = ""


class Running(SharedFate):
    """Every end of a program of a server is a failure: servers do not stop by themselves."""

    @override
    def on(self, state: None, what: Happening, now_s: float) -> tuple[None, tuple[Do, ...]]:
        del now_s
        if isinstance(what, ChildEnded | StartFailed):
            text = f"{what.child} ended by itself: {what.record.description or what.record.type}"
            if f"status {LOCK_TAKEN}" in text:
                text += " (the folder of its data is in use by another server)"
            return state, (Finish(Record.abnormal(text, what.record.cause)),)
        return state, ()


class Server(Compound):
    """A server as programs of this host: started, looked at from outside, ended with all it made.

    It is ready while it serves. `external` means that others run it: it is only looked at.
    """

    creates_children = True
    bind = attr(address, "127.0.0.1", doc="Address it listens at.")
    external = attr(bool_, False, doc="Others run it; only look whether it serves.")
    data = attr(
        absolute_path, None, unique=True, called="dataDir",
        doc="Folder of its data, which stays; one of its own that goes with it if not given.",
    )  # fmt: skip
    start_timeout = attr(
        duration_s, 120, ge=1, doc="Seconds until it must have answered.", called="startTimeout"
    )

    reserved: ClassVar[dict[str, Value]] = {"sfReadyWhen": "signal", "sfTerminateTimeout": 60}
    look_every_s: ClassVar[float] = 1.0
    package: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    """Files that must be on the host, as the Debian package has them."""

    def __init__(self) -> None:
        """Have seen nothing yet."""
        self._seen = Look(Answer.SILENT, "it has not been looked at yet")
        self._served = False
        self._silent = 0

    # -- what servers differ in

    def port_taken(self) -> tuple[int, ...]:
        """Return the ports it is going to listen at."""
        raise NotImplementedError

    def files(self) -> Mapping[str, str]:
        """Return the generated files by name."""
        raise NotImplementedError

    def programs(self) -> Mapping[str, Description]:
        """Return the programs to run, in order."""
        raise NotImplementedError

    async def look(self) -> Look:
        """Look at it from outside, as a client does; bounded by the caller."""
        raise NotImplementedError

    # -- places

    @property
    def folder(self) -> Path:
        """Return the folder of its generated files."""
        digest = hashlib.blake2b(self.live.place.encode(), digest_size=6).hexdigest()
        return self.work_folder / f"server-{digest}"

    @property
    def data_folder(self) -> Path:
        """Return the folder of its data."""
        return Path(self.data) if self.data is not None else self.folder / "data"

    @property
    def reach(self) -> str:
        """Return the address at which it is looked at."""
        anywhere = ipaddress.ip_address(self.bind).is_unspecified
        return self.bind if not anywhere else ("::1" if ":" in self.bind else "127.0.0.1")

    def program(self, words: list[str], environment: Mapping[str, str], stop_s: int) -> Description:
        """Describe a program that has the folder of the data for itself, as a `Process`."""
        lock = ("flock", "--no-fork", "--timeout", "10", "--conflict-exit-code", str(LOCK_TAKEN))
        alone = [*lock, str(self.data_folder / ".lock"), *words]
        return process(alone, environment, self.folder, stop_s)

    # -- life

    @override
    async def on_deploy(self) -> None:
        await self.plan({"external": self.external}, self.path)

    @classmethod
    @override
    async def plan(cls, given: Mapping[str, object], where: str) -> None:
        missing = [file for file in cls.needs if not Path(file).exists()]
        if missing and not given.get("external"):
            raise Refused(
                f"{missing[0]} is not on this host", code="SF-SERVICE-001", where=where,
                hint=f"apt-get install {cls.package}",
            )  # fmt: skip

    @override
    async def on_start(self) -> None:
        if not self.external:
            for port in self.port_taken():
                _refuse_taken(self.bind, port, self.path)
            await self.make(
                ServerFolder(
                    str(self.folder), tuple(self.files().items()), (str(self.data_folder),)
                )
            )
            for name, description in self.programs().items():
                await self.create_child(name, description)
        self.spawn(self._follow())

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        self.spawn(self._follow())

    @override
    def make_flow(self) -> Flow[Any]:
        return Running()

    async def _follow(self) -> None:
        """Look at it again and again, and say whether it is ready."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.start_timeout
        while True:
            await self._look()
            serves = self._seen.answer is Answer.SERVES
            self.set_ready(serves)
            answered = self._seen.answer is not Answer.SILENT
            self._served = self._served or answered
            if not self._served and loop.time() > until:
                text = f"did not answer within {self.start_timeout:g} s: {self._seen.text}"
                await self.finish(Record.abnormal(text))
                return
            await self.sleep(self.look_every_s if serves else LOOK_S)

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(5.0):
                self._seen = await self.look()
        except TimeoutError:
            self._seen = Look(Answer.SILENT, "no answer within 5 s")
        self._silent = self._silent + 1 if self._seen.answer is Answer.SILENT else 0

    @override
    async def check(self) -> None:
        if self._served and self._silent >= SILENT_LOOKS:
            raise Unwell(self._seen.text)


def process(
    words: list[str], environment: Mapping[str, str], folder: Path, stop_s: int
) -> Description:
    """Describe a program as a `Process` whose output goes to a file of the folder."""
    name = Path(words[0]).name
    variables = Description(tuple(environment.items()), data=True)
    return Description((
        ("sfClass", "components.system.process.Process"), ("cmd", Vector(tuple(words))),
        ("dir", str(folder)), ("env", variables), ("terminate", True),
        ("stopTimeout", stop_s), ("logOut", str(folder / f"{name}.log")),
    ))  # fmt: skip


def on_path(program: str) -> str:
    """Return where a program is, or its bare name below /usr/bin for the message that it is not."""
    return shutil.which(program, path=search_path()) or f"/usr/bin/{program}"


def _refuse_taken(host: str, port: int, where: str) -> None:
    trouble = trouble_at(host, port)
    if trouble:
        raise Refused(
            f"it cannot listen at {host}, port {port}: {trouble}", code="SF-SERVICE-002", where=where,
            hint="choose another port or address",
        )  # fmt: skip


def wrong(where: str, text: str, hint: str = "") -> BadDescription:
    """Make the error of attributes that do not go together."""
    return BadDescription(text, code="SF-SERVICE-003", where=where, hint=hint)
