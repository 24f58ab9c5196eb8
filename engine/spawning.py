"""Sub-processes as programs of the operating system: starting them, and what they run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Mapping

import msgspec

from engine.core.faults import Refused
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

    async def ended(self) -> int:
        """Wait for its end and return its exit status; negative: killed by that signal."""
        return await self._process.wait()

    def end(self, *, force: bool) -> None:
        """Ask it to let go and end; with `force` kill it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL if force else signal.SIGTERM)


class ProgramSpawner:
    """Starts sub-processes with our own interpreter, settings and certificates."""

    def __init__(self, settings: Settings, root_address: str) -> None:
        """Take the root's settings and where it answers."""
        self._settings = settings
        self._root = root_address

    async def spawn(self, name: str, config: Mapping[str, str], *, clean: bool) -> Program:
        """Start one and wait for its ready line; see `engine.runtime.subprocesses.Spawner`.

        Raises:
            Refused: It ended before it was ready.
        """
        settings = msgspec.structs.replace(
            self._settings, process=name, root=self._root, defaults=(), maintenance=False
        )
        environment = {
            **os.environ,
            **{key.removeprefix("env."): text for key, text in config.items() if "." in key},
            SETTINGS: msgspec.json.encode(settings).decode(),
            "SMARTDOMAINS_PROCESS": name,
            CLEAN: "yes" if clean else "",
        }
        process = await asyncio.create_subprocess_exec(
            *bound_to_us(_command(config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        try:
            line = await _ready(process)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
            raise
        return Program(process, line.decode().split()[2])


async def _ready(process: asyncio.subprocess.Process) -> bytes:
    line = await process.stdout.readline() if process.stdout is not None else b""
    if not line.startswith(b"ready "):
        raise Refused(f"it ended with status {await process.wait()} before it was ready")
    return line


def _command(config: Mapping[str, str]) -> list[str]:
    command = [sys.executable, "-m", "engine.spawning"]
    if "nice" in config:
        command = ["nice", "-n", config["nice"], *command]
    if "memoryMax" in config:
        command = ["prlimit", f"--as={_bytes(config['memoryMax'])}", *command]
    if "user" in config:
        command = ["setpriv", "--reuid", config["user"], "--init-groups", *command]
    return command


def _bytes(text: str) -> int:
    from engine.runtime.kinds import size_bytes  # noqa: PLC0415 - rarely needed

    return size_bytes.read(int(text) if text.isdigit() else text)


def main() -> None:
    """Be a sub-process: read the settings, serve until told to end."""
    from engine.daemon import main as serve  # noqa: PLC0415 - the daemon knows this module

    settings = msgspec.json.decode(os.environ.pop(SETTINGS), type=Settings)
    clean = bool(os.environ.pop(CLEAN, ""))
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (min(soft, 0), hard))
    serve(msgspec.structs.replace(settings, clean=clean))


if __name__ == "__main__":
    main()
