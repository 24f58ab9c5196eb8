"""Which components to show: words, words that must not occur, fields, and faults only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.wire.messages import TreeRow

_FIELDS: Mapping[str, Callable[[TreeRow], str]] = {
    "name": lambda row: row.name,
    "kind": lambda row: row.kind,
    "state": lambda row: row.state,
    "host": lambda row: row.address,
}


@dataclass(frozen=True)
class Filter:
    """A filter as the user wrote it; all its words must fit.

    A word fits where it occurs in the complete name, kind, state, health or address, upper and lower
    case being the same. `!word` must not occur; `state=started`, `kind=`, `host=` and `name=` look into
    one field only.

    Example:
        >>> from engine.core.events import Ident
        >>> row = TreeRow("pool:vm1", "vm1", 1, "kvm.domain", "started", True, True, "", "a:1", 0.0, 0,
        ...               Ident("d", "c"))
        >>> Filter("VM1 state=start").test()(row), Filter("!kvm").test()(row), Filter("").active
        (True, False, False)
    """

    text: str = ""
    faults: bool = False

    @property
    def active(self) -> bool:
        """Say whether it may leave anything out."""
        return self.faults or bool(self.text.split())

    def test(self) -> Callable[[TreeRow], bool]:
        """Return what tells whether a row fits, for many rows.

        `faults` is not judged here but by who knows which hosts are lost.
        """
        tests = [_test(word) for word in self.text.lower().split() if word != "!"]
        if len(tests) == 1:
            return tests[0]
        return lambda row: all(test(row) for test in tests)


def _test(word: str) -> Callable[[TreeRow], bool]:
    wanted = not word.startswith("!")
    bare = word.removeprefix("!")
    field, equals, value = bare.partition("=")
    if equals and field in _FIELDS:
        look = _FIELDS[field]
        return lambda row: (value in look(row).lower()) is wanted
    return lambda row: (bare in _everything(row)) is wanted


def _everything(row: TreeRow) -> str:
    return f"{row.path} {row.kind} {row.state} {row.health} {row.address}".lower()
