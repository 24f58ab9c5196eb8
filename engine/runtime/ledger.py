"""The ledger: what this process holds and has made outside, durable in one SQLite file.

One writer thread commits whenever it is idle, so many writes share one commit. A *durable* write is
awaited before anything goes on; a *lazy* one is only kept in order. Rows hold the name of an allowed
class and msgpack, so they can be read by another life of the process.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

from engine.core.secrecy import TAG
from engine.security.vault import MARK, Vault
from engine.wire.codec import encode

SECRET = encode(TAG)
"""Is in every encoded description or value that has a secret: as a tag, or as the name of an attribute
that says which others are secret."""
FORMAT = "2"
UPGRADES = {
    "1": (
        "alter table segments add column origin blob",
        "alter table segments add column previous blob",
    )
}
"""What turns a file of an earlier format into one of this; new tables are made anyway."""

_SCHEMA = """
create table if not exists meta (key text primary key, value text not null);
create table if not exists segments (
  id text primary key, application text not null, path text not null, name text not null,
  parent blob, description blob not null, incarnation integer not null, state text not null,
  recovery text not null, record blob, created_ms integer not null, inherited blob not null,
  origin blob, previous blob);
create table if not exists births (
  segment text not null, path text not null, incarnation integer not null,
  primary key (segment, path));
create table if not exists fates (
  segment text not null, path text not null, fate text not null, record blob,
  primary key (segment, path));
create table if not exists changes (
  segment text not null, path text not null, name text not null, value blob not null,
  primary key (segment, path, name));
create table if not exists effects (
  id integer primary key, segment text not null, application text not null, path text not null,
  incarnation integer not null, class text not null, data blob not null, executor text not null,
  keep text not null, survival text not null, state text not null, error text not null,
  due_ms integer not null);
create table if not exists requests (
  id text primary key, op text not null, segment text not null, answer blob, at_ms integer not null);
create table if not exists ended (
  application text primary key, record blob not null, at_ms integer not null);
