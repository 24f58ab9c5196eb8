"""The daemon: a process of the engine that listens, put together and looked after."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from engine.core.faults import Refused, raised
from engine.core.records import Record
from engine.defaults import deploy_defaults
from engine.discovery import directory
from engine.folders import made_private, make_passable
from engine.listening import connect_with, listen_as, place_of, quotas_of, teller, with_port
from engine.runtime.ledger import Ledger, LedgerError
from engine.runtime.process import Process
from engine.runtime.verbs import Verbs
from engine.runtime.workers import ThreadWorkers
from engine.security import community
from engine.security.contexts import Contexts
from engine.settings import Settings
from engine.spawning import ProgramSpawner
from engine.upkeep.service import Notifier
from engine.upkeep.upkeep import Upkeep
from engine.wire.codec import flatten
from engine.wire.messages import Create, Request, Terminate
from engine.wire.server import Door
from sfdl.values import Description

ALONE = "application"
"""Name of the application of a process that runs just one."""

log = logging.getLogger("sf.daemon")


class StateLock:
    """Holds a daemon's state folder for one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Lock the folder.

        Raises:
            Refused: Another daemon holds it.
        """
        make_passable(folder)
        self._file: TextIO = made_private(folder / "lock").open("w")
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
    place = place_of(settings)
    try:
        ledger = Ledger(made_private(settings.folder / "ledger.sqlite"))
    except LedgerError as error:
        raise Refused(str(error), code="SF-DAEMON-002") from error
    process = Process(
        settings,
        address=place.address,
        ledger=ledger,
        workers=ThreadWorkers(),
        connect=connect_with(lambda: place.contexts),
        spawner=None if settings.root else ProgramSpawner(settings, place),
    )
    process.security = place.facts()
    process.certificates = place.certificates
    if os.environ.get("SMARTDOMAINS_SABOTAGE"):
        from engine.testing.sabotage import from_environment  # noqa: PLC0415 - only when asked for

        process.keeper.saboteur = from_environment()
    verbs = Verbs(process)
    door = Door(place.contexts, quotas_of(settings), teller(loop, process))
    try:
        servers = listen_as(settings, place, verbs.from_thread(loop), door)
    except Refused:
        ledger.close()
        raise
    process.address = with_port(place.address, servers[0].port)
    try:
        upkeep = Upkeep(process, door, place.contexts, Notifier(os.environ))
    except Refused:
        for server in servers:
            server.close()
        ledger.close()
        raise
    _on_signals(loop, process)
    for server in servers:
        server.start()
    found: directory.Sources | None = None
    try:
        found = process.peers.directory = await directory.begin(
            settings, place.hosts, known=bool(settings.cert), node=process.node_name,
            daemon=process.daemon_id, address=process.address,
        )  # fmt: skip
        await process.begin()
        log.warning("listening at %s: %s", ", ".join(place.hosts), place.sentence)
        await deploy_defaults(process)
        upkeep.ready()
        announce(f"ready {process.node_name} {process.address} {process.version}")
        await process.stopping.wait()
    finally:
        upkeep.stopping()
        with contextlib.suppress(Exception):
            await process.stop()
        if found is not None:
            await found.close()
        for server in servers:
            await loop.run_in_executor(None, server.close)
        await upkeep.close()


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


def run_alone(
    tree: Description, *, lasts_s: float | None, budget_s: float, say: Callable[[str], None]
) -> Record:
    """Run an application in this process, listening nowhere, until it has ended.

    Args:
        tree: What to make real.
        lasts_s: Seconds after which it is ended; nothing: it ends by itself or by SIGINT, SIGTERM.
        budget_s: Seconds it may take to start.
        say: Told when it has started.

    Returns:
        The record it ended with.

    Raises:
        EngineError: It could not be started; nothing is left.
    """
    with tempfile.TemporaryDirectory(prefix="sfrun-") as folder:
        return asyncio.run(_alone(tree, Path(folder), lasts_s, budget_s, say))


async def _alone(
    tree: Description,
    folder: Path,
    lasts_s: float | None,
    budget_s: float,
    say: Callable[[str], None],
) -> Record:
    settings = Settings(state_dir=str(folder), port=1)
    settings.folder.mkdir(parents=True)
    process = Process(
        settings, address="here", ledger=Ledger(settings.folder / "ledger.sqlite"),
        workers=ThreadWorkers(), connect=connect_with(lambda: _as_daemon(settings.port)),
    )  # fmt: skip
    await process.begin()
    try:
        _on_signals(asyncio.get_running_loop(), process)
        op = Create("alone", ALONE, ALONE, ALONE, flatten(tree), upto="started")
        await _done(process, Request("start", op, int(budget_s * 1000), 20_000))
        say("started")
        await _lasting(process, lasts_s)
        if ALONE in process.apps:
            record = Record.normal("its time was over" if lasts_s is not None else "interrupted")
            end = Terminate(record, ref=ALONE)
            await _done(process, Request("end", end, int(budget_s * 1000), 20_000))
        return process.ended_application(ALONE) or Record.normal()
    finally:
        await process.stop()


@functools.cache
def _as_daemon(port: int) -> Contexts | None:
    """Return what a process that listens nowhere goes to daemons with, once it does."""
    if os.environ.get("SMARTDOMAINS_INSECURE"):
        return None
    return Contexts(community.for_daemon(community.folder_of(os.environ), port))


async def _lasting(process: Process, lasts_s: float | None) -> None:
    """Wait until the application has ended, its time is over, or a signal came."""
    segment = process.apps.get(ALONE)
    if segment is None:
        return
    waits = {
        asyncio.ensure_future(segment.finished.wait()),
        asyncio.ensure_future(process.stopping.wait()),
    }
    await asyncio.wait(waits, timeout=lasts_s, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def _done(process: Process, request: Request) -> None:
    while True:
        answer = await process.operations.submit(request)
        if answer.fault is not None:
            raise raised(answer.fault)
        if answer.status == "done":
            return
