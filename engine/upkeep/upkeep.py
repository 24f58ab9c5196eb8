"""Puts what looks after a daemon together, beside its process, and takes it apart again."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sqlite3

from engine.core.addresses import address_of
from engine.listening import LOOPBACK
from engine.runtime.process import Process
from engine.security.contexts import Contexts
from engine.upkeep.garbage import Garbage
from engine.upkeep.probe import Probe
from engine.upkeep.service import Notifier
from engine.upkeep.snapshot import Snapshot, snapshot
from engine.wire.server import Door

PORT = 9380
"""Where metrics are answered if the setting names a host only."""
ANSWER_S = 2.0
"""Seconds a scrape waits for the loop."""


class Upkeep:
    """The probe, the metrics, the garbage and the service manager of one daemon."""

    def __init__(
        self, process: Process, door: Door, contexts: Contexts | None, notifier: Notifier
    ) -> None:
        """Begin to look after a process; called on its loop.

        Raises:
            Refused: The address for metrics cannot be used.
        """
        self._process = process
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._notifier = notifier
        self._probe = Probe(process.tally, self._warn, notifier.beat, notifier.period_s)
        self._endpoint = None
        said = process.settings.metrics
        if said and not process.settings.root:
            from engine.upkeep.metrics import Endpoint, Sources  # noqa: PLC0415 - when asked for only

            host, _, port = address_of(said, PORT).rpartition(":")
            sources = Sources(
                snapshot=self._ask, late_s=lambda: self._probe.late_s, traffic=door.traffic,
                ledger=self._ledger,
            )  # fmt: skip
            host = host.strip("[]")
            private = None if host in LOOPBACK else contexts
            self._endpoint = Endpoint(host, int(port), sources, private)
        self._garbage = Garbage(
            quiet=lambda: process.operations.running == 0,
            held=lambda: len(process.lives),
            ended=lambda: process.tally.ended,
        )
        self._tasks = [
            self._loop.create_task(self._probe.run(), name="probe"),
            self._loop.create_task(self._garbage.run(), name="garbage"),
        ]

    def ready(self) -> None:
        """Tell that the daemon is ready."""
        process = self._process
        self._notifier.ready(f"{process.node_name} at {process.address}, {process.version}")

    def stopping(self) -> None:
        """Tell that it stops."""
        self._notifier.stopping()

    async def close(self) -> None:
        """Stop looking."""
        if self._endpoint is not None:
            await self._loop.run_in_executor(None, self._endpoint.close)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._garbage.close()

    def _warn(self, text: str) -> None:
        self._process.events.note(None, "warning", text)

    def _ask(self) -> Snapshot | None:
        """Ask the loop, from a thread of the endpoint."""
        with contextlib.suppress(RuntimeError, TimeoutError, concurrent.futures.CancelledError):
            future = asyncio.run_coroutine_threadsafe(snapshot(self._process), self._loop)
            try:
                return future.result(ANSWER_S)
            except TimeoutError:
                future.cancel()
        return None

    def _ledger(self) -> tuple[dict[str, int], int]:
        try:
            return self._process.ledger.counts(), self._process.ledger.size_bytes()
        except (OSError, sqlite3.Error):  # it is closed: the daemon stops
            return {}, 0
