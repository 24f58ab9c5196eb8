"""Reading JSON of any depth.

The standard library's reader stops at about a thousand levels, which kept functions nested in each
other reach. This one keeps its own stack; it is slower, so it takes over only there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeAlias

Raw: TypeAlias = Any
"""JSON as the standard library reads it."""

Members: TypeAlias = "list[tuple[str, Raw]]"

_TOKEN = re.compile(r'[ \t\n\r]*(?:([{}\[\],:])|("(?:[^"\\]|\\.)*+")|([^{}\[\],:"\s]+))')


def loads(text: str, make_object: Callable[[Members], Raw]) -> Raw:
    """Read JSON.

    Args:
        text: One JSON value.
        make_object: Called with the members of each object, in order, innermost objects first.

    Raises:
        ValueError: The text is no JSON.
    """
    try:
        return json.loads(text, object_pairs_hook=make_object)
    except RecursionError:
        return _Reader(text, make_object).read()


class _Reader:
    """Reads one text, one container at a time on its stack."""

    def __init__(self, text: str, make_object: Callable[[Members], Raw]) -> None:
        self._text = text.rstrip()
        self._at = 0
        self._make_object = make_object

    def _next(self) -> str:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            raise ValueError(f"no JSON at character {self._at}")
        self._at = match.end()
        return match[match.lastindex or 0]

    def read(self) -> Raw:
        """Return the value of the whole text."""
        # A frame is a list of items, or a list of members with the name that waits for its value.
        frames: list[tuple[list[Raw], list[str] | None]] = []
        while True:
            word = self._next()
            if word in ("{", "["):
                frames.append(([], [] if word == "{" else None))
                if not self._skip("}" if word == "{" else "]"):
                    self._name(frames[-1][1])
                    continue
                value = self._closed(frames)
            else:
                value = json.loads(word)
            while frames:
                held, names = frames[-1]
                held.append(value if names is None else (names.pop(), value))
                if self._skip(","):
                    self._name(names)
                    break
                self._expect("]" if names is None else "}")
                value = self._closed(frames)
            else:
                if self._at < len(self._text):
                    raise ValueError(f"more than one JSON value, at character {self._at}")
                return value

    def _closed(self, frames: list[tuple[list[Raw], list[str] | None]]) -> Raw:
        held, names = frames.pop()
        return held if names is None else self._make_object(held)

    def _name(self, names: list[str] | None) -> None:
        """Read the name of the next member, if the container is an object."""
        if names is None:
            return
        name = json.loads(self._next())
        if not isinstance(name, str):
            raise ValueError(f"a member without a name before character {self._at}")  # noqa: TRY004 - of the text
        names.append(name)
        self._expect(":")

    def _skip(self, sign: str) -> bool:
        before = self._at
        if self._at < len(self._text) and self._next() == sign:
            return True
        self._at = before
        return False

    def _expect(self, sign: str) -> None:
        if not self._skip(sign):
            raise ValueError(f"`{sign}` is missing at character {self._at}")
