"""Small components for tests: they make files, fail on demand, and talk to each other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import msgspec
from typing_extensions import override

from engine.compound import Compound
from engine.core.decoding import from_json
from engine.core.faults import Refused
from engine.core.levels import level_of
from engine.core.records import Record
from engine.prim import Prim, Unwell
from engine.runtime.attributes import attr, exposed, link, on_change, output
from engine.runtime.channels import Duplex
from engine.runtime.effects import Effect, NameTaken, Owner, Presence, Site
from engine.runtime.kinds import bool_, float_, int_, str_, strings
from sfdl.values import Description, Value


class OwnedFile(Effect, frozen=True):
    """A text file whose first line says whose it is."""

    path: str
    text: str = ""

    @override
    def label(self) -> str:
        return f"file {Path(self.path).name}"

    def _owner(self) -> Owner | None:
        file = Path(self.path)
        if not file.exists():
            return None
        first = file.read_text("utf-8").partition("\n")[0]
        try:
            return from_json(first, Owner)
        except msgspec.DecodeError:
            return Owner("", "", "", 0)

    @override
    async def look(self, at: Site) -> Presence:
        owner = self._owner()
        if owner is None:
            return Presence.ABSENT
        return Presence.OURS if owner.same_place(at.owner) else Presence.FOREIGN

    @override
    async def make(self, at: Site) -> Self:
        owner = self._owner()
        if owner is not None and not owner.same_place(at.owner):
            raise NameTaken(f"{self.path} is not ours")
        head = msgspec.json.encode(at.owner).decode()
        await at.blocking(Path(self.path).write_text, f"{head}\n{self.text}")
        return self

    @override
    async def undo(self, at: Site) -> None:
        if self._owner() == at.owner:
            await at.blocking(Path(self.path).unlink)


class FileMaker(Prim, type="test.file"):
    """Makes one file, and fails where it is told to."""

    file = attr(str_, doc="Path of the file.")
    text = attr(str_, "", doc="What is in it.")
    fail = attr(
        str_, "", choices=("", "deploy", "start", "check", "terminate"), doc="Where to fail."
    )
    block = attr(
        str_, "", choices=("", "deploy", "start", "terminate"), doc="Where never to return."
    )
    keep = attr(
        str_, "never", choices=("never", "normal", "always"), doc="Which ends leave the file."
    )
    written = output(str, doc="Path of the file once it is there.")

    async def _step(self, hook: str) -> None:
        if self.block == hook:
            await asyncio.Event().wait()
        if self.fail == hook:
            raise RuntimeError(f"told to fail in {hook}")

    @override
    async def on_deploy(self) -> None:
        await self._step("deploy")

    @override
    async def on_start(self) -> None:
        self.written = (await self.make(OwnedFile(self.file, self.text), keep=self.keep)).path
        await self._step("start")

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, OwnedFile):
                self.written = effect.path

    @override
    async def on_terminate(self, record: Record) -> None:
        await self._step("terminate")

    @override
    async def check(self) -> None:
        if self.fail == "check":
            raise Unwell("told to be unwell")
        if not Path(self.file).exists():
            raise Unwell(f"{self.file} is gone")

    @exposed()
    async def append(self, more: list[str]) -> list[str]:
        """Return the list with one more word; the caller's list stays as it was."""
        more.append(self.name)
        return more

    @exposed()
    async def end(self, type_: str) -> None:
        """End with a record of that type."""
        await self.finish(Record(type_, "told to end"))


class Caller(Prim, type="test.caller"):
    """Calls a file maker over a link, from its hooks and when asked."""

    target = link(FileMaker, doc="Whom to call.")
    at_start = attr(bool_, False, doc="Call while starting.", called="atStart")
    heard = output(str, doc="What came back.")

    @override
    async def on_start(self) -> None:
        if self.at_start:
            self.heard = ",".join(await self.target.api.append(["a"]))

    @exposed()
    async def ask(self) -> list[str]:
        """Call once and return what came back."""
        mine = ["a"]
        answer = await self.target.api.append(mine)
        return [*mine, "|", *answer]


