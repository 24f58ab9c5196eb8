"""The daemon: a process of the engine that listens, put together and looked after."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from engine.core.faults import Refused
from engine.runtime.ledger import Ledger, LedgerError
from engine.runtime.process import Process
from engine.runtime.verbs import Verbs
from engine.runtime.workers import ThreadWorkers
from engine.settings import Settings
from engine.wire.links import PyroLink
from engine.wire.pyro import NodeServer

log = logging.getLogger("sf.daemon")


class StateLock:
    """Holds a daemon's state folder for one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Lock the folder.

        Raises:
            Refused: Another daemon holds it.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file: TextIO = (folder / "lock").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise Refused(
                f"another daemon uses {folder}", code="SF-DAEMON-001",
                hint="give this one another --port or --state-dir",
            ) from error  # fmt: skip

    def close(self) -> None:
        """Let go of the folder."""
        self._file.close()


async def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run a daemon until it is told to stop.

    SIGTERM and SIGINT let go of everything without ending it: what outlives the process is taken up
    again at the next start. A second signal ends the process at once. The `Stop` operation ends all
    components first.

    Args:
        settings: What the daemon was told.
        announce: Called once with the ready line.

    Raises:
        Refused: The port or the state folder is in use.
        LedgerError: The ledger cannot be used.
    """
    lock = StateLock(settings.folder)
    try:
        await _serve(settings, announce)
    finally:
        lock.close()


async def _serve(settings: Settings, announce: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    try:
        ledger = Ledger(settings.folder / "ledger.sqlite")
    except LedgerError as error:
        raise Refused(str(error), code="SF-DAEMON-002") from error
    process = Process(
        settings,
        address=f"{settings.bind}:{settings.port}",
        ledger=ledger,
        workers=ThreadWorkers(),
        connect=PyroLink,
    )
    if os.environ.get("SMARTDOMAINS_SABOTAGE"):
        from engine.testing.sabotage import from_environment  # noqa: PLC0415 - only when asked for

        process.keeper.saboteur = from_environment()
    verbs = Verbs(process)
    try:
        server = NodeServer(settings.bind, settings.port, verbs.from_thread(loop))
    except OSError as error:
        ledger.close()
        raise Refused(
            f"cannot listen at {settings.bind}:{settings.port}: {error.strerror or error}",
            code="SF-DAEMON-003", hint="is a daemon running there already? try: sfping localhost",
        ) from error  # fmt: skip
    _on_signals(loop, process)
    server.start()
    try:
        await process.begin()
        announce(f"ready {process.node_name} {process.address} {process.version}")
        await process.stopping.wait()
    finally:
        with contextlib.suppress(Exception):
            await process.stop()
        await loop.run_in_executor(None, server.close)


def _on_signals(loop: asyncio.AbstractEventLoop, process: Process) -> None:
    def stop() -> None:
        if process.stopping.is_set():
            os._exit(130)
        log.info("stopping")
        process.stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def main(settings: Settings) -> None:
    """Run a daemon in the foreground; threads that never return do not hold it up."""

    def announce(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    asyncio.run(serve(settings, announce))
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
