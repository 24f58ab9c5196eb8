"""Files that are included again and again are parsed once.

Whoever includes a file gets components of its own to work on, so what is kept of a parse is packed
bytes: unpacking them takes about a tenth of the time of the parse.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from io import BytesIO
from threading import Lock
from typing import TypeAlias, cast

from typing_extensions import override

from sfdl.builder import Items, Parsing
from sfdl.graph import Attributes, Scope
from sfdl.parser import parse_items

_Parsed: TypeAlias = "tuple[Items, list[tuple[Scope, Attributes, Items]]]"
MOST_FILES = 64
LONGEST = 1 << 20
"""Characters of the longest text that is kept."""


class _Pack(pickle.Pickler):
    """Packs the parse of a text, but for the text itself."""

    def __init__(self, into: BytesIO, source: Parsing) -> None:
        super().__init__(into, protocol=pickle.HIGHEST_PROTOCOL)
        self._source = source

    @override
    def persistent_id(self, obj: object) -> str | None:
        return "source" if obj is self._source else None


class _Unpack(pickle.Unpickler):
    """Unpacks a parse as that of another inclusion of the same text."""

    def __init__(self, packed: bytes, source: Parsing) -> None:
        super().__init__(BytesIO(packed))
        self._source = source

    @override
    def persistent_load(self, pid: object) -> Parsing:
        return self._source


class ParsedFiles:
    """The files parsed last, by their text; threads may share it.

    Example:
        >>> files = ParsedFiles()
        >>> [len(files.parse(Parsing("a 1; b extends { c 2; }"))) for _ in range(3)]
        [2, 2, 2]
    """

    def __init__(self, most: int = MOST_FILES) -> None:
        """Keep so many files."""
        self._most = most
        self._lock = Lock()
        self._packed: OrderedDict[str, bytes | None] = OrderedDict()

    def parse(self, source: Parsing) -> Items:
        """Parse a text; at the second time what came of it is packed, and then only unpacked.

        A text with something to say about is parsed each time: what is said names the file.
        """
        known, packed = self._look_up(source.text)
        if packed is not None:
            items, source.pending = cast("_Parsed", _Unpack(packed, source).load())
            return items
        items = parse_items(source)
        if len(source.text) <= LONGEST and not source.problems:
            self._keep(source.text, _packed(items, source) if known else None)
        return items

    def _look_up(self, text: str) -> tuple[bool, bytes | None]:
        with self._lock:
            if text not in self._packed:
                return False, None
            self._packed.move_to_end(text)
            return True, self._packed[text]

    def _keep(self, text: str, packed: bytes | None) -> None:
        with self._lock:
            self._packed[text] = packed
            while len(self._packed) > self._most:
                self._packed.popitem(last=False)


def _packed(items: Items, source: Parsing) -> bytes | None:
    """Pack a fresh parse; nothing: it is nested too deeply for that."""
    into = BytesIO()
    try:
        _Pack(into, source).dump((items, source.pending))
    except RecursionError:
        return None
    return into.getvalue()


PARSED = ParsedFiles()
"""Those of this process."""