"""

Statement: TypeAlias = tuple[str, Sequence[object]]


class SegmentRow(Struct, frozen=True):
    """A part of an application held by this process.

    Attributes:
        parent: Encoded parent link, or nothing for the root of an application.
        description: Encoded flat description.
        incarnation: Number of this creation, greater than that of any earlier one here.
        state: `created`, `deployed`, `started`, `updating` or `ending`.
        recovery: `adopt` or `clean`.
        record: Encoded record once it is ending.
        inherited: Encoded reserved values that hold above it.
        origin: Encoded place of birth of its components, if they were made in another segment.
    """

    id: str
    application: str
    path: str
    name: str
    parent: bytes | None
    description: bytes
    incarnation: int
    state: str
    recovery: str
    record: bytes | None
    created_ms: int
    inherited: bytes
    origin: bytes | None = None


class EffectRow(Struct, frozen=True):
    """One external thing: intended, made, or to be undone.

    Attributes:
        class_: `module:Class` of the effect, from an allowed package.
        data: The effect, msgpack.
        executor: How its commands are run: `own` or `recording`.
        keep: `never`, `normal`, `always`, or seconds as text.
        survival: `host` or `process`.
        state: `intent`, `made`, `undoing` or `doubt`.
        error: Why the last undo failed, or empty.
        due_ms: When it is to be undone (wall clock, ms), if not at once; else 0.
    """

    id: int
    segment: str
    application: str
    path: str
    incarnation: int
    class_: str
    data: bytes
    executor: str
    keep: str
    survival: str
    state: str
    error: str
    due_ms: int = 0


class RequestRow(Struct, frozen=True):
    """A request accepted, and its encoded answer once there is one."""

    id: str
    op: str
    segment: str
    answer: bytes | None
    at_ms: int


class LedgerError(Exception):
    """The ledger file cannot be used: locked by another daemon, of another format, or damaged."""


class Ledger:
    """The one ledger file of a process.

    Reads happen at start-up and for reports; writes go through one thread. With `inline`, writes are
    done at once in the calling thread: that is for tests under virtual time.

    Attributes:
        vault: Seals what says that it is secret on its way into the file, and opens it again.
    """

    def __init__(self, path: Path | Literal[":memory:"], *, inline: bool = False) -> None:
        """Open or make the file.

        Raises:
            LedgerError: It is not a ledger of this format, or cannot be opened.
        """
        try:
            self._db = sqlite3.connect(str(path), check_same_thread=False, isolation_level=None)
            self._db.executescript(
                "pragma journal_mode=wal; pragma synchronous=full; pragma busy_timeout=2000;"
            )
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise LedgerError(f"{path}: {error}") from error
        self._path = path
        self._lock = threading.Lock()
        self.vault = Vault(path.with_name("secrets.key") if isinstance(path, Path) else None)
        known = self.meta("format")
        if known not in {None, FORMAT, *UPGRADES}:
            raise LedgerError(f"{path}: format {known}, this program reads format {FORMAT}")
        steps = UPGRADES.get(known or FORMAT, ())
        self._write([*((step, ()) for step in steps), set_meta("format", FORMAT)])
        self._queue: queue.SimpleQueue[tuple[list[Statement], Future[None] | None] | None]
        self._queue = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if not inline:
            self._thread = threading.Thread(target=self._writer, name="ledger", daemon=True)
            self._thread.start()

    # -- writing

    async def durable(self, *statements: Statement) -> None:
        """Write and wait until it is committed, together with every lazy write before it."""
        if self._thread is None:
            self._write(list(statements))
            return
        done: Future[None] = Future()
        self._queue.put((list(statements), done))
        await asyncio.shield(asyncio.wrap_future(done))

    def lazy(self, *statements: Statement) -> None:
        """Write soon, in order; lost if the process dies before the next commit."""
        if self._thread is None:
            self._write(list(statements))
        else:
            self._queue.put((list(statements), None))

    def close(self) -> None:
        """Commit what is queued and close the file; harmless when repeated."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout=10)
            self._thread = None
        self._db.close()

    def _writer(self) -> None:
        while (item := self._queue.get()) is not None:
            batch = [item]
            stop = False
            while not self._queue.empty() and len(batch) < 1000:
                more = self._queue.get()
                if more is None:
                    stop = True
                    break
                batch.append(more)
            self._commit(batch)
            if stop:
                return

    def _commit(self, batch: list[tuple[list[Statement], Future[None] | None]]) -> None:
        try:
            self._write([statement for statements, _ in batch for statement in statements])
        except sqlite3.Error as error:
            for _, done in batch:
                if done is not None:
                    done.set_exception(LedgerError(f"ledger cannot be written: {error}"))
            return
        for _, done in batch:
            if done is not None:
                done.set_result(None)

    def _write(self, statements: list[Statement]) -> None:
        with self._lock:
            self._db.execute("begin")
            try:
                for sql, values in statements:
                    self._db.execute(sql, [self._kept(each) for each in values])
                self._db.execute("commit")
            except BaseException:
                self._db.execute("rollback")
                raise

    def _kept(self, value: object) -> object:
        secret = isinstance(value, bytes) and SECRET in value and not value.startswith(MARK)
        return self.vault.seal(value) if secret and isinstance(value, bytes) else value

    # -- reading

    def _rows(self, sql: str, values: Sequence[object] = ()) -> Iterator[tuple[object, ...]]:
        with self._lock, closing(self._db.execute(sql, values)) as cursor:
            rows = cursor.fetchall()
        for row in rows:
            yield tuple(self.vault.open(each) if isinstance(each, bytes) else each for each in row)

    def meta(self, key: str) -> str | None:
        """Read one fact about the ledger itself, such as `daemon`."""
        for (value,) in self._rows("select value from meta where key = ?", (key,)):
            return str(value)
        return None

    def segments(self) -> list[SegmentRow]:
        """Read all segments, oldest first."""
        return [
            SegmentRow(*row)  # type: ignore[arg-type] # columns are in field order
            for row in self._rows(
                "select id, application, path, name, parent, description, incarnation, state,"
                " recovery, record, created_ms, inherited, origin from segments"
                " order by created_ms, id"
            )
        ]

    def heard(self, segment: str) -> tuple[str, float] | None:
        """Read when a part's parent was heard of last; see `set_heard`."""
        text = self.meta(f"heard {segment}")
        if text is None:
            return None
        boot, _, at_s = text.rpartition(" ")
        return boot, float(at_s)

    def previous(self, segment: str) -> bytes | None:
        """Read the encoded description an application had before its last update."""
        for (value,) in self._rows("select previous from segments where id = ?", (segment,)):
            return value if isinstance(value, bytes) else None
        return None

    def effects(self, segment: str | None = None) -> list[EffectRow]:
        """Read effects in the order they were intended, of one segment or of all."""
        where, values = ("", ()) if segment is None else (" where segment = ?", (segment,))
        return [
            EffectRow(*row)  # type: ignore[arg-type] # columns are in field order
            for row in self._rows(f"select * from effects{where} order by id", values)  # noqa: S608
        ]

    def births(self, segment: str) -> dict[str, int]:
        """Read the incarnations of components created anew inside a segment, by path."""
        rows = self._rows("select path, incarnation from births where segment = ?", (segment,))
        return {str(path): int(str(number)) for path, number in rows}

    def fates(self, segment: str) -> dict[str, tuple[str, bytes | None]]:
        """Read what became of children that are not as described: by path, with encoded records."""
        found: dict[str, tuple[str, bytes | None]] = {}
        sql = "select path, fate, record from fates where segment = ?"
        for path, fate, record in self._rows(sql, (segment,)):
            found[str(path)] = (str(fate), record if isinstance(record, bytes) else None)
        return found

    def changes(self, segment: str) -> dict[str, dict[str, bytes]]:
        """Read attributes that are not as described: by path and name, as encoded values."""
        found: dict[str, dict[str, bytes]] = {}
        sql = "select path, name, value from changes where segment = ? order by rowid"
        for path, name, value in self._rows(sql, (segment,)):
            if isinstance(value, bytes):
                found.setdefault(str(path), {})[str(name)] = value
        return found

    def requests(self) -> list[RequestRow]:
        """Read all remembered requests."""
        return [RequestRow(*row) for row in self._rows("select * from requests")]  # type: ignore[arg-type]

    def ended(self) -> dict[str, tuple[bytes, int]]:
        """Read the encoded records of applications that ended, with their time in ms."""
        found: dict[str, tuple[bytes, int]] = {}
        for name, record, at_ms in self._rows("select application, record, at_ms from ended"):
            if isinstance(record, bytes) and isinstance(at_ms, int):
                found[str(name)] = (record, at_ms)
        return found

    @property
    def waiting(self) -> int:
        """Return how many writes are queued."""
        return self._queue.qsize()

    def size_bytes(self) -> int:
        """Return the size of the file and of its log, 0 for one in memory."""
        files = (Path(f"{self._path}{suffix}") for suffix in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.is_file())

    def counts(self) -> dict[str, int]:
        """Count the rows of each table: what a leak would show in."""
        tables = ("segments", "births", "fates", "changes", "effects", "requests", "ended")
        return {
            table: int(str(next(self._rows(f"select count(*) from {table}"))[0]))  # noqa: S608
            for table in tables
        }

    def next_effect_id(self) -> int:
        """Return a number greater than that of any effect written so far."""
        row = next(self._rows("select coalesce(max(id), 0) + 1 from effects"))
        return int(str(row[0]))

    def last_incarnation(self) -> int:
        """Return the greatest incarnation written so far, 0 for none."""
        sql = """select max(n) from (select max(incarnation) n from segments union
                 select max(incarnation) from births union select max(incarnation) from effects
                 union select cast(value as integer) from meta where key = 'incarnation')"""
        value = next(self._rows(sql))[0]
        return int(str(value)) if value is not None else 0


