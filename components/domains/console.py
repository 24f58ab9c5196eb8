"""Reading a guest's console log."""

from __future__ import annotations

from pathlib import Path

TAIL_BYTES = 4096


class ConsoleTail:
    """Looks for a marker in a growing file, without reading anything twice; blocks."""

    def __init__(self, path: Path, *, from_end: bool = False) -> None:
        """Take the file, which may not exist yet; `from_end`: what it has by now does not count."""
        self._path = path
        self._read = path.stat().st_size if from_end and path.exists() else 0
        self._rest = ""

    def shows(self, marker: str) -> bool:
        """Say whether the marker has been written since the file was begun."""
        try:
            with self._path.open("rb") as file:
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
