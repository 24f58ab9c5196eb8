"""Sub-processes as programs of the operating system: starting them, and what they run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path

import msgspec

from engine.core.decoding import from_json
from engine.core.faults import Refused
from engine.handover import Handover, User, check_reach, other_user
from engine.limits import Groups, processors
from engine.listening import Place
from engine.runtime.commands import bound_to_us
from engine.settings import Settings

SETTINGS = "SMARTDOMAINS_SUBPROCESS"
"""Environment variable that carries a sub-process's settings, as JSON."""
CLEAN = "SMARTDOMAINS_SUBPROCESS_CLEAN"


class Program:
    """One sub-process that runs as a program."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        """Take the program that has said where it answers."""
        self._process = process
        self.address = address
        self.pid = process.pid
        self._work: asyncio.Task[None] | None = None

    def beside(self, work: Coroutine[object, object, None]) -> None:
        """Do something as long as it runs, and until that is over."""
        self._work = asyncio.get_running_loop().create_task(work, name=f"sub-process {self.pid}")

    async def ended(self) -> int:
        """Wait for its end and return its exit status; negative: killed by that signal."""
        status = await self._process.wait()
        if self._work is not None:
            await asyncio.wait({self._work})
        return status

    def end(self, *, force: bool) -> None:
        """Ask it to let go and end; with `force` kill it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL if force else signal.SIGTERM)


class ProgramSpawner:
    """Starts sub-processes with our own interpreter, settings and certificates."""

    def __init__(self, settings: Settings, place: Place, groups: Groups | None = None) -> None:
        """Take the root's settings, where it listens and as whom, and the control groups."""
        self._settings = settings
        self._place = place
        self._groups = groups or Groups()

    def check(self, config: Mapping[str, str]) -> None:
        """Check what `sfProcessConfig` asks for; see `engine.runtime.subprocesses.Spawner`."""
        if "cpuMax" in config:
            processors(config["cpuMax"])
            self._groups.check()
        user = other_user(config["user"]) if "user" in config else None
        if user is not None:
            check_reach(user, self._settings)

    async def spawn(self, name: str, config: Mapping[str, str], *, clean: bool) -> Program:
        """Start one and wait for its ready line; see `engine.runtime.subprocesses.Spawner`.

        Raises:
            Refused: It ended before it was ready, or what it is to have cannot be had.
        """
        self.check(config)
        settings = self._settings
        user = other_user(config["user"]) if "user" in config else None
        handover = None
        if user is not None:
            contexts = self._place.contexts
            files = contexts.files if contexts is not None else None
            handover = Handover(settings, name, user, files)
            settings = await asyncio.to_thread(handover.prepare)
        group = None
        try:
            if "cpuMax" in config:
                group = self._groups.make(name, processors(config["cpuMax"]))
            process = await asyncio.create_subprocess_exec(
                *_command(config, user),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                env=self._environment(settings, name, config, user, clean=clean),
                start_new_session=True,
            )
        except BaseException:
            self._tidy(handover, group)
            raise
        try:
            if group is not None:
                self._groups.enter(group, process.pid)
            line = await _ready(process)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
            self._tidy(handover, group)
            raise
        program = Program(process, line.decode().split()[2])
        if handover is not None or group is not None:
            program.beside(self._look_after(process, handover, group))
        return program

    def _environment(
        self, settings: Settings, name: str, config: Mapping[str, str], user: User | None, *,
        clean: bool,
    ) -> dict[str, str]:  # fmt: skip
        place = self._place
        told = msgspec.structs.replace(
            settings, process=name, root=place.address, defaults=(), maintenance=False
        )
        if user is not None:  # it has no local community: it is told what that would say
            advertise = place.address.rpartition(":")[0].strip("[]")
            told = msgspec.structs.replace(told, bind=",".join(place.hosts), advertise=advertise)
        own = {"HOME": user.home, "USER": user.name, "LOGNAME": user.name} if user else {}
        return {
            **os.environ,
            **own,
            **{key.removeprefix("env."): text for key, text in config.items() if "." in key},
            SETTINGS: msgspec.json.encode(told).decode(),
            "SMARTDOMAINS_PROCESS": name,
            CLEAN: "yes" if clean else "",
        }

    async def _look_after(
        self, process: asyncio.subprocess.Process, handover: Handover | None, group: Path | None
    ) -> None:
        """Keep what a sub-process was handed fresh, and take all back once it has ended."""
        fresh = asyncio.ensure_future(handover.keep_fresh()) if handover is not None else None
        try:
            await process.wait()
        finally:
            if fresh is not None:
                fresh.cancel()
                await asyncio.gather(fresh, return_exceptions=True)
            self._tidy(handover, group)

    def _tidy(self, handover: Handover | None, group: Path | None) -> None:
        if handover is not None:
            handover.take_back()
        if group is not None:
            self._groups.remove(group)


async def _ready(process: asyncio.subprocess.Process) -> bytes:
    line = await process.stdout.readline() if process.stdout is not None else b""
    if not line.startswith(b"ready "):
        raise Refused(f"it ended with status {await process.wait()} before it was ready")
    return line


def _command(config: Mapping[str, str], user: User | None) -> list[str]:
    command = bound_to_us([sys.executable, "-m", "engine.spawning"])
    if user is not None:  # outside: becoming another user would undo being bound to us
        who = [f"--reuid={user.uid}", f"--regid={user.gid}", "--init-groups"]
        command = ["setpriv", *who, "--", *command]
    if "nice" in config:
        command = ["nice", "-n", config["nice"], *command]
    if "memoryMax" in config:
        command = ["prlimit", f"--as={_bytes(config['memoryMax'])}", *command]
    return command


def _bytes(text: str) -> int:
    from engine.runtime.kinds import size_bytes  # noqa: PLC0415 - rarely needed

    return size_bytes.read(int(text) if text.isdigit() else text)


def main() -> None:
    """Be a sub-process: read the settings, serve until told to end."""
    from engine.daemon import main as serve  # noqa: PLC0415 - the daemon knows this module

    settings = from_json(os.environ.pop(SETTINGS), Settings)
    clean = bool(os.environ.pop(CLEAN, ""))
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (min(soft, 0), hard))
    serve(msgspec.structs.replace(settings, clean=clean))


if __name__ == "__main__":
    main()