def set_meta(key: str, value: str) -> Statement:
    """Write one fact about the ledger itself."""
    return "insert or replace into meta values (?, ?)", (key, value)


def put_segment(row: SegmentRow) -> Statement:
    """Write a segment; its row is there from its creation on."""
    sql = """insert into segments values (?,?,?,?,?,?,?,?,?,?,?,?,?,null) on conflict (id) do update
             set application = excluded.application, path = excluded.path, name = excluded.name,
             parent = excluded.parent, description = excluded.description, state = excluded.state,
             recovery = excluded.recovery, record = excluded.record, origin = excluded.origin"""
    return sql, (
        row.id, row.application, row.path, row.name, row.parent, row.description,
        row.incarnation, row.state, row.recovery, row.record, row.created_ms, row.inherited,
        row.origin,
    )  # fmt: skip


def set_segment_state(segment: str, state: str, record: bytes | None = None) -> Statement:
    """Write how far a segment has come, or that it is ending and why."""
    return "update segments set state = ?, record = ? where id = ?", (state, record, segment)


def set_previous(segment: str, description: bytes) -> Statement:
    """Write the description an application had before its last update."""
    return "update segments set previous = ? where id = ?", (description, segment)


def drop_segment(segment: str) -> tuple[Statement, ...]:
    """Forget a segment; its effects are forgotten one by one."""
    return (
        ("delete from segments where id = ?", (segment,)),
        ("delete from births where segment = ?", (segment,)),
        ("delete from fates where segment = ?", (segment,)),
        ("delete from changes where segment = ?", (segment,)),
        ("delete from meta where key = ?", (f"heard {segment}",)),
    )


