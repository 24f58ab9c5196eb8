"""Where a pool writes down who has which address: in memory, in a file, or with an ensemble."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from components.coordination.book import Book
from components.networks.allotting import Row
from engine.core.decoding import from_json
from engine.core.faults import EngineError

Choice = Callable[[dict[str, Row]], str]


class Held(Row, frozen=True):
    """A row with how its owner is reached.

    Attributes:
        handle: The owner's handle, encoded; empty: it cannot be asked, and keeps its address.
    """

    handle: bytes = b""


class Journal(Protocol):
    """The book of one pool; all of it blocks, and each call happens wholly or not at all."""

    def allot(self, owner: str, handle: bytes, choose: Choice) -> str:
        """Write down whom the chosen address belongs to; `choose` gives none by the empty text."""
        ...

    def free(self, owner: str, free_at_s: float, same: Callable[[bytes], bool]) -> str:
        """Let an owner's address go at some time, if it is the same that it was given to.

        Returns:
            The address, or nothing.
        """
        ...

    def keep(self, owner: str, same: Callable[[bytes], bool]) -> str:
        """Leave an owner, which cannot be asked any more, its address; return it, or nothing."""
        ...

    def rows(self) -> dict[str, Held]:
        """Return what is known, by address."""
        ...


class MemoryJournal:
    """Kept as long as the process lives."""

    def __init__(self) -> None:
        """Know of nobody."""
        self._rows: dict[str, Held] = {}

    def allot(self, owner: str, handle: bytes, choose: Choice) -> str:
        """Write down whom an address belongs to."""
        ip = choose(dict(self._rows))
        if ip:
            self._rows[ip] = Held(owner, None, handle)
        return ip

    def free(self, owner: str, free_at_s: float, same: Callable[[bytes], bool]) -> str:
        """Let an owner's address go."""
        ip = _holding(self._rows, owner, same)
        if ip:
            self._rows[ip] = Held(owner, free_at_s)
        return ip

    def keep(self, owner: str, same: Callable[[bytes], bool]) -> str:
        """Leave an owner's address with it."""
        ip = _holding(self._rows, owner, same)
        if ip:
            self._rows[ip] = Held(owner)
        return ip

    def rows(self) -> dict[str, Held]:
        """Return what is known."""
        return dict(self._rows)


class FileJournal:
    """Kept in an SQLite file, shared by all who open it; it guards that an address is there once."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is made when it is first written to."""
        self._path = path

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=30)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS addresses"
                " (ip TEXT PRIMARY KEY, owner TEXT NOT NULL, free_at_s REAL, handle BLOB NOT NULL)"
            )
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()  # what is not committed is undone

    def allot(self, owner: str, handle: bytes, choose: Choice) -> str:
        """Write down whom an address belongs to."""
        with self._open() as connection:
            ip = choose(dict(_rows(connection)))
            if ip:
                words = "INSERT OR REPLACE INTO addresses VALUES (?, ?, NULL, ?)"
                connection.execute(words, (ip, owner, handle))
        return ip

    def free(self, owner: str, free_at_s: float, same: Callable[[bytes], bool]) -> str:
        """Let an owner's address go."""
        with self._open() as connection:
            ip = _holding(_rows(connection), owner, same)
            words = "UPDATE addresses SET free_at_s = ?, handle = x'' WHERE ip = ?"
            connection.execute(words, (free_at_s, ip))
        return ip

    def keep(self, owner: str, same: Callable[[bytes], bool]) -> str:
        """Leave an owner's address with it."""
        with self._open() as connection:
            ip = _holding(_rows(connection), owner, same)
            connection.execute("UPDATE addresses SET handle = x'' WHERE ip = ?", (ip,))
        return ip

    def rows(self) -> dict[str, Held]:
        """Return what is known."""
        with self._open() as connection:
            return _rows(connection)


class SharedJournal:
    """Kept by an ensemble, shared by pools on many hosts; anybody can read it there: it is JSON."""

    def __init__(self, book: Book) -> None:
        """Take the document it is kept in."""
        self._book = book

    def _change(self, edit: Callable[[dict[str, Held]], str]) -> str:
        """Edit the rows; what is edited gives the address that it is about, or nothing."""
        ip = ""

        def edited(data: bytes) -> bytes | None:
            nonlocal ip
            rows = _read(data)
            ip = edit(rows)
            return msgspec.json.format(msgspec.json.encode(rows)) if ip else None

        self._book.change(edited)
        return ip

    def allot(self, owner: str, handle: bytes, choose: Choice) -> str:
        """Write down whom an address belongs to."""

        def edit(rows: dict[str, Held]) -> str:
            ip = choose(dict(rows))
            if ip:
                rows[ip] = Held(owner, None, handle)
            return ip

        return self._change(edit)

    def free(self, owner: str, free_at_s: float, same: Callable[[bytes], bool]) -> str:
        """Let an owner's address go."""

        def edit(rows: dict[str, Held]) -> str:
            ip = _holding(rows, owner, same)
            if ip:
                rows[ip] = Held(owner, free_at_s)
            return ip

        return self._change(edit)

    def keep(self, owner: str, same: Callable[[bytes], bool]) -> str:
        """Leave an owner's address with it."""

        def edit(rows: dict[str, Held]) -> str:
            ip = _holding(rows, owner, same)
            if ip:
                rows[ip] = Held(owner)
            return ip

        return self._change(edit)

    def rows(self) -> dict[str, Held]:
        """Return what is known."""
        return _read(self._book.read())

    def close(self) -> None:
        """Let go of the ensemble; blocks."""
        self._book.close()


def _read(data: bytes) -> dict[str, Held]:
    try:
        return from_json(data, dict[str, Held]) if data else {}
    except msgspec.DecodeError as error:
        raise EngineError(f"what the ensemble keeps is no list of addresses: {error}") from error


def _holding(rows: dict[str, Held], owner: str, same: Callable[[bytes], bool]) -> str:
    """Return the address that an owner is using, if it is the same that it was given to."""
    return next(
        (
            ip
            for ip, row in rows.items()
            if row.owner == owner and row.free_at_s is None and same(row.handle)
        ),
        "",
    )


def _rows(connection: sqlite3.Connection) -> dict[str, Held]:
    found = connection.execute("SELECT ip, owner, free_at_s, handle FROM addresses")
    return {ip: Held(owner, free_at_s, bytes(handle)) for ip, owner, free_at_s, handle in found}
