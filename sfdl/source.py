r"""Source texts, and places in them.

Everything inside the compiler remembers plain character offsets; lines and columns are worked out
only when somebody asks. `\uXXXX` escapes are replaced before tokenising, so a `Source` keeps both
the text as written and the text as read, and maps offsets back.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from pathlib import Path

_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)((?:\\u+[0-9a-fA-F]{4})+)")
_UNIT = re.compile(r"\\u+([0-9a-fA-F]{4})")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of source text; lines and columns count from one, the end is exclusive.

    Attributes:
        file: Path of the file as it was found, or `<text>`.
        line: First line.
        column: First column.
        end_line: Line of the first character after the stretch.
        end_column: Column of the first character after the stretch.
        excerpt: The first line, without its line end.
        included_from: Where the file was included, or None for the main file.
    """

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    excerpt: str = ""
    included_from: Span | None = None

    @override
    def __str__(self) -> str:
        """Return `file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}"


class Source:
    r"""One text being compiled: the main file, or one inclusion of another file.

    Attributes:
        name: What diagnostics call it.
        path: The file, or None for text handed in directly.
        text: The text with `\\uXXXX` escapes replaced; offsets count in it.
        included_from: Where this inclusion was written, or None for the main file.
        chain: Files being included when this one was, outermost first; itself last.
    """

    __slots__ = ("_lines", "_shifts", "chain", "included_from", "name", "original", "path", "text")

    def __init__(
        self,
        text: str,
        name: str = "<text>",
        path: Path | None = None,
        parent: Source | None = None,
        included_from: Span | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self.original = text
        self.included_from = included_from
        self.chain: tuple[Path | str, ...] = (parent.chain if parent else ()) + (path or name,)
        self._lines: list[int] | None = None
        self._shifts: list[tuple[int, int]] = []
        self.text = self._unescaped(text) if "\\u" in text else text

    def _unescaped(self, text: str) -> str:
        pieces: list[str] = []
        at = length = 0
        for match in _ESCAPE.finditer(text):
            units = [int(digits, 16) for digits in _UNIT.findall(match[2])]
            raw = b"".join(unit.to_bytes(2, "little") for unit in units)
            decoded = raw.decode("utf-16-le", "surrogatepass")
            piece = text[at : match.start(2)] + decoded
            pieces.append(piece)
            length += len(piece)
            at = match.end()
            self._shifts.append((length, at))
        pieces.append(text[at:])
        return "".join(pieces)

    def _written(self, offset: int) -> int:
        """Map an offset in the text as read to one in the text as written."""
        index = bisect_right(self._shifts, (offset, len(self.original))) - 1
        if index < 0:
            return offset
        read, written = self._shifts[index]
        return written + offset - read

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column, from one, of a character offset."""
        if self._lines is None:
            self._lines = [0, *(m.end() for m in re.finditer(r"\n", self.original))]
        written = self._written(offset)
        line = bisect_right(self._lines, written)
        return line, written - self._lines[line - 1] + 1

    def line(self, number: int) -> str:
        """Return one line of the text as written, without its end; numbers count from one."""
        if self._lines is None or number > len(self._lines):
            return ""
        start = self._lines[number - 1]
        end = self.original.find("\n", start)
        return self.original[start : end if end >= 0 else None].rstrip("\r")

    def span(self, start: int, end: int) -> Span:
        """Return the stretch between two offsets."""
        line, column = self.position(start)
        end_line, end_column = self.position(max(end, start))
        excerpt = self.line(line)
        return Span(self.name, line, column, end_line, end_column, excerpt, self.included_from)
