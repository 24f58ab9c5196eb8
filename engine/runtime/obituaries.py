"""Why applications and parts have ended: kept a while, also over a restart, for whoever asks."""

from __future__ import annotations

import time

from engine.core.records import Record
from engine.runtime.ledger import Ledger, Statement, forget_ended, put_ended
from engine.wire.codec import decode, encode

PART = "#"
"""Marks the id of a segment in the ledger's table of what has ended."""


class Obituaries:
    """The records of what ended lately in one process, by application and by part."""

    def __init__(self, ledger: Ledger) -> None:
        """Take where they are kept; nothing is read yet."""
        self._ledger = ledger
        self._applications: dict[str, tuple[Record, float]] = {}
        self._parts: dict[str, tuple[Record, float]] = {}

    def load(self) -> None:
        """Read what an earlier life has written."""
        for name, (record, at_ms) in self._ledger.ended().items():
            table = self._parts if name.startswith(PART) else self._applications
            table[name.removeprefix(PART)] = (decode(record, Record), at_ms / 1000)

    def application(self, name: str) -> Record | None:
        """Return the record of an application that ended lately."""
        return self._applications.get(name, (None, 0.0))[0]

    def part(self, segment: str) -> Record | None:
        """Return the record of a part that ended here lately, or was never to be made here."""
        return self._parts.get(segment, (None, 0.0))[0]

    def of_part(self, segment: str, record: Record) -> Statement:
        """Remember why a part has ended; return what is to be written."""
        self._parts[segment] = (record, time.time())
        return put_ended(f"{PART}{segment}", encode(record))

    def of_application(self, name: str, record: Record) -> Statement:
        """Remember why an application has ended; return what is to be written."""
        self._applications[name] = (record, time.time())
        return put_ended(name, encode(record))

    def forget_old(self, kept_s: float) -> None:
        """Forget those older than so many seconds."""
        before = time.time() - kept_s
        self._ledger.lazy(forget_ended(int(before * 1000)))
        for table in (self._applications, self._parts):
            for key in [key for key, (_, at) in table.items() if at < before]:
                del table[key]
