"""`RunCommand` and `SshCommand`: programs that are run once."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import ClassVar

import msgspec
from typing_extensions import override

from components.system.jobs import grown, job_done
from components.system.kinds import host_, line_, variables_, words
from components.system.program import Program
from components.system.running import Running
from engine.core.faults import BadDescription
from engine.core.records import Record
from engine.runtime.attributes import attr, output
from engine.runtime.kinds import bool_, duration_s, int_, size_bytes, str_
from sfdl.values import Value

MOST_CAPTURE = 2**20
SSH_FAILED = 255


class RunCommand(Running, type="system.runcommand"):
    """Runs a program once, as a step of a workflow; it goes on while the daemon is away."""

    command = attr(words, doc="Program and arguments; a string is for /bin/sh.", called="cmd")
    folder = attr(line_, "/", doc="Folder it works in.", called="dir")
    environment = attr(variables_, None, doc="Further variables, as DATA.", called="env")
    input = attr(str_, None, doc="What it reads from its standard input; nothing if not given.")
    should_terminate = attr(
        bool_, True, doc="End when the program has ended well.", called="shouldTerminate"
    )
    on_failure = attr(
        bool_, True, doc="A status other than 0 is an abnormal end.", called="terminateOnFailure"
    )
    timeout = attr(duration_s, 0, doc="Seconds it may take; 0: no limit.")
    capture = attr(
        size_bytes, "64k", ge=0, le=MOST_CAPTURE, doc="How much of the end of each stream is kept."
    )
    stdout = output(str, doc="The end of its output.")
    stderr = output(str, doc="The end of its errors.")

    reserved: ClassVar[dict[str, Value]] = {"sfReadyWhen": "started"}

    def __init__(self) -> None:
        """Run nothing yet."""
        super().__init__()
        self._late = False

    def words_to_run(self) -> tuple[str, ...]:
        """Return the program and its arguments."""
        return self.command if len(self.command) > 1 else ("/bin/sh", "-c", self.command[0])

    @override
    async def program(self) -> Program:
        program = self.begin_with(*self.words_to_run(), folder=self.folder)
        err = str(Path(program.state, "err"))
        return msgspec.structs.replace(
            program, environment=self.environment or (), text=self.input, err=err
        )

    @override
    def follows(self) -> bool:
        return True

    @override
    async def before(self, program: Program, *, adopted: bool) -> None:
        if self.timeout > 0:
            self.spawn(self._limit())

    async def _limit(self) -> None:
        await self.sleep(self.timeout)
        self._late = not self._down.is_set()
        if self._late and self._program is not None:
            await self.run_blocking(self._program.end)

    @override
    async def program_ended(self, status: int | None) -> None:
        program = self._program
        if program is None:
            return
        said, errors = [
            await self.run_blocking(_tail, path, self.capture) for path in program.files()
        ]
        self.stdout, self.stderr = said, errors
        text = self._sentence(status, errors)
        if self.is_good_end(status):
            record = Record.normal(text)
        else:
            await self.finish(Record.abnormal(text))
            return
        if self.should_terminate:
            await grown(self)
            await self.finish(record)
        else:
            await job_done(self, record)

    def _sentence(self, status: int | None, errors: str) -> str:
        if self._late:
            return f"{self.words_to_run()[0]} did not end within {self.timeout:g} s"
        last = errors.strip().splitlines()[-1:]
        return self.words(status) + (f": {last[0]}" if status and last else "")

    @override
    def is_good_end(self, status: int | None) -> bool:
        return not self._late and (status == 0 or not self.on_failure)


def _tail(path: str, most: int) -> str:
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - most))
            return file.read(most).decode(errors="replace") if most else ""
    except FileNotFoundError:
        return ""


class SshCommand(RunCommand, type="system.sshcommand"):
    """Runs a program once on a machine without a daemon, with the ssh client of this host.

    Nobody is asked: the key has no passphrase or an agent has it, and the host is known.
    """

    host = attr(host_, doc="Name or address of the machine.")
    user = attr(line_, "", doc="User there; as the ssh client is set up if empty.")
    key = attr(line_, "", doc="File of the private key; the client's own if empty.")
    port = attr(int_, 22, ge=1, le=65535, doc="TCP port.")
    known_hosts = attr(
        line_, "", doc="File with the host's key; the client's own if empty.", called="knownHosts"
    )
    connect_timeout = attr(
        duration_s, 10, ge=1, doc="Whole seconds to connect.", called="connectTimeout"
    )

    @override
    def look_over(self) -> None:
        super().look_over()
        for name, path in (("key", self.key), ("knownHosts", self.known_hosts)):
            if path and not Path(path).is_file():
                text = f"{name}: there is no file {path} on this host"
                raise BadDescription(text, where=self.path, code="SF-ATTR-001")
        if self.user.startswith("-"):
            text = f"user: {self.user} is no user's name"
            raise BadDescription(text, where=self.path, code="SF-ATTR-001")

    @override
    def words_to_run(self) -> tuple[str, ...]:
        told = self.command[0] if len(self.command) == 1 else shlex.join(self.command)
        options = [
            "BatchMode=yes", "StrictHostKeyChecking=yes", "ServerAliveInterval=15",
            "ServerAliveCountMax=4", f"ConnectTimeout={int(self.connect_timeout)}",
        ]  # fmt: skip
        if self.key:
            options += [f"IdentityFile={_quoted(self.key)}", "IdentitiesOnly=yes"]
        if self.known_hosts:
            options.append(f"UserKnownHostsFile={_quoted(self.known_hosts)}")
        given = tuple(word for option in options for word in ("-o", option))
        user = ("-l", self.user) if self.user else ()
        return ("ssh", "-T", *given, "-p", str(self.port), *user, "--", self.host, told)

    @override
    def words(self, status: int | None) -> str:
        if status == SSH_FAILED:
            return f"ssh to {self.host} failed"
        return super().words(status)


def _quoted(path: str) -> str:
    """Quote a path as the ssh client's settings have it; its own marks stay what they are."""
    return '"' + path.replace("%", "%%") + '"'
