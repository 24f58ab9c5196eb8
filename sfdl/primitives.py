"""Reading single values and references from short texts, without the grammar.

Used for command-line values, typed properties and references that travel as text. The spelling is
that of source text; a name that is no plain word may also stand in quotes by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sfdl.errors import FormatError
from sfdl.literals import read_bytes, read_double, read_float, read_int, read_long, unescaped
from sfdl.references import KEYWORDS
from sfdl.values import Bytes, Float, Long, Part, PartKind, Reference, Tbd, Value, Vector

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<word>(?:[^\W\d]|[$\u00a2-\u00a5])[\w.\-+@\#~$%^&\u00a2-\u00a5]*)
    | (?P<string>"[^"\\\n\r]*(?:\\.[^"\\\n\r]*)*")
    | (?P<number>-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[lLfFdD]?)
    | (?P<bytes>\#(?:HEX|DEC|OCT|BIN|B64)\#[^\#]*\#)
    | (?P<multiline>\#\#[^\#\\]*(?:\\[\s\S][^\#\\]*)*\#)
    | (?P<sign>\[\||\|\]|[:,()])
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_CONSTANTS = {"true": True, "false": False, "NULL": None, "TBD": Tbd()}
_LONE = {
    kind.value: Part(kind)
    for kind in (PartKind.ROOT, PartKind.PARENT, PartKind.THIS, PartKind.PROCESS)
}
_NAMED = {kind.value: kind for kind in PartKind if kind.value not in _LONE}


class _Reader:
    """Goes through the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = self._scan()
        self.kind, self.word = next(self._tokens)

    def _scan(self) -> Iterator[tuple[str, str]]:
        at = 0
        while True:
            match = _TOKEN.match(self.text, at)
            if match is None:
                raise self.wrong(f"`{self.text[at:].lstrip()[:20]}`")
            kind = match.lastgroup or "end"
            yield kind, match[kind]
            at = match.end()

    def wrong(self, what: str = "") -> FormatError:
        """Return the error for the current token."""
        what = what or (f"`{self.word}`" if self.word else "the end")
        return FormatError(f"{what} is not expected in `{self.text}`")

    def take(self) -> tuple[str, str]:
        """Return the current token and go to the next."""
        taken = self.kind, self.word
        if self.kind != "end":
            self.kind, self.word = next(self._tokens)
        return taken

    def took(self, sign: str) -> bool:
        """Go on if this is the current token."""
        if self.word != sign or self.kind not in ("sign", "word"):
            return False
        self.take()
        return True

    def finish(self) -> None:
        """Insist on the end of the text."""
        if self.kind != "end":
            raise self.wrong()

    def primitive(self) -> Value:
        """Read a literal."""
        done: list[list[Value]] = [[]]
        while True:
            if self.took("[|"):
                done.append([])
                if not self.took("|]"):
                    continue
                done[-2].append(Vector(tuple(done.pop())))
            else:
                done[-1].append(self._scalar())
            while len(done) > 1 and self.took("|]"):
                vector = Vector(tuple(done.pop()))
                done[-1].append(vector)
            if len(done) == 1:
                return done[0][0]
            if not self.took(","):
                raise self.wrong()

    def _scalar(self) -> Value:
        if self.took("DATA"):
            return self.reference(data=True)
        kind, word = self.kind, self.word
        if kind == "word" and word in _CONSTANTS:
            self.take()
            return _CONSTANTS[word]
        try:
            value = _literal(kind, word)
        except ValueError as error:
            raise FormatError(str(error)) from error
        if value is None:
            raise self.wrong()
        self.take()
        return value

    def reference(self, *, lazy: bool = False, data: bool = False) -> Reference:
        """Read a path with an optional `OPTIONAL`."""
        optional, default = self.took("OPTIONAL"), None
        if optional and self.took("("):
            default = self.primitive()
            if not self.took(")"):
                raise self.wrong()
        parts = [self._part(first=True)]
        while self.took(":"):
            parts.append(self._part(first=False))
        return Reference(tuple(parts), lazy, data, optional, default)

    def _part(self, *, first: bool) -> Part:
        kind, word = self.take()
        if kind == "word" and word in _LONE:
            return _LONE[word]
        if kind == "word" and word in _NAMED:
            return Part(_NAMED[word], self._name())
        if kind == "string" or (kind == "word" and word not in KEYWORDS):
            name = unescaped(word[1:-1], '"') if kind == "string" else word
            return Part(PartKind.ATTRIB if first else PartKind.HERE, name)
        raise self.wrong(f"`{word}`")

    def _name(self) -> str:
        kind, word = self.take()
        if kind == "string":
            return unescaped(word[1:-1], '"')
        if kind != "word" or word in KEYWORDS:
            raise self.wrong(f"`{word}`")
        return word


def _literal(kind: str, text: str) -> str | int | float | Long | Float | Bytes | None:
    if kind == "string":
        return unescaped(text[1:-1], '"')
    if kind == "multiline":
        return unescaped(text[2:-1], "#")
    if kind == "bytes":
        return read_bytes(text)
    if kind != "number":
        return None
    if text[-1] in "lL":
        if set(text) & set(".eE"):
            raise ValueError(f"{text} is no whole number")
        return read_long(text)
    if text[-1] in "fF":
        return read_float(text)
    return read_double(text) if set(text) & set(".eEdD") else read_int(text)


def parse_primitive(text: str) -> Value:
    """Read a literal as source text spells it.

    Raises:
        FormatError: The text is not one literal; this is a `ValueError` too.

    Example:
        >>> parse_primitive("[|1, 2.5|]")
        Vector(items=(1, 2.5))
    """
    reader = _Reader(text)
    value = reader.primitive()
    reader.finish()
    return value


def parse_value(text: str) -> Value:
    """Read a value as the command line gives it.

    Numbers, `true`, `false`, `NULL`, quoted strings, byte arrays and literal vectors are read as
    such; anything else is a string as it stands.

    Example:
        >>> parse_value("4"), parse_value("four"), parse_value('"4"')
        (4, 'four', '4')
    """
    try:
        value = parse_primitive(text)
    except ValueError:
        return text
    return text if isinstance(value, Tbd | Reference) else value


def parse_reference(text: str) -> Reference:
    """Read a reference: a path, with `LAZY`, `DATA` and `OPTIONAL (value)` in front if wanted.

    Raises:
        FormatError: The text is not one reference.

    Example:
        >>> parse_reference("LAZY net:gateway").lazy
        True
    """
    reader = _Reader(text)
    lazy = reader.took("LAZY")
    data = not lazy and reader.took("DATA")
    try:
        reference = reader.reference(lazy=lazy, data=data)
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(str(error)) from error
    reader.finish()
    return reference
