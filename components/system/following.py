"""Following what a program writes to a file, line by line."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from components.system.filters import Lines

PIECE = 2**18
KEPT = 2**24
"""Bytes of earlier output that are read again after a restart of the daemon."""
_PUNCH_HOLE, _KEEP_SIZE = 2, 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class Follower:
    """Reads one file as it grows; one that was cut short is read from its beginning.

    Each line is told together with whether it is new: not yet there when following began again.
    """

    def __init__(
        self, path: str, told: Callable[[str, bool], None], *, begin: int, new_from: int, ours: bool
    ) -> None:
        """Take what to read.

        Args:
            path: The file.
            told: Is told each line, and whether it is new.
            begin: Where to begin, in bytes.
            new_from: From where on lines are new.
            ours: Nobody else reads it: what was read is given back to the disk.
        """
        self._path = path
        self._told = told
        self._position = max(begin, new_from - KEPT)
        self._new_from = new_from
        self._ours = ours
        self._lines = Lines()

    async def catch_up(self, run: Callable[..., Awaitable[bytes]]) -> None:
        """Tell all lines that are there now; `run` runs what blocks."""
        while data := await run(self._read):
            for line in self._lines.feed(data):
                self._told(line, self._position > self._new_from)

    def end(self) -> None:
        """Tell what stands in a last line without an end."""
        for line in self._lines.end():
            self._told(line, self._position > self._new_from)

    def _read(self) -> bytes:
        try:
            descriptor = os.open(self._path, os.O_RDWR if self._ours else os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            if os.fstat(descriptor).st_size < self._position:
                self._position = self._new_from = 0
            data = os.pread(descriptor, PIECE, self._position)
            self._position += len(data)
            if self._ours and data and self._position > KEPT:
                upto = ctypes.c_long(self._position - KEPT)
                _LIBC.fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, ctypes.c_long(0), upto)
        finally:
            os.close(descriptor)
        return data


def size_of(path: str) -> int:
    """Return how many bytes a file has; 0 if it is not there."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
