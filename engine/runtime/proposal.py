"""What a tree is to be, while that is looked at or carried out: for all that are asked meanwhile.

It goes with the work, not with the tree: two who look at one tree at a time each have their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from msgspec import Struct

from sfdl.values import Description, Value


class Proposal(Struct, frozen=True):
    """What an update makes of a tree.

    Attributes:
        path: Complete name of the top of the tree.
        tree: What it is to be.
        back: It is what the tree was before an update that failed.
    """

    path: str
    tree: Description
    back: bool = False

    def at(self, path: str) -> Description | None:
        """Return what a component is to be; nothing: it is not of this tree.

        Args:
            path: Its complete name.
        """
        names = path.removeprefix(self.path)
        if not path.startswith(self.path) or (names and not names.startswith(":")):
            return None
        found: Value = self.tree
        for name in names.split(":")[1:]:
            found = found.get(name) if isinstance(found, Description) else None
        return found if isinstance(found, Description) else None


_now: ContextVar[Proposal | None] = ContextVar("proposal", default=None)


@contextmanager
def proposing(path: str, tree: Description, *, back: bool) -> Iterator[None]:
    """Have this be proposed to all that is asked within."""
    token = _now.set(Proposal(path, tree, back))
    try:
        yield
    finally:
        _now.reset(token)


def proposed_at(path: str) -> Description | None:
    """Return what a component is to be; nothing: that is not known."""
    now = _now.get()
    return now.at(path) if now is not None else None


def going_back() -> bool:
    """Say whether a tree is being made what it was before an update that failed."""
    now = _now.get()
    return now is not None and now.back