class Sleeper(Prim, type="test.sleeper"):
    """Ends by itself after a while, or blocks a thread."""

    ends_after = attr(float_, -1, doc="Seconds until it ends; negative: never.", called="endsAfter")
    record = attr(str_, "normal", doc="Type of the record.", called="recordType")
    thread_s = attr(
        float_, 0, doc="Seconds to hold a thread while starting.", called="threadSeconds"
    )

    @override
    async def on_start(self) -> None:
        if self.thread_s > 0:
            await self.run_blocking(time.sleep, self.thread_s)
        if self.ends_after >= 0:
            self.spawn(self._end_later())

    @exposed()
    async def doze_off(self, seconds: float, mark: str) -> str:
        """Leave a file as a mark, tell how far it is, and come back after so many seconds."""
        self.progress(0.5, "half asleep")
        await self.run_blocking(Path(mark).touch)
        await self.sleep(seconds)
        return "slept"

    async def _end_later(self) -> None:
        await self.sleep(self.ends_after)
        await self.finish(Record(self.record, "slept long enough"))


class Group(Compound, type="test.group"):
    """A plain compound under a name of its own."""


class Signaller(Prim, type="test.signaller"):
    """Becomes ready, or stops being so, when told; may be well only after a number of checks."""

    reserved: ClassVar[dict[str, Value]] = {"sfReadyWhen": "signal"}

    ready_after = attr(
        float_,
        -1,
        doc="Seconds until it says it is ready; negative: when told.",
        called="readyAfter",
    )
    well_after = attr(
        int_, 0, doc="Checks that fail before the first good one.", called="wellAfter"
    )
    checks = output(int, doc="How often it was checked.")

    @override
    async def on_start(self) -> None:
        self.checks = 0
        if self.ready_after >= 0:
            self.spawn(self._later())

    async def _later(self) -> None:
        await self.sleep(self.ready_after)
        self.set_ready(True)

    @exposed()
    async def say(self, ready: bool) -> None:  # noqa: FBT001 - data of a call
        """Be ready, or not."""
        self.set_ready(ready)

    @override
    async def check(self) -> None:
        self.checks += 1
        if self.checks <= self.well_after:
            raise Unwell(f"not well before check {self.well_after + 1}")


class Placing(Compound, type="test.placing"):
    """Places its children on the hosts it is told, in turn, and says where a lost one goes."""

    hosts = attr(strings, doc="Hosts to use.")
    asked = output(int, doc="How often somebody asked for a place.")

    @override
    async def on_deploy(self) -> None:
        self.asked = 0

    @override
    async def place_child(self, name: str, description: Description) -> Mapping[str, Value]:
        index = [each for each, _ in self.live.child_descriptions()].index(name)
        return {"sfProcessHost": self.hosts[index % len(self.hosts)]}

    @exposed()
    async def place(self, name: str, avoid: list[str]) -> str:  # noqa: ARG002 - a scheduler's face
        """Return the first host that is not to be avoided."""
        self.asked += 1
        return next(host for host in self.hosts if host not in avoid)


class Grower(Compound, type="test.grower"):
    """Creates its children itself: in a hook, and when asked."""

    creates_children = True

    where = attr(str_, "deploy", choices=("deploy", "start"), doc="In which hook.")

    async def _grow(self, upto: str) -> None:
        for name, value in self.live.child_descriptions():
            await self.create_child(name, value, {"extra": "given"}, upto=upto)

    @override
    async def on_deploy(self) -> None:
        if self.where == "deploy":
            await self._grow("deployed")

    @override
    async def on_start(self) -> None:
        if self.where == "start":
            await self._grow("started")

    @exposed()
    async def more(self, name: str, file: str) -> None:
        """Create one more file maker."""
        text = f"{FileMaker.__module__}.{FileMaker.__qualname__}"
        await self.create_child(name, Description((("sfClass", text), ("file", file))))


class Sized(Prim, type="test.sized"):
    """Has a size that may be changed while it runs, up to a hundred."""

    size = attr(int_, 1, ge=0, doc="Its size.", tags=frozenset({"updatable"}))
    grown = output(str, doc="The last change.")

    @on_change("size")
    async def resize(self, old: int, new: int) -> None:
        """Take the new size."""
        if new > 100:
            raise ValueError(f"{new} is too big")
        self.grown = f"{old} to {new}"


