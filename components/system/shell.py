"""`BashShell`: one long-lived shell that runs scripts handed to it, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shlex
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar, Literal, Self, TypeAlias

from typing_extensions import override

from components.system.kinds import command_, line_, variables_, words
from components.system.sharing import OwnShell, Shared, ShellOutput
from engine.core.faults import Refused, TimedOut
from engine.prim import Unwell
from engine.runtime.attributes import attr
from engine.runtime.commands import Output, bound_to_us, search_path
from engine.runtime.effects import Effect, Presence, Site
from engine.runtime.kinds import BadValueError, Kind, description_
from sfdl.values import Value

MOST_LINE = 16 * 2**20


class _Running:
    """One shell process and its pipes; scripts take turns."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._turn = asyncio.Lock()

    async def run(self, script: str, timeout_s: float) -> Output:
        async with self._turn:
            if self.process.returncode is not None:
                raise Refused("the shell has ended", code="SF-SHELL-001")
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._exchange(script)
            except BaseException as error:
                await self.end()  # its streams are in the middle of a script: of no more use
                if isinstance(error, TimeoutError):
                    raise TimedOut(f"the script did not end within {timeout_s:g} s") from error
                raise

    async def _exchange(self, script: str) -> Output:
        mark = f"end-{secrets.token_hex(8)}"
        stdin, stdout, stderr = self.process.stdin, self.process.stdout, self.process.stderr
        if stdin is None or stdout is None or stderr is None:
            raise Refused("the shell has no pipes", code="SF-SHELL-001")
        text = (
            f"eval {shlex.quote(script)} </dev/null\n"
            f"status=$?; printf '\\n{mark} %d\\n' $status; printf '\\n{mark}\\n' >&2\n"
        )
        stdin.write(text.encode())
        await stdin.drain()
        out, err = await asyncio.gather(_read_to(stdout, mark), _read_to(stderr, mark))
        body, _, last = out.rpartition(b"\n")
        return Output(int(last.split()[-1]), body, err.rpartition(b"\n")[0])

    async def end(self) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


async def _read_to(stream: asyncio.StreamReader, mark: str) -> bytes:
    """Read up to and with the line that starts with the mark, its end not included."""
    lines: list[bytes] = []
    while True:
        line = await stream.readline()
        if not line:
            raise Refused("the shell ended in the middle of a script", code="SF-SHELL-001")
        lines.append(line)
        if line.startswith(mark.encode()):
            return b"".join(lines).rstrip(b"\n")


class Shells:
    """The shells of one process, by the token of their owner."""

    def __init__(self) -> None:
        """Start without any."""
        self._running: dict[str, _Running] = {}

    async def open(
        self, token: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> int:
        """Start a shell; return its process id.

        Raises:
            Refused: There is no such program.
        """
        known = self._running.get(token)
        if known is not None and known.process.returncode is None:
            return known.process.pid
        try:
            process = await asyncio.create_subprocess_exec(
                *bound_to_us(command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                limit=MOST_LINE,
                env={**os.environ, "PATH": search_path(), **(environment or {})},
            )
        except FileNotFoundError as error:
            raise Refused(f"there is no shell {command[0]}", code="SF-RUN-002") from error
        self._running[token] = _Running(process)
        return process.pid

    def running(self, token: str) -> _Running | None:
        """Return the shell of a token if it is alive."""
        found = self._running.get(token)
        return found if found is not None and found.process.returncode is None else None

    async def end(self, token: str) -> None:
        """End a shell and what it runs; success if there is none."""
        found = self._running.pop(token, None)
        if found is not None:
            await found.end()

    async def close(self) -> None:
        """End all."""
        for token in list(self._running):
            await self.end(token)


class ShellProcess(Effect, frozen=True):
    """A shell of ours; it dies with our process."""

    survival: ClassVar[Literal["host", "process"]] = "process"

    token: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()

    @override
    def label(self) -> str:
        return f"shell {self.command[0]}"

    @override
    async def look(self, at: Site) -> Presence:
        return Presence.ABSENT if at.service(Shells).running(self.token) is None else Presence.OURS

    @override
    async def make(self, at: Site) -> Self:
        await at.service(Shells).open(self.token, self.command, dict(self.environment))
        return self

    @override
    async def undo(self, at: Site) -> None:
        await at.service(Shells).end(self.token)


def _exec(value: Value) -> tuple[str, ...]:
    command = description_.read(value).get("cmd")
    if command is None:
        raise BadValueError("must have cmd, the program and its arguments")
    return words.read(command)


exec_: Kind[tuple[str, ...]] = Kind("block with cmd", "CD", _exec)


class Shell(Shared, type="system.shell"):
    """One long-lived shell process per component; others refer to it and share it."""

    command = attr(
        command_, None, doc="Program and arguments; /bin/bash if not given.", called="cmd"
    )
    folder = attr(line_, "", doc="Folder to work in; the daemon's own if not given.", called="dir")
    environment = attr(variables_, None, doc="Further variables, as DATA.", called="env")
    title = attr(line_, "", doc="What it is called in messages.", called="name")
    block = attr(exec_, None, doc="The same as a block: `exec:cmd` is `cmd`.", called="exec")

    reserved: ClassVar[dict[str, Value]] = {"sfOrphanPolicy": "keep"}

    def _token(self) -> str:
        return f"{self.path}#{self.live.incarnation}"

    def __init__(self) -> None:
        """Have no shell yet."""
        super().__init__()
        self._opened = False
        self._opening = asyncio.Lock()

    @override
    async def on_start(self) -> None:
        await self._open()

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        await self._open()

    async def _open(self) -> None:
        """Start the shell, once: with the component, or for a script that is run before that."""
        async with self._opening:
            if not self._opened:
                self._opened = True
                await self._begin()

    async def _begin(self) -> None:
        program = ShellProcess(self._token(), self._command(), self.environment or ())
        await self.make(program)
        if self.folder:
            await self._run(f"cd -- {shlex.quote(self.folder)}", 10.0)

    @override
    async def check(self) -> None:
        if self.service(Shells).running(self._token()) is None:
            raise Unwell(f"the shell {self.title} has ended".replace("  ", " "))

    @override
    def own_shell(self) -> OwnShell:
        return OwnShell(self._command(), self.folder, self.environment or ())

    def _command(self) -> tuple[str, ...]:
        return self.command or self.block or ("/bin/bash",)

    @override
    async def answer(self, script: str, timeout_s: float) -> ShellOutput:
        await self._open()
        return await self._run(script, timeout_s)

    async def _run(self, script: str, timeout_s: float) -> ShellOutput:
        shell = self.service(Shells).running(self._token())
        if shell is None:
            raise Refused("the shell has ended", code="SF-SHELL-001", where=self.path)
        output = await shell.run(script, timeout_s)
        return ShellOutput(output.status, output.stdout, output.stderr)


class BashShell(Shell, type="system.bash"):
    """A shell under its SmartDomains name."""


class ShellExecutor:
    """Runs the commands of effects through a shell component, each word quoted."""

    Execute: TypeAlias = Callable[[str, float], Awaitable[object]]

    def __init__(self, execute: Execute) -> None:
        """Take the shell's `execute`, by whatever way it is reached."""
        self._execute = execute

    async def run(self, argv: Sequence[str], *, input_: bytes, timeout_s: float) -> Output:
        """Run one command and return its output."""
        if input_:
            raise Refused("a command run through a shell takes no input")
        output = await self._execute(shlex.join(argv), timeout_s)
        if not isinstance(output, ShellOutput):
            raise Refused("what runs the commands is not a shell")
        return Output(output.status, output.stdout, output.stderr)
