"""A guest's console: what it has shown, and the console itself for somebody far away."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import BinaryIO

from components.hypervisor.errors import HypervisorError
from components.hypervisor.protocol import Console
from engine.core.faults import Refused

TAIL_BYTES = 4096
PIECE_BYTES = 2**16


class Typed:
    """The console itself, as a channel."""

    def __init__(self, console: Console, where: str) -> None:
        """Take the console, and the complete name of its machine."""
        self._console = console
        self._where = where

    async def read(self) -> bytes:
        """Wait for what the guest shows."""
        return await self._console.read()

    async def write(self, data: bytes) -> None:
        """Type into it."""
        try:
            await self._console.write(data)
        except HypervisorError as error:
            raise Refused(error.message, code="SF-CON-002", where=self._where) from error

    async def close(self) -> None:
        """Let go of it."""
        await self._console.close()


class Shown:
    """What the guest has shown so far, as a channel; it is only read."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        """Take the open log, and the complete name of its machine."""
        self._file = file
        self._where = where

    async def read(self) -> bytes:
        """Give the next piece."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self._file.read, PIECE_BYTES)

    async def write(self, data: bytes) -> None:
        """Refuse: it is a log."""
        del data
        raise Refused("a log cannot be written to", code="SF-CON-002", where=self._where)

    async def close(self) -> None:
        """Close the file."""
        self._file.close()


def written(path: str) -> int:
    """Return how many bytes the log of a console has by now; blocks."""
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0


class ConsoleTail:
    """Looks for a marker in a growing file, without reading anything twice; blocks."""

    def __init__(self, path: Path, *, past: int = 0) -> None:
        """Take the file, which may not exist yet; its first `past` bytes do not count."""
        self._path = path
        self._read = past
        self._rest = ""

    def shows(self, marker: str) -> bool:
        """Say whether the marker has been written since the file was begun."""
        try:
            with self._path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._read:
                    self._read = 0  # it was cut
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return False
        self._read += len(data)
        text = self._rest + data.decode(errors="replace")
        self._rest = text[-len(marker) :]
        return marker in text

    def last(self) -> str:
        """Return the end of the file in one line."""
        try:
            data = self._path.read_bytes()[-TAIL_BYTES:]
        except FileNotFoundError:
            return "nothing"
        return " | ".join(data.decode(errors="replace").split("\n")[-8:]).strip() or "nothing"
