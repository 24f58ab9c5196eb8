"""The threads that talk to daemons. Whatever they learn they deliver as news; nobody waits for them.

Each daemon has three: one follows its events, one reads trees, one reads attributes, each over a
connection of its own, so that no answer waits for another. Every call has a time-out of the client's.
Threads are daemonic: the console ends at once, whatever they wait for.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeAlias

from engine.core.events import Event
from engine.core.faults import EngineError, Kind
from engine.core.records import Record
from engine.wire.messages import AttributeRow, Gone, Page, Progress, TreeRow, Welcome
from tui.news import (
    AttributesRead,
    AttributesRefused,
    Happened,
    News,
    Question,
    Reached,
    Silent,
    Told,
    TreePage,
    TreeRefused,
)

POLL_S = 1.0
BATCH = 500
ROOM = 2
RETRY_S = 1.0


class Ending(Protocol):
    """A termination under way, as the client gives it."""

    def follow(self, report: Callable[[Progress], None]) -> None:
        """Wait for the end, telling every change on the way."""

    def result(self) -> Gone:
        """Return what came of it, or raise as it failed."""


class Source(Protocol):
    """What the console needs of a client of one daemon; a call blocks, but not for ever."""

    def hello(self) -> Welcome:
        """Ask who is there."""

    def tree(self, ref: str = "", *, depth: int = 128, after: str = "", limit: int = 500) -> Page:
        """Return one page of a tree, or the applications."""

    def attributes(self, ref: str) -> list[AttributeRow]:
        """Return the attributes of a component."""

    def events(
        self, cursor: str = "", *, application: str = "", limit: int = 500, wait_s: float = 0.0
    ) -> tuple[list[Event], str, bool]:
        """Return events after a cursor, the next cursor, and whether some were missed."""

    def terminate(self, ref: str, record: Record) -> Ending:
        """Have a component ended."""

    def close(self) -> None:
        """Drop the connection."""


Connect: TypeAlias = Callable[[str], Source]
"""Makes a client of the daemon at an address; connects on first use, so never blocks."""

Deliver: TypeAlias = Callable[[News], None]
"""Hands over news; callable from any thread, never blocks."""


def _reason(error: Exception) -> tuple[str, bool]:
    """Say what failed, and whether it was that there is no such component."""
    if isinstance(error, EngineError):
        return error.fault.message, error.fault.kind in {Kind.NOT_FOUND, Kind.ENDED}
    return f"{type(error).__name__}: {error}", False


def _sentence(error: Exception) -> str:
    """Say what failed, and what to do about it where that is known."""
    hint = error.fault.hint if isinstance(error, EngineError) else ""
    return f"{_reason(error)[0]}; {hint}" if hint else _reason(error)[0]


class Feed:
    """Keeps up with one daemon, and comes back to it by itself when it was away."""

    def __init__(self, address: str, connect: Connect, deliver: Deliver) -> None:
        """Take the daemon; nothing runs before `start`."""
        self.address = address
        self._connect = connect
        self._deliver = deliver
        self._stopped = threading.Event()
        self._room = threading.Semaphore(ROOM)
        self._trees: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._attributes: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Begin to follow the daemon."""
        for work in (self._follow, self._read_trees, self._read_attributes):
            name = f"{work.__name__.strip('_')} {self.address}"
            threading.Thread(target=work, name=name, daemon=True).start()

    def stop(self) -> None:
        """Have the threads end after the call they are in; does not wait for them."""
        self._stopped.set()
        self._trees.put(None)
        self._attributes.put(None)

    def ask(self, question: Question) -> None:
        """Have a tree read, after those asked for before."""
        self._trees.put(question)

    def ask_attributes(self, ref: str) -> None:
        """Have the attributes of a component read; those asked for before no longer matter."""
        self._attributes.put(ref)

    def taken(self) -> None:
        """Say that a delivery of events was taken in, which makes room for another."""
        self._room.release()

    # -- events

    def _follow(self) -> None:
        client = self._connect(self.address)
        cursor = ""
        while not self._stopped.is_set():
            try:
                welcome = client.hello()
                if not cursor:
                    _, cursor, _ = client.events()
                self._deliver(Reached(self.address, welcome))
                while not self._stopped.is_set():
                    cursor = self._pull(client, cursor)
            except Exception as error:  # noqa: BLE001 - boundary: whatever fails, go on trying
                client.close()
                why, _ = _reason(error)
                self._deliver(Silent(self.address, why.removeprefix(f"{self.address} ")))
                self._stopped.wait(RETRY_S)
        client.close()

    def _pull(self, client: Source, cursor: str) -> str:
        events, following, gap = client.events(cursor, limit=BATCH, wait_s=POLL_S)
        while not self._room.acquire(timeout=POLL_S):
            if self._stopped.is_set():
                return cursor
        self._deliver(Happened(self.address, tuple(events), gap))
        return following

    # -- trees

    def _read_trees(self) -> None:
        client = self._connect(self.address)
        while (question := self._trees.get()) is not None:
            try:
                self._read_tree(client, question)
            except Exception as error:  # noqa: BLE001 - boundary: the next question may do better
                why, gone = _reason(error)
                self._deliver(TreeRefused(self.address, question.ref, question.number, why, gone))
        client.close()

    def _read_tree(self, client: Source, question: Question) -> None:
        after = ""
        while not self._stopped.is_set():
            page = client.tree(question.ref, after=after)
            rows = tuple(row for row in page.rows if isinstance(row, TreeRow))
            self._deliver(
                TreePage(self.address, question.ref, question.number, rows, last=not page.next)
            )
            if not page.next:
                return
            after = page.next

    # -- attributes

    def _read_attributes(self) -> None:
        client = self._connect(self.address)
        while (ref := self._attributes.get()) is not None:
            while not self._attributes.empty():
                later = self._attributes.get()
                if later is None:
                    return
                ref = later
            try:
                rows = tuple(client.attributes(ref))
            except Exception as error:  # noqa: BLE001 - boundary: the next question may do better
                self._deliver(AttributesRefused(self.address, ref, _reason(error)[0]))
            else:
                self._deliver(AttributesRead(self.address, ref, rows))
        client.close()


def terminate(
    address: str, ref: str, record: Record, connect: Connect, deliver: Deliver
) -> threading.Thread:
    """Have a component ended in a thread of its own, telling how it goes."""

    def work() -> None:
        client = connect(address)
        try:
            ending = client.terminate(ref, record)
            ending.follow(lambda progress: deliver(Told(f"{ref}: {progress.text}")))
            gone = ending.result()
        except Exception as error:  # noqa: BLE001 - boundary: the user is told of any failure
            deliver(Told(f"{ref} was not terminated: {_sentence(error)}", "error"))
        else:
            deliver(_told(gone))
        finally:
            client.close()

    thread = threading.Thread(target=work, name=f"terminate {ref}", daemon=True)
    thread.start()
    return thread


def _told(gone: Gone) -> Told:
    text = f"terminated {gone.name}: {gone.components} components in {gone.took_ms / 1000:.1f} s"
    if gone.leftovers:
        return Told(f"{text}; still with the reaper: {', '.join(gone.leftovers)}", "error")
    if gone.errors:
        return Told(f"{text}; {gone.errors[0]}", "error")
    return Told(text)
