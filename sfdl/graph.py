"""The mutable graph the phases work on.

A `Scope` is a component while it is being compiled: ordered attributes, a parent, the prototypes
still to be merged. An attribute's value sits in a `Cell`; cells are never changed after they are
made, only replaced, so that scopes copied from one template share them. A `Link` is a reference
with the place where it was written.

A scope is *owned* by its parent. After linking, a cell may also hold a scope that some other
component owns: that is a link to a component.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final, TypeAlias

from sfdl.limits import Budget
from sfdl.source import Source, Span
from sfdl.values import Bytes, Description, Float, Long, Reference, Vector


class Anonymous:
    """An attribute name written `--`: equal to itself only."""

    __slots__ = ()


Name: TypeAlias = "str | Anonymous | tuple[str | Anonymous, ...]"
"""A plain name, a fresh one, or the parts of a placement."""

PLAIN: frozenset[type] = frozenset(
    (str, int, bool, float, type(None), Long, Float, Bytes, Vector, Description)
)
"""Kinds that need no further work. A vector may still hold linked components."""

SIMPLE = PLAIN - {Vector}
"""Kinds that need no further work and hold nothing that does."""

FUNCTION = "phase.function"
"""Attribute that marks a component as a function, until the function phase."""

CLASS = "sfFunctionClass"
"""Attribute that names the function."""

NO_TAGS: frozenset[str] = frozenset()


Held: TypeAlias = Any
"""What a cell holds: a plain value, a `Link`, a `Scope`, `TBD`, or the mark of a failure."""


class Cell:
    """The value of one attribute, its tags, and where its name was written.

    A cell stands under one name only, in however many components. The first time its value is
    written into a result, `frozen` becomes the pair that all results share.
    """

    __slots__ = ("frozen", "source", "start", "tags", "value")

    def __init__(
        self, value: Held, tags: frozenset[str], source: Source | None, start: int
    ) -> None:
        self.value = value
        self.tags = tags
        self.source = source
        self.start = start
        self.frozen: tuple[str, Any] | None = None

    def freeze(self, name: str) -> tuple[str, Any]:
        """Return the pair of name and value; the value has to be simple."""
        pair = self.frozen = name, self.value
        return pair

    def holding(self, value: Held) -> Cell:
        """Return a cell at the same place with another value."""
        return Cell(value, self.tags, self.source, self.start)

    def tagged(self, tags: frozenset[str]) -> Cell:
        """Return a cell with other tags."""
        return Cell(self.value, tags, self.source, self.start)


class Link:
    """A reference with the offset of its first part."""

    __slots__ = ("reference", "source", "start")

    def __init__(self, reference: Reference, source: Source | None, start: int) -> None:
        self.reference = reference
        self.source = source
        self.start = start


class State(IntEnum):
    """How far the resolution of prototypes has come in one scope."""

    NEW = 0
    MERGING = 1
    MERGED = 2
    COMPLETING = 3
    COMPLETE = 4


# As in `sfdl.values`: the phases compare these very often.
NEW: Final = State.NEW
MERGING: Final = State.MERGING
MERGED: Final = State.MERGED
COMPLETING: Final = State.COMPLETING
COMPLETE: Final = State.COMPLETE


class Settled(IntEnum):
    """What became of a function application."""

    NO = 0
    KEPT = 1
    DROPPED = 2


class Application:
    """Marks a scope as a function application or assertion; its attributes are the arguments."""

    __slots__ = ("assertion", "data", "lazy", "settled")

    def __init__(self, *, assertion: bool = False, lazy: bool = False, data: bool = False) -> None:
        self.assertion = assertion
        self.lazy = lazy
        self.data = data
        self.settled = Settled.KEPT if lazy or data else Settled.NO

    def copy(self) -> Application:
        """Return an application in the same condition."""
        other = Application(assertion=self.assertion, lazy=self.lazy, data=self.data)
        other.settled = self.settled
        return other


Attributes: TypeAlias = "dict[Name, Cell]"


def is_special(name: Name, cell: Cell) -> bool:
    """Tell whether an attribute is more than simple data without tags under a plain name."""
    return bool(cell.value.__class__ not in SIMPLE or cell.tags or name.__class__ is not str)


class Layout:
    """Which attributes of a scope the phases have to look at.

    Components that add nothing but simple data to a template share its layout, so some of the names
    may stand for simple data by now.

    Attributes:
        special: Names of the special attributes, in order; see `is_special`.
        inner: Those of them that hold a scope, or are placements.
    """

    __slots__ = ("inner", "special")

    def __init__(self, attributes: Attributes) -> None:
        self.special = [name for name, cell in attributes.items() if is_special(name, cell)]
        self.inner = [
            name
            for name in self.special
            if attributes[name].value.__class__ is Scope or name.__class__ is tuple
        ]


class Scope:
    """A component being compiled.

    Attributes:
        attributes: Cells by name, in order.
        parent: The scope that owns this one; None for the file root.
        prototypes: What it extends, in order: links and bodies; None when merged.
        data: Written `extends DATA`.
        sugar: Written as an operator, vector, `IF`, `SWITCH`, `APPLY` or `ASSERT`.
        application: Set by the function phase, or by `APPLY` and `ASSERT`.
        state: Progress of the type phase.
        failed: A prototype could not be found, so missing names below it are no news.
        walked: The link phase has been through it.
        moved: Number of the placement pass that put it where it is.
        source: Text it was written in.
        start: Offset of the token that stands for it (a brace, an operator, `IF`).
    """

    __slots__ = (
        "_layout",
        "application",
        "attributes",
        "data",
        "failed",
        "moved",
        "parent",
        "prototypes",
        "source",
        "start",
        "state",
        "sugar",
        "walked",
    )

    def __init__(self, parent: Scope | None, source: Source | None, start: int) -> None:
        self.attributes: Attributes = {}
        self.parent = parent
        self.prototypes: list[Link | Attributes] | None = None
        self.data = False
        self.sugar = False
        self.application: Application | None = None
        self.state: State = MERGED
        self.failed = False
        self.walked = False
        self.moved = 0
        self.source = source
        self.start = start
        self._layout: Layout | None = None

    def layout(self) -> Layout:
        """Return which attributes need work."""
        if self._layout is None:
            self._layout = Layout(self.attributes)
        return self._layout

    def components(self) -> list[Scope]:
        """Return the scopes among the values, in order, but for those that links lead to."""
        values = [self.attributes[name].value for name in self.layout().inner]
        return [value for value in values if value.__class__ is Scope]

    def share_layout(self, other: Scope) -> None:
        """Take over the layout of a scope with the same attributes."""
        self._layout = other.layout()

    def forget_layout(self) -> None:
        """Look at all attributes again: some were set that were not special, or removed."""
        self._layout = None

    def copied_to(self, parent: Scope | None, budget: Budget) -> Scope:
        """Return a deep copy owned by `parent`; scopes owned elsewhere are shared."""
        top = self._shallow(parent)
        adopt_all(self, top, budget)
        return top

    def _shallow(self, parent: Scope | None) -> Scope:
        copy = Scope(parent, self.source, self.start)
        copy.attributes = self.attributes.copy()
        copy.share_layout(self)
        copy.data = self.data
        copy.sugar = self.sugar
        if self.application is not None:
            copy.application = self.application.copy()
        copy.state = self.state
        copy.failed = self.failed
        copy.walked = self.walked
        return copy


def adopt(original: Scope, copy: Scope) -> list[tuple[Scope, Scope]]:
    """Give `copy`, which shares the cells of `original`, children of its own.

    Returns:
        Pairs of child and shallow copy, whose own children are still shared.
    """
    made = []
    attributes = copy.attributes
    for name in copy.layout().inner:
        cell = attributes[name]
        child = cell.value
        if child.__class__ is Scope and child.parent is original:
            own = child._shallow(copy)  # noqa: SLF001 - same module, same idea
            attributes[name] = cell.holding(own)
            made.append((child, own))
    return made


def adopt_all(original: Scope, copy: Scope, budget: Budget) -> None:
    """Give `copy` children of its own, and those theirs.

    Raises:
        TooLarge: The compilation has copied too much.
    """
    budget.take(1, len(copy.attributes))
    pending = adopt(original, copy)
    while pending:
        original, copy = pending.pop()
        budget.take(1, len(copy.attributes))
        pending.extend(adopt(original, copy))


def is_component(value: object) -> bool:
    """Tell whether a value is a component rather than a function application."""
    return value.__class__ is Scope and value.application is None


def scopes(root: Scope) -> Iterator[Scope]:
    """Go through a scope and all that it owns, parents first, in attribute order."""
    pending = [root]
    while pending:
        scope = pending.pop()
        yield scope
        pending.extend([child for child in reversed(scope.components()) if child.parent is scope])


def name_text(name: Name) -> str:
    """Return a name as it is written, parts of a placement joined by colons."""
    if isinstance(name, tuple):
        return ":".join(map(name_text, name))
    return name if isinstance(name, str) else "--"


def path_of(scope: Scope) -> str:
    """Return the path of a scope from the file root, as messages show it."""
    names: list[str] = []
    while scope.parent is not None:
        parent = scope.parent
        found = (name_text(n) for n, c in parent.attributes.items() if c.value is scope)
        own = next(found, None)
        if own is not None and parent.application is None:
            names.append(own)
        scope = parent
    return ":".join(reversed(names)) or "the file root"


def cell_of(scope: Scope) -> Cell | Scope:
    """Return the cell that holds a scope, which stands where its name is written, or itself."""
    if scope.parent is not None:
        for cell in scope.parent.attributes.values():
            if cell.value is scope:
                return cell
    return scope


def span_of(thing: Cell | Link | Scope | None) -> Span | None:
    """Return where something was written: the token its offset points at."""
    if thing is None or thing.source is None:
        return None
    from sfdl.lexer import token_end  # noqa: PLC0415 - only for messages; the lexer needs the grammar

    return thing.source.span(thing.start, token_end(thing.source.text, thing.start))
