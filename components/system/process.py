"""`Process`: a program as a component."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import signal
import time
from pathlib import Path
from typing import ClassVar, Self

import msgspec
from typing_extensions import override

from engine.core.faults import Refused, TimedOut
from engine.core.records import Record
from engine.prim import Prim, Unwell
from engine.runtime.attributes import attr, output
from engine.runtime.commands import search_path
from engine.runtime.effects import Effect, Presence, Site
from engine.runtime.kinds import bool_, description_, duration_s, list_, str_, strings
from sfdl.values import Value

TOKEN = "SMARTDOMAINS_OWNER"  # noqa: S105 - the name of a variable
LOOK_S = 0.2


class Program(Effect, frozen=True):
    """A running program in a session of its own, found again by a token in its environment.

    It outlives our process. Its identity is its pid together with its start time, so that a pid
    used again by something else is never mistaken for it.

    Attributes:
        environment: Further variables.
        out: File for its standard output, or empty for none.
        err: File for its standard error, or empty: with its output.
        started_ticks: Start time in clock ticks since boot; 0 before it was started.
    """

    argv: tuple[str, ...]
    folder: str
    environment: tuple[tuple[str, str], ...]
    out: str
    err: str
    token: str
    pid: int = 0
    started_ticks: int = 0

    @override
    def label(self) -> str:
        return f"program {self.argv[0]}"

    @override
    async def look(self, at: Site) -> Presence:
        found = await at.blocking(find_program, self.token)
        return Presence.ABSENT if found is None else Presence.OURS

    @override
    async def make(self, at: Site) -> Self:
        known = await at.blocking(find_program, self.token)
        if known is not None:
            return msgspec.structs.replace(self, pid=known[0], started_ticks=known[1])
        pid = await at.blocking(self._spawn)
        return msgspec.structs.replace(self, pid=pid, started_ticks=started_ticks(pid) or 0)

    def _spawn(self) -> int:
        environment = {
            **os.environ, "PATH": search_path(), **dict(self.environment), TOKEN: self.token,
        }  # fmt: skip
        opened = [os.open("/dev/null", os.O_RDONLY)]
        try:
            for path in (self.out, self.err or self.out):
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                opened.append(os.open(path or "/dev/null", flags, 0o600))
            actions = [(os.POSIX_SPAWN_DUP2, opened[n], n) for n in range(3)]
            words = ["sh", "-c", 'cd -- "$0" && exec "$@"', self.folder, *self.argv]
            return os.posix_spawn("/bin/sh", words, environment, file_actions=actions, setsid=True)
        except OSError as error:
            raise Refused(
                f"{self.argv[0]} cannot be started: {error.strerror}", code="SF-PROC-001"
            ) from error
        finally:
            for descriptor in opened:
                os.close(descriptor)

    @override
    async def undo(self, at: Site) -> None:
        found = await at.blocking(find_program, self.token)
        if found is None:
            return
        await at.blocking(_kill_group, found[0])


def started_ticks(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; nothing if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def find_program(token: str) -> tuple[int, int] | None:
    """Return pid and start time of the session leader that carries a token; blocks."""
    mark = f"{TOKEN}={token}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            carries = mark in (entry / "environ").read_bytes().split(b"\0")
            pid = int(entry.name)
            if carries and os.getsid(pid) == pid:
                ticks = started_ticks(pid)
                if ticks is not None:
                    return pid, ticks
        except OSError:
            continue
    return None


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _reap(pid)


def _reap(pid: int) -> int | None:
    """Take the exit status of a child of ours if it has ended; nothing for others."""
    with contextlib.suppress(ChildProcessError):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
    return None


class Process(Prim, type="system.process"):
    """Runs a program in a session of its own; a restarted daemon takes it up again."""

    command = attr(strings, doc="Program and arguments.", called="cmd")
    folder = attr(str_, "/", doc="Folder it works in.", called="dir")
    environment = attr(description_, None, doc="Further variables, as DATA.", called="env")
    terminate = attr(bool_, False, doc="End normally when the program does.")
    ok_exit = attr(list_, (0,), doc="Exit statuses that are no failure.", called="okExit")
    stop_signal = attr(str_, "TERM", doc="What asks it to stop.", called="stopSignal")
    stop_timeout = attr(duration_s, 10, doc="Seconds it has to stop.", called="stopTimeout")
    log_out = attr(str_, "", doc="File for its output.", called="logOut")
    log_err = attr(str_, "", doc="File for its errors; with its output if empty.", called="logErr")
    ready_pattern = attr(
        str_, "", doc="It is ready once its output shows this pattern; at once if empty.",
        called="ready",
    )  # fmt: skip
    ready_timeout = attr(duration_s, 60, doc="Seconds until ready.", called="readyTimeout")
    pid = output(int, doc="Process id.")
    exitCode = output(int, doc="Exit status, once it has ended.")

    reserved: ClassVar[dict[str, Value]] = {"sfReadyWhen": "signal", "sfTerminateTimeout": 120}

    def __init__(self) -> None:
        """Run nothing yet."""
        self._program: Program | None = None
        self._stopping = False

    @override
    async def on_deploy(self) -> None:
        if not self.command:
            raise Refused("cmd must name a program", where=self.path)
        if self.ready_pattern and not self.log_out:
            raise Refused("ready needs logOut, the file that shows it", where=self.path)
        if getattr(signal, f"SIG{self.stop_signal}", None) is None:
            raise Refused(f"stopSignal {self.stop_signal!r} is no signal", where=self.path)

    @override
    async def on_start(self) -> None:
        environment = self.environment
        pairs = environment.attributes if environment is not None else ()
        program = Program(
            argv=tuple(self.command), folder=self.folder,
            environment=tuple((name, str(value)) for name, value in pairs),
            out=self.log_out, err=self.log_err, token=secrets.token_hex(16),
        )  # fmt: skip
        self._take(await self.make(program))
        if self.ready_pattern:
            await self._await_ready(re.compile(self.ready_pattern))
        self.set_ready(True)

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, Program):
                found = await self.run_blocking(find_program, effect.token)
                pid, ticks = found if found is not None else (effect.pid, effect.started_ticks)
                self._take(msgspec.structs.replace(effect, pid=pid, started_ticks=ticks))
        self.set_ready(True)

    def _take(self, program: Program) -> None:
        self._program = program
        self.pid = program.pid
        self.spawn(self._watch(program))

    async def _await_ready(self, pattern: re.Pattern[str]) -> None:
        until = time.monotonic() + self.ready_timeout
        while time.monotonic() < until:
            text = await self.run_blocking(_text_of, self.log_out)
            if pattern.search(text):
                return
            await self.sleep(0.05)
        raise TimedOut(
            f"its output did not show {pattern.pattern!r} within {self.ready_timeout:g} s"
        )

    async def _watch(self, program: Program) -> None:
        """Notice the end of the program: at once if it is our child, by looking otherwise."""
        while True:
            status = _reap(program.pid)
            if status is not None or started_ticks(program.pid) != program.started_ticks:
                break
            await self.sleep(LOOK_S)
        if status is not None:
            self.exitCode = status
        if not self._stopping:
            await self._ended(status)

    async def _ended(self, status: int | None) -> None:
        words = f"{self.command[0]} ended" + ("" if status is None else f" with status {status}")
        if status is not None and status not in self.ok_exit:
            await self.finish(Record.abnormal(words))
        elif self.terminate:
            await self.finish(Record.normal(words))
        else:
            self.set_ready(False)
            self.note(words)

    @override
    async def check(self) -> None:
        program = self._program
        ended = program is not None and started_ticks(program.pid) != program.started_ticks
        if ended and not self._has_ended_well():
            raise Unwell(f"{self.command[0]} has ended")

    def _has_ended_well(self) -> bool:
        status = self.live.value("exitCode")
        return status is None or status in self.ok_exit

    @override
    async def on_terminate(self, record: Record) -> None:
        self._stopping = True
        program = self._program
        if program is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, getattr(signal, f"SIG{self.stop_signal}"))
        until = asyncio.get_running_loop().time() + self.stop_timeout
        while asyncio.get_running_loop().time() < until:
            _reap(program.pid)
            if started_ticks(program.pid) != program.started_ticks:
                return
            await self.sleep(0.02)
        self.note(f"{self.command[0]} did not stop within {self.stop_timeout:g} s", "warning")


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except FileNotFoundError:
        return ""
