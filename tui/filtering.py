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
        >>> Filter("VM1 state=start").fits(row), Filter("!kvm").fits(row), Filter("").active
        (True, False, False)
    """

    text: str = ""
    faults: bool = False

    @property
    def active(self) -> bool:
        """Say whether it may leave anything out."""
        return self.faults or bool(self.text.split())

    def fits(self, row: TreeRow) -> bool:
        """Say whether the words fit; `faults` is judged by who knows which hosts are lost."""
        return all(_word_fits(word, row) for word in self.text.lower().split())


def _word_fits(word: str, row: TreeRow) -> bool:
    wanted = not word.startswith("!")
    bare = word.removeprefix("!")
    if not bare:
        return True
    field, equals, value = bare.partition("=")
    if equals and field in _FIELDS:
        return (value in _FIELDS[field](row).lower()) is wanted
    text = f"{row.path} {row.kind} {row.state} {row.health} {row.address}".lower()
    return (bare in text) is wanted