def set_heard(segment: str, boot: str, at_s: float) -> Statement:
    """Write when a part's parent was heard of last: in which life of the machine, and its clock."""
    return set_meta(f"heard {segment}", f"{boot} {at_s}")


def move_rows(segment: str, place: str, new_segment: str) -> tuple[Statement, ...]:
    """Give everything written about a component and all below it to another segment."""
    where = "segment = ? and (path = ? or substr(path, 1, ?) = ?)"
    values = (new_segment, segment, place, len(place) + 1, f"{place}:")
    return tuple(
        (f"update {table} set segment = ? where {where}", values)  # noqa: S608 - names of our own
        for table in ("births", "fates", "changes", "effects")
    )


def put_birth(segment: str, path: str, incarnation: int) -> Statement:
    """Write that a component was created anew inside its segment."""
    return "insert or replace into births values (?,?,?)", (segment, path, incarnation)


def put_fate(segment: str, path: str, fate: str, record: bytes | None) -> Statement:
    """Write that a child is `down`, `growing` anew, or `dropped`, although its segment runs."""
    return "insert or replace into fates values (?,?,?,?)", (segment, path, fate, record)


def drop_fate(segment: str, path: str) -> Statement:
    """Write that a child, and everything below it, is as described again."""
    sql = "delete from fates where segment = ? and (path = ? or substr(path, 1, ?) = ?)"
    return sql, (segment, path, len(path) + 1, f"{path}:")


def put_change(segment: str, path: str, name: str, value: bytes) -> Statement:
    """Write that an attribute of a component is not, or no longer, as described."""
    return "insert or replace into changes values (?,?,?,?)", (segment, path, name, value)


def drop_change(segment: str, path: str, name: str) -> Statement:
    """Write that an attribute is as described again."""
    return "delete from changes where segment = ? and path = ? and name = ?", (segment, path, name)


def drop_changes_below(segment: str, path: str) -> Statement:
    """Forget the changes of a component that is gone, and of everything below it."""
    sql = "delete from changes where segment = ? and (path = ? or substr(path, 1, ?) = ?)"
    return sql, (segment, path, len(path) + 1, f"{path}:")


def put_effect(row: EffectRow) -> Statement:
    """Write an effect: its intent, or what became of it."""
    return "insert or replace into effects values (?,?,?,?,?,?,?,?,?,?,?,?,?)", (
        row.id, row.segment, row.application, row.path, row.incarnation, row.class_, row.data,
        row.executor, row.keep, row.survival, row.state, row.error, row.due_ms,
    )  # fmt: skip


def drop_effect(effect_id: int) -> Statement:
    """Forget an effect: it is undone, or kept for good."""
    return "delete from effects where id = ?", (effect_id,)


def put_request(row: RequestRow) -> Statement:
    """Write that a request was accepted, or what was answered."""
    return "insert or replace into requests values (?,?,?,?,?)", (
        row.id, row.op, row.segment, row.answer, row.at_ms,
    )  # fmt: skip


def forget_request(id_: str) -> Statement:
    """Forget one request."""
    return "delete from requests where id = ?", (id_,)


def forget_requests(before_ms: int) -> Statement:
    """Forget the requests answered before a time (wall clock, ms)."""
    return "delete from requests where answer is not null and at_ms < ?", (before_ms,)


def put_ended(application: str, record: bytes) -> Statement:
    """Remember why an application ended."""
    return "insert or replace into ended values (?,?,?)", (
        application, record, int(time.time() * 1000),
    )  # fmt: skip


def forget_ended(before_ms: int) -> Statement:
    """Forget the ends before a time (wall clock, ms)."""
    return "delete from ended where at_ms < ?", (before_ms,)
