"""Running a program for a component: started, followed, ended; taken up again after a restart."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from functools import partial
from pathlib import Path
from typing import ClassVar

import msgspec
from typing_extensions import override

from components.system.following import Follower, size_of
from components.system.program import Program, Watchers, started_ticks
from engine.core.faults import BadDescription, Refused, TimedOut
from engine.core.records import Record
from engine.prim import Prim, Unwell
from engine.runtime.attributes import NotBound, attr, exposed, output
from engine.runtime.effects import Effect
from engine.runtime.kinds import duration_s
from sfdl.values import Value

LOOK_S = 0.1
STATUS_S = 5.0
READY_S = 60.0
FIRST_PAUSE_S = 0.1
MOST_PAUSE_S = 30.0
CALM_S = 60.0
"""Seconds a program must have run for its next restart to come soon again."""
MARGIN_S = 10.0
"""Seconds the end of a component needs on top of its program's time to stop."""


def next_pause_s(before_s: float, ran_s: float) -> float:
    """Return how long to wait before a program that ended is started again.

    Example:
        >>> next_pause_s(0.0, 1.0), next_pause_s(0.1, 1.0), next_pause_s(20.0, 100.0)
        (0.1, 0.2, 0.1)
    """
    if before_s == 0 or ran_s >= CALM_S:
        return FIRST_PAUSE_S
    return min(before_s * 2, MOST_PAUSE_S)