class Mover(Prim, type="test.mover"):
    """Moves away in its own time when its daemon is drained."""

    takes = attr(float_, 0, doc="Seconds it takes to move.")
    moved = output(bool, doc="It has moved.")

    @override
    async def drain(self) -> None:
        await self.sleep(self.takes)
        self.moved = True


class Chatter(Compound, type="test.chatter"):
    """Calls another component many times at once while it starts, and answers calls."""

    other = link(FileMaker, doc="Whom to call.")
    calls = attr(int_, 0, ge=0, doc="How often.")
    answered = output(int, doc="How many answers came.")

    @override
    async def on_start(self) -> None:
        handle = await self.other.handle()
        asked = [self.call(handle, Chatter, "echo", number) for number in range(self.calls)]
        answers = await asyncio.gather(*asked)
        self.answered = sum(answer == number for number, answer in enumerate(answers))

    @exposed()
    async def echo(self, number: int) -> int:
        """Give a number back."""
        return number


class Echo:
    """A channel that gives back what is sent, in capitals, and ends at a dot."""

    def __init__(self) -> None:
        """Say hello."""
        self._came: asyncio.Queue[bytes] = asyncio.Queue()
        self._came.put_nowait(b"hello\n")
        self.closed = False

    async def read(self) -> bytes:
        """Give back what was sent."""
        return await self._came.get()

    async def write(self, data: bytes) -> None:
        """Take it; a dot is the end."""
        self._came.put_nowait(data.upper())
        if b"." in data:
            self._came.put_nowait(b"")

    async def close(self) -> None:
        """Take in that nobody is there any more."""
        self.closed = True


class Echoing(Prim, type="test.echoing"):
    """Offers a channel called console that gives back what is sent."""

    busy = attr(bool_, False, doc="Refuse.")

    def __init__(self) -> None:
        """Have no channel open."""
        self.opened: list[Echo] = []

    @override
    async def open_channel(self, name: str) -> Duplex:
        if name != "console":
            return await super().open_channel(name)
        if self.busy:
            raise Refused("it is busy", where=self.path)
        self.opened.append(Echo())
        return self.opened[-1]


class Talker(Prim, type="test.talker"):
    """Logs a line when it starts, and more when asked."""

    line = attr(str_, "hello", doc="What it says when it has started.")

    @override
    async def on_started(self) -> None:
        self.log.info("%s", self.line)

    @exposed(role="operator")
    async def say(self, level: str, text: str) -> None:
        """Log one line at a level."""
        self.log.log(level_of(level), "%s", text)


class Step(Prim, type="test.step"):
    """One step of a workflow: notes what happens to it, and ends as it is told."""

    diary: ClassVar[list[tuple[float, str]]] = []
    """What all steps did, with the loop's time; tests empty it."""

    takes = attr(float_, 0, doc="Seconds until it ends; negative: never.")
    ends = attr(strings, ("normal",), doc="Types of the record, one for each run of that name.")
    unborn = attr(bool_, False, doc="Fail to start.")
    item = attr(str_, "", doc="What it is for.")
    index = attr(int_, -1, doc="Which it is.")

    def __init__(self) -> None:
        """Have done nothing yet."""
        self._ran = False

    def _write(self, text: str) -> int:
        loop = asyncio.get_running_loop()
        self._ran = True
        word = f"{text}{'=' + self.item if self.item else ''}"
        self.diary.append((round(loop.time(), 3), word))
        return sum(entry == word for _, entry in self.diary)

    @override
    async def on_start(self) -> None:
        if self.unborn:
            self._write(f"{self.name} unborn")
            self._ran = False
            raise RuntimeError("told not to start")
        run = self._write(self.name)
        if self.takes >= 0:
            self.spawn(self._end_later(self.ends[min(run, len(self.ends)) - 1]))

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        self._ran = True
        if self.takes >= 0:
            self.spawn(self._end_later(self.ends[-1]))

    async def _end_later(self, type_: str) -> None:
        await self.sleep(self.takes)
        await self.finish(Record(type_, "did its step"))

    @override
    async def on_terminate(self, record: Record) -> None:
        if self._ran:
            self._write(f"-{self.name}")
