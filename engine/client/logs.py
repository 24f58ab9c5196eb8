"""What the components of an application log, on all its hosts, in one stream by time.

Each host keeps the records of its own components. Whoever wants all of them asks every host that holds
a part: the process asked first knows which those are.
"""

from __future__ import annotations

import contextlib
import heapq
import queue
import threading
import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from engine.client.client import Client
from engine.core.faults import EngineError
from engine.wire.messages import LogRow

PAGE = 500
WAIT_S = 10.0
"""Seconds of one long poll while following."""
AGAIN_S = 1.0
"""Seconds before a host that did not answer is asked again."""
LOOK_S = 15.0
"""Seconds between looks at where an application's parts are now."""


class Said(Struct, frozen=True):
    """Something about the stream itself: a host that does not answer, or records that are gone."""

    address: str
    text: str


class Scope(Struct, frozen=True):
    """Which records: of a sub-tree, and how bad at least.

    Attributes:
        path: Complete name of its top; empty: everything in the hosts.
        level: Word of the least level; empty: all that was kept.
        trace: Id of a request: only what was logged while it was carried out; empty: everything.
    """

    path: str = ""
    level: str = ""
    trace: str = ""


def hosts_of(client: Client, name: str) -> tuple[str, tuple[str, ...]]:
    """Return the complete name of a component, and the addresses that hold parts of it.

    Without a name: nothing, and the daemon asked with those of its sub-processes that hold something.

    Raises:
        EngineError: There is no such component, or nobody answers.
    """
    rows = list(client.whole_tree(name))
    first = () if name else (client.address,)
    addresses = tuple(dict.fromkeys((*first, *(row.address for row in rows))))
    return (rows[0].path if name and rows else ""), addresses


def kept(
    clients: list[Client], scope: Scope, say: Callable[[Said], None]
) -> tuple[list[LogRow], dict[str, str]]:
    """Return what all hosts keep, oldest first, and the cursor of each that answered."""
    found: list[list[LogRow]] = []
    cursors: dict[str, str] = {}
    for client in clients:
        rows: list[LogRow] = []
        cursor = ""
        try:
            while True:
                page, cursor, _ = client.log(
                    cursor, path=scope.path, level=scope.level, trace=scope.trace, limit=PAGE
                )
                rows.extend(page)
                if len(page) < PAGE:
                    break
            cursors[client.address] = cursor
        except EngineError as error:
            say(Said(client.address, error.fault.message))
        found.append(rows)
    return list(heapq.merge(*found, key=_when)), cursors


def _when(row: LogRow) -> tuple[int, str, int]:
    return row.at_ms, row.node, row.seq


class Follower:
    """Follows the logs of several hosts, one thread each; records come as they are written.

    Hosts that come to hold a part later are taken in as well. `close` stops all threads.
    """

    def __init__(
        self, connect: Callable[[str], Client], scope: Scope, cursors: dict[str, str]
    ) -> None:
        """Take what makes a client of an address, and where to go on at each host."""
        self._connect = connect
        self._scope = scope
        self._rows: queue.Queue[LogRow | Said] = queue.Queue(maxsize=10_000)
        self._stopping = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        for address, cursor in cursors.items():
            self.add(address, cursor)

    def add(self, address: str, cursor: str = "") -> None:
        """Follow one more host, from a cursor or from the oldest record it keeps."""
        if address not in self._threads and not self._stopping.is_set():
            thread = threading.Thread(
                target=self._follow, args=(address, cursor), name=f"log {address}", daemon=True
            )
            self._threads[address] = thread
            thread.start()

    def _follow(self, address: str, cursor: str) -> None:
        client = self._connect(address)
        silent = False
        while not self._stopping.is_set():
            try:
                rows, cursor, gap = client.log(
                    cursor,
                    path=self._scope.path,
                    level=self._scope.level,
                    trace=self._scope.trace,
                    wait_s=WAIT_S,
                )
            except EngineError as error:
                if not silent:
                    self._put(Said(address, error.fault.message))
                silent = True
                self._stopping.wait(AGAIN_S)
                continue
            silent = False
            if gap:
                self._put(Said(address, "some records in between were not kept"))
            for row in rows:
                self._put(row)
        client.close()

    def _put(self, what: LogRow | Said) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(queue.Full):
                self._rows.put(what, timeout=AGAIN_S)
                return

    def rows(self, look: Callable[[], tuple[str, ...]]) -> Iterator[LogRow | Said]:
        """Give records for ever; `look` is asked now and then where parts are."""
        due_s = time.monotonic() + LOOK_S
        while True:
            with contextlib.suppress(queue.Empty):
                yield self._rows.get(timeout=max(0.0, due_s - time.monotonic()))
            if time.monotonic() >= due_s:
                with contextlib.suppress(EngineError):  # the threads say who does not answer
                    for address in look():
                        self.add(address)
                due_s = time.monotonic() + LOOK_S

    def close(self) -> None:
        """Stop asking; a poll under way ends by itself, at most `WAIT_S` later."""
        self._stopping.set()