class Running(Prim):
    """Base of types that run one program.

    A type says in `program` what to run, in `is_ready` when it does its job, and in `program_ended`
    what its end means. The program is an effect: it is ended with all it left behind whatever
    happens, and goes on while the daemon is away.
    """

    stop_timeout = attr(
        duration_s, 10, doc="Seconds it has to stop before it is killed.", called="stopTimeout"
    )
    pid = output(int, doc="Process id.")
    exitCode = output(int, doc="Exit status, once it has ended; 128 and more: by that signal.")
    restarts = output(int, doc="How often it was started again.")

    reserved: ClassVar[dict[str, Value]] = {"sfReadyWhen": "signal", "sfTerminateTimeout": 120}

    def __init__(self) -> None:
        """Run nothing yet."""
        self._program: Program | None = None
        self._down = asyncio.Event()
        self._stopping = False
        self._awaiting = False

    # -- what a type says

    async def program(self) -> Program:
        """Return what to run, made with `begin_with`."""
        raise NotImplementedError

    async def before(self, program: Program, *, adopted: bool) -> None:
        """Prepare for a program that is about to start, or was found after a restart."""

    async def is_ready(self) -> bool:
        """Say whether the program does its job by now; asked again until it does."""
        return True

    def ready_within_s(self) -> float:
        """Return for how long the program may not be ready at first."""
        return READY_S

    def follows(self) -> bool:
        """Say whether lines of its output are wanted now."""
        return False

    def told(self, line: str, *, error: bool, new: bool) -> None:
        """Take in a line of its output, or of its errors; old ones are told again after a restart."""

    def starts_at_once(self) -> bool:
        """Say whether the program is started with the component."""
        return True

    def starts_again(self) -> bool:
        """Say whether the program is started again whenever it ends."""
        return False

    async def program_ended(self, status: int | None) -> None:
        """Decide what its end means, if it was not asked for; `None`: nobody saw how."""
        await self.finish(Record.abnormal(self.words(status)))

    def is_good_end(self, status: int | None) -> bool:
        """Say whether the component is well though its program has ended this way."""
        del status
        return False

    def begin_with(self, *argv: str, folder: str = "/", out: str = "", err: str = "") -> Program:
        """Return a program with a token and a folder of its own.

        Args:
            argv: The program and its arguments.
            folder: Where it works.
            out: File for its output; in its own folder if empty and lines of it are wanted.
            err: File for its errors; with its output if empty.
        """
        token = secrets.token_hex(16)
        state = self.work_folder / "programs" / token
        return Program(
            argv=argv, folder=folder, environment=(), token=token, state=str(state),
            out=out or (str(state / "out") if self.follows() else ""), err=err,
            stop_timeout_s=self.stop_timeout, stays=self.starts_again(),
        )  # fmt: skip

    def words(self, status: int | None) -> str:
        """Say how the program ended."""
        name = self._program.argv[0] if self._program is not None else "the program"
        how = "and nobody saw how" if status is None else f"with status {status}"
        return f"{name} ended {how}"

    # -- life

    @override
    async def on_deploy(self) -> None:
        with contextlib.suppress(NotBound):  # what is LAZY is looked over when it starts
            self.look_over()

    def look_over(self) -> None:
        """Refuse attributes that are wrong, before anything is done."""
        most_s = self.live.seconds("sfTerminateTimeout", 120.0) - MARGIN_S
        if self.stop_timeout > most_s:
            raise BadDescription(
                f"stopTimeout of {self.stop_timeout:g} s does not fit into sfTerminateTimeout",
                where=self.path, code="SF-ATTR-001",
                hint=f"make it {max(most_s, 0):g} s at most, or sfTerminateTimeout longer",
            )  # fmt: skip

    @override
    async def on_start(self) -> None:
        self.look_over()
        self.restarts = 0
        if self.starts_at_once():
            await self._launch()

    async def _launch(self) -> None:
        """Make the effect, and wait until the program is ready."""
        program = await self.program()
        await self.before(program, adopted=False)
        self._take(await self.make(program))
        await self._await_ready()

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        self.restarts = 0
        for effect in effects:
            if isinstance(effect, Program):
                found = await self.run_blocking(effect.find)
                pid, ticks = found or (effect.pid, effect.started_ticks)
                program = msgspec.structs.replace(effect, pid=pid, started_ticks=ticks)
                self._stopping = _stopped_mark(program).exists()
                await self.before(program, adopted=True)
                self._take(program, adopted=True)
                if found is not None:
                    self.spawn(self._await_ready())

    def _take(self, program: Program, *, adopted: bool = False) -> None:
        self._program = program
        self._down.clear()
        self.pid = program.pid
        self.spawn(self._watch(program, adopted=adopted))

    async def _await_ready(self) -> None:
        if self._awaiting:
            return
        self._awaiting = True
        until = asyncio.get_running_loop().time() + self.ready_within_s()
        try:
            while not await self.is_ready():
                if self._down.is_set() and not self.starts_again():
                    status = self._program.status() if self._program is not None else None
                    raise Refused(f"{self.words(status)} before it was ready", where=self.path)
                if asyncio.get_running_loop().time() >= until:
                    text = f"it was not ready within {self.ready_within_s():g} s"
                    raise TimedOut(text, where=self.path)
                await self.sleep(LOOK_S)
            if not self._down.is_set():
                self.set_ready(True)
        finally:
            self._awaiting = False

    # -- until it ends

    async def _watch(self, program: Program, *, adopted: bool) -> None:
        """Follow the program until it has ended, and start it again where that is wanted."""
        loop = asyncio.get_running_loop()
        pause_s = 0.0
        while True:
            began_s = loop.time()
            status = await self._follow(program, adopted=adopted)
            adopted = False
            self.service(Watchers).reap()
            if status is not None:
                self.exitCode = status
            self._down.set()
            self.set_ready(False)
            if self._is_stopping():
                return
            if not self.starts_again():
                await self.program_ended(status)
                return
            pause_s = next_pause_s(pause_s, loop.time() - began_s)
            self.note(f"{self.words(status)}; it is started again in {pause_s:g} s", "warning")
            await self.sleep(pause_s)
            if self._is_stopping():
                return
            program = await self._again(program)
            self.restarts += 1
            self.spawn(self._await_ready())

    def _is_stopping(self) -> bool:
        return self._stopping

    async def _again(self, program: Program) -> Program:
        """Start the program anew within its effect, once all of the last run is gone."""
        await self.run_blocking(program.end)
        await self.before(program, adopted=False)
        program = await self.run_blocking(program.start, self.service(Watchers))
        self._program = program
        self._down.clear()
        self.pid = program.pid
        return program

    async def _follow(self, program: Program, *, adopted: bool) -> int | None:
        """Read its output until it has ended; return its status, or nothing if nobody saw it."""
        followers = self._followers(program, adopted=adopted)
        gone = asyncio.ensure_future(until_gone(program.pid, program.started_ticks))
        try:
            while not gone.done():
                follows = self.follows()
                for follower in followers if follows else ():
                    await follower.catch_up(self.run_blocking)
                await asyncio.wait({gone}, timeout=LOOK_S if follows else None)
        finally:
            gone.cancel()
        until = asyncio.get_running_loop().time() + STATUS_S
        while program.status() is None and asyncio.get_running_loop().time() < until:
            await self.sleep(0.01)
        for follower in followers if self.follows() else ():
            await follower.catch_up(self.run_blocking)
            follower.end()
        return program.status()

    def _followers(self, program: Program, *, adopted: bool) -> list[Follower]:
        followers = []
        for path, begin, error in zip(program.files(), program.begins, (False, True), strict=True):
            if path and not (error and path == program.out):
                told = partial(self._tell_line, error)
                new_from = size_of(path) if adopted else begin
                ours = Path(path).parent == Path(program.state)
                followers.append(Follower(path, told, begin=begin, new_from=new_from, ours=ours))
        return followers

    def _tell_line(self, error: bool, line: str, new: bool) -> None:  # noqa: FBT001 - a callback
        self.told(line, error=error, new=new)

    # -- by hand

    @exposed(role="operator")
    async def begin(self) -> None:
        """Start the program if it does not run, and wait until it is ready."""
        program = self._program
        if program is None:
            await self._launch()
        elif self._stopping or (self._down.is_set() and not self.starts_again()):
            await self._down.wait()
            self._stopping = False
            await self.run_blocking(_stopped_mark(program).unlink, True)
            self._take(await self._again(program))
            await self._await_ready()

    @exposed(role="operator")
    async def stop(self) -> None:
        """End the program; the component stays, and can `begin` again."""
        program = self._program
        if program is not None and not self._stopping:
            self._stopping = True
            await self.run_blocking(_stopped_mark(program).touch)
            await self.run_blocking(program.end)
            await self._down.wait()

    @override
    async def check(self) -> None:
        program = self._program
        if program is None or self._stopping or not self._down.is_set():
            return
        if not self.is_good_end(program.status()):
            raise Unwell(self.words(program.status()))

    @override
    async def on_terminate(self, record: Record) -> None:
        self._stopping = True


def _stopped_mark(program: Program) -> Path:
    """Return the file that says that the program was stopped by hand."""
    return Path(program.state, "stopped")


async def until_gone(pid: int, ticks: int) -> None:
    """Wait until a process has ended, whoever its parent is."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended: asyncio.Future[None] = loop.create_future()
    try:
        if started_ticks(pid) == ticks:
            loop.add_reader(descriptor, _settle, ended)
            await ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
