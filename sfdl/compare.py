"""What is different between two resolved descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from typing_extensions import override

from sfdl.canonical import to_json
from sfdl.printer import print_value
from sfdl.references import written_name
from sfdl.values import Description, Value


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    Attributes:
        kind: `added`, `removed`, `changed`, `tags`, `order` or `data`.
        path: Where, from the root; the root itself is an empty path.
        old: What the first has, as source text; empty if it has nothing.
        new: What the second has, as source text; empty if it has nothing.
    """

    kind: str
    path: str
    old: str = ""
    new: str = ""

    @override
    def __str__(self) -> str:
        """Return one line of text."""
        if self.kind == "added":
            return f"+ {self.path} {self.new}"
        if self.kind == "removed":
            return f"- {self.path} {self.old}"
        words = {"changed": "", "tags": "tags ", "order": "order ", "data": "DATA "}[self.kind]
        return f"~ {self.path or 'the root'} {words}{self.old} -> {self.new}"


def differences(old: Description, new: Description) -> Iterator[Difference]:
    """Yield what is different, in the order of the first description, then of the second.

    Values are the same if their canonical JSON is; so `1`, `1L` and `1.0` are different.
    """
    pending: list[tuple[str, Description, Description]] = [("", old, new)]
    while pending:
        path, left, right = pending.pop()
        children: list[tuple[str, Description, Description]] = []
        yield from _own(path, left, right)
        there = dict(right.attributes)
        for name, value in left.attributes:
            at = f"{path}:{written_name(name)}" if path else written_name(name)
            if name not in there:
                yield Difference("removed", at, old=_line(value))
                continue
            other = there[name]
            if isinstance(value, Description) and isinstance(other, Description):
                if value is not other:
                    children.append((at, value, other))
            elif to_json(value) != to_json(other):
                yield Difference("changed", at, _line(value), _line(other))
        here = set(left.names())
        for name, value in right.attributes:
            if name not in here:
                at = f"{path}:{written_name(name)}" if path else written_name(name)
                yield Difference("added", at, new=_line(value))
        pending.extend(reversed(children))


def _own(path: str, left: Description, right: Description) -> Iterator[Difference]:
    """Compare what components have beside values: order, tags and the flag."""
    if left.data != right.data:
        yield Difference("data", path, _flag(left.data), _flag(right.data))
    both = set(left.names()) & set(right.names())
    first = [name for name in left.names() if name in both]
    second = [name for name in right.names() if name in both]
    if first != second:
        yield Difference("order", path, " ".join(first), " ".join(second))
    tags, others = dict(left.tags), dict(right.tags)
    none: frozenset[str] = frozenset()
    for name in first:
        if tags.get(name, none) != others.get(name, none):
            at = f"{path}:{written_name(name)}" if path else written_name(name)
            yield Difference("tags", at, _tags(tags.get(name)), _tags(others.get(name)))


def _flag(data: bool) -> str:  # noqa: FBT001 - the value itself
    return "true" if data else "false"


def _tags(tags: frozenset[str] | None) -> str:
    return f"[{', '.join(sorted(tags or ()))}]"


def _line(value: Value) -> str:
    """Return a value as source text on one line."""
    return " ".join(line.strip() for line in print_value(value).splitlines())
