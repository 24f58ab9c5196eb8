"""The commonest forms of attributes, read by one regular expression each.

`name literal;`, `name path;` and `name extends Path { ... }` with nothing but such attributes inside
make up most of a large description. Reading them here gives what the grammar would give, about ten
times faster; whatever does not fit is left to the grammar. The tests compare both ways.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from sfdl.builder import Items, Parsing, fill
from sfdl.graph import NEW, NO_TAGS, Attributes, Cell, Link, Name, Scope
from sfdl.lexer import RESERVED, SKIP
from sfdl.literals import INT_MAX, INT_MIN
from sfdl.references import KEYWORDS
from sfdl.values import ATTRIB, HERE, PARENT, ROOT, THIS, Part, PartKind, Reference

_LETTER = r"(?:[^\W\d]|[$\u00a2-\u00a5])"
_WORD = rf"{_LETTER}[\w.\-+@#~$%^&\u00a2-\u00a5]*+"
_PATH = rf"{_WORD}(?::{_WORD})*+"
_ATTRIBUTE = re.compile(
    rf'{SKIP}({_WORD}){SKIP}(?:(-?[0-9]{{1,10}}+)|"([^"\\\n\r]*+)"|({_PATH})){SKIP};'
)
_HEADER = re.compile(rf"{SKIP}({_WORD}){SKIP}(extends)(?=[\s/]){SKIP}({_PATH}){SKIP}\{{")
_CLOSE = re.compile(rf"{SKIP}\}}")
_CONSTANTS = {"true": True, "false": False, "NULL": None}
_LONE = {kind.value: Part(kind) for kind in (ROOT, PARENT, THIS, PartKind.PROCESS)}
_RESERVED = KEYWORDS | RESERVED.keys()
_Matcher = Callable[[str, int], "re.Match[str] | None"]


@lru_cache(maxsize=4096)
def _reference(text: str) -> Reference | None:
    """Return the reference that a path without spaces is, or None for anything unusual."""
    parts: list[Part] = []
    for word in text.split(":"):
        if word in _LONE:
            parts.append(_LONE[word])
        elif word in _RESERVED:
            return None
        else:
            parts.append(Part(HERE if parts else ATTRIB, word))
    return Reference(tuple(parts))


def read_attributes(source: Parsing, at: int, items: Items) -> int:
    """Append attributes as long as they have a common form.

    Args:
        source: The text.
        at: Where to begin: an attribute has to be allowed there.
        items: The attribute list.

    Returns:
        Where the first thing begins that has none of these forms.
    """
    text = source.text
    while True:
        at = _simple(source, text, at, items)
        header = _HEADER.match(text, at)
        if header is None:
            return at
        end = _component(source, text, header, items)
        if end < 0:
            return at
        at = end


def _simple(source: Parsing, text: str, at: int, items: Items) -> int:
    """Append attributes with a literal or a path."""
    match_at: _Matcher = _ATTRIBUTE.match
    while True:
        match = match_at(text, at)
        if match is None:
            return at
        name, digits, string, path = match.groups()
        if name in _RESERVED:
            return at
        value: int | str | bool | Link | None
        if digits is not None:
            value = int(digits)
            if not INT_MIN <= value <= INT_MAX:
                return at
        elif string is not None:
            value = string
        elif path in _CONSTANTS:
            value = _CONSTANTS[path]
        else:
            reference = _reference(path)
            if reference is None:
                return at
            value = Link(reference, source, match.start(4))
        items.append((name, Cell(value, NO_TAGS, source, match.start(1))))
        at = match.end()


def _component(source: Parsing, text: str, header: re.Match[str], items: Items) -> int:
    """Append one component; return its end, or -1 if it has to be left to the grammar."""
    name, _, path = header.groups()
    reference = _reference(path)
    if name in _RESERVED or reference is None:
        return -1
    inside: Items = []
    close = _CLOSE.match(text, _simple(source, text, header.end(), inside))
    if close is None:
        return -1
    scope = Scope(None, source, header.start(2))
    body: Attributes = {}
    fill(scope, body, inside)
    scope.prototypes = [Link(reference, source, header.start(3)), body]
    scope.state = NEW
    named: Name = name
    items.append((named, Cell(scope, NO_TAGS, source, header.start(1))))
    return close.end()
