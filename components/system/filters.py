"""What lines of a program's output mean: patterns that become attributes or events. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from engine.runtime.kinds import BadValueError, Kind, shown
from sfdl.values import Value, Vector

MOST_LINE = 65_536


class Filter(Struct, frozen=True):
    """One pattern, and what a line that has it becomes.

    Attributes:
        pattern: Regular expression, searched in each line.
        becomes: `attribute`: the first group, or the whole match, under `name`; `event`: an event of
            kind `name` with the line and all named groups.
    """

    pattern: re.Pattern[str]
    becomes: Literal["attribute", "event"]
    name: str


class Found(Struct, frozen=True):
    """A line had the pattern of a filter."""

    filter: Filter
    line: str
    value: str
    groups: tuple[tuple[str, str], ...] = ()


def search(filters: Iterable[Filter], line: str) -> Iterator[Found]:
    """Give what the filters find in a line, in their order.

    Example:
        >>> port = Filter(re.compile("port ([0-9]+)"), "attribute", "port")
        >>> [found.value for found in search([port], "listening on port 80")]
        ['80']
    """
    for each in filters:
        match = each.pattern.search(line)
        if match is not None:
            value = match[1] if match.re.groups and match[1] is not None else match[0]
            named = tuple(
                (key, text) for key, text in match.groupdict().items() if text is not None
            )
            yield Found(each, line, value, named)


class Lines:
    """Cuts a stream of bytes into lines; one that is too long is given in pieces."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Take more bytes; return the lines that are whole, without their ends."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MOST_LINE:
            whole.append(self._rest)
            self._rest = b""
        return [line.decode(errors="replace").rstrip("\r") for line in whole]

    def end(self) -> list[str]:
        """Return what is left: a last line without an end."""
        rest, self._rest = self._rest, b""
        return [rest.decode(errors="replace").rstrip("\r")] if rest else []


def _filter(item: Value) -> Filter:
    words = item.items if isinstance(item, Vector) else ()
    if len(words) != 3 or not all(isinstance(word, str) for word in words):
        raise BadValueError(
            f'must be lists of a pattern, "attribute" or "event", and a name (got {shown(item)})'
        )
    pattern, becomes, name = (str(word) for word in words)
    if becomes not in {"attribute", "event"}:
        raise BadValueError(f'must say "attribute" or "event" second (got {shown(item)})')
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name) or name.startswith("sf"):
        raise BadValueError(f"{shown(name)} cannot be the name of what is found")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise BadValueError(f"{shown(pattern)} must be a regular expression ({error})") from None
    return Filter(compiled, "event" if becomes == "event" else "attribute", name)


def _filters(value: Value) -> tuple[Filter, ...]:
    if isinstance(value, Vector):
        return tuple(_filter(item) for item in value.items)
    raise BadValueError(f"must be a list of lists (got {shown(value)})")


filters_: Kind[tuple[Filter, ...]] = Kind("list of filters", "Vector", _filters)
