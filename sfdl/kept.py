"""Functions and assertions that were kept for run time.

The engine asks `needs` which references a kept application has, resolves them its own way, and
hands the values to `evaluate`, which computes. A reference inside an application counts its
`PARENT` parts from there: every operator, vector or function around it is one level.
`Need.at_holder` is the same reference as seen from the component that holds the whole application.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from sfdl.errors import EvaluationError
from sfdl.follow import Failed, hidden_slots
from sfdl.graph import CLASS, NO_TAGS, Anonymous, Application, Cell, Held, Link, Name, Scope
from sfdl.phases.convert import freeze
from sfdl.phases.link import Linker
from sfdl.references import reference_text
from sfdl.values import Description, Kept, Part, PartKind, Reference, Value
from sfdl.world import World


class Need(Struct, frozen=True):
    """A reference that a kept application needs resolved.

    Attributes:
        slot: Argument names from the application to the reference.
        level: How many applications are around it, at least 1.
        reference: The reference as it is written there.
    """

    slot: tuple[str, ...]
    level: int
    reference: Reference

    @property
    def at_holder(self) -> Reference:
        """Return the reference as seen from the component that holds the application.

        Example:
            >>> up = Part(PartKind.PARENT)
            >>> inner = Reference((up, up, Part(PartKind.HERE, "x")))
            >>> reference_text(Need(("--0", "left"), 2, inner).at_holder)
            'HERE x'
        """
        parts = self.reference.parts
        if parts[0].kind is not PartKind.PARENT:
            return self.reference
        rest = parts[self.level :]
        return replace(self.reference, parts=rest or (Part(PartKind.THIS),))


class _Place:
    """A reference: where it is, and the applications around it, outermost first."""

    __slots__ = ("around", "order", "reference", "slot")

    def __init__(
        self,
        order: tuple[int, ...],
        slot: tuple[str, ...],
        around: tuple[Scope, ...],
        reference: Reference,
    ) -> None:
        self.order = order
        self.slot = slot
        self.around = around
        self.reference = reference

    def is_local(self) -> bool:
        """Tell whether it leads to another argument of an application around it."""
        first = self.reference.parts[0]
        if first.kind is PartKind.ATTRIB:
            return any(
                first.name in scope.attributes and first.name not in hidden_slots(scope)
                for scope in self.around
            )
        if first.kind in (PartKind.HERE, PartKind.THIS):
            return True
        climbs = 0
        for part in self.reference.parts:
            if part.kind is not PartKind.PARENT:
                break
            climbs += 1
        return 0 < climbs < len(self.around)

    def need(self) -> Need:
        """Return it as the engine sees it."""
        return Need(self.slot, len(self.around), self.reference)


class _Thawed:
    """A kept application as a graph, with the places of its references in the order written."""

    def __init__(self, kept: Kept, parent: Scope | None) -> None:
        self.places: list[tuple[_Place, Scope, Name]] = []
        self.top = self._scope(kept, parent)
        pending: list[tuple[Kept, tuple[int, ...], tuple[str, ...], tuple[Scope, ...]]] = [
            (kept, (), (), (self.top,))
        ]
        while pending:
            outer, order, slot, around = pending.pop()
            scope = around[-1]
            for index, (name, value) in enumerate(outer.arguments):
                held: Held = value
                if isinstance(value, Kept) and not value.data:
                    held = self._scope(value, scope)
                    pending.append((value, (*order, index), (*slot, name), (*around, held)))
                elif isinstance(value, Reference):
                    held = Link(replace(value, lazy=False), None, 0)
                    if not value.data:
                        place = _Place((*order, index), (*slot, name), around, value)
                        self.places.append((place, scope, name))
                scope.attributes[name] = Cell(held, NO_TAGS, None, 0)
        self.places.sort(key=lambda found: found[0].order)

    @staticmethod
    def _scope(kept: Kept, parent: Scope | None) -> Scope:
        scope = Scope(parent, None, 0)
        scope.application = Application(assertion=kept.assertion)
        scope.attributes[CLASS] = Cell(kept.function, NO_TAGS, None, 0)
        return scope


def needs(kept: Kept) -> tuple[Need, ...]:
    """Return the references that have to be resolved before `kept` can be evaluated, in order.

    References to other arguments of the same application, and references kept as data, are not
    among them.
    """
    thawed = _Thawed(kept, None)
    return tuple(
        dict.fromkeys(place.need() for place, _, _ in thawed.places if not place.is_local())
    )


def evaluate(
    kept: Kept, resolved: Mapping[Need, Value], holder: Description, *, allowed: Iterable[str] = ()
) -> Value:
    """Compute a kept function, or check a kept assertion.

    Args:
        kept: The application.
        resolved: A value for each of `needs(kept)`.
        holder: The component that has it as an attribute; schemas check its attributes as they are.
        allowed: Python packages from which functions may be imported.

    Returns:
        The function's value; True for an assertion that holds.

    Raises:
        EvaluationError: A need has no value, the function refuses its arguments, or the assertion
            does not hold.
    """
    around = _holder_scope(holder)
    thawed = _Thawed(kept, around)
    for place, scope, name in thawed.places:
        if place.is_local():
            continue
        need = place.need()
        if need not in resolved:
            raise EvaluationError(
                f"`{reference_text(need.reference)}` was not resolved", code="SF-LINK-001"
            )
        value: Held = resolved[need]
        if isinstance(value, Reference):
            value = Link(value, None, 0)
        scope.attributes[name] = scope.attributes[name].holding(value)
    name = Anonymous()
    around.attributes[name] = Cell(thawed.top, NO_TAGS, None, 0)
    return _finished(Linker(World({}, {}, tuple(allowed))).settled(around, name))


def _holder_scope(holder: Description) -> Scope:
    scope = Scope(None, None, 0)
    for name, value in holder.attributes:
        held: Held = value
        if isinstance(value, Reference):
            held = Link(value, None, 0)
        elif isinstance(value, Kept):
            # All that a schema asks of it is whether it is lazy.
            held = Scope(scope, None, 0)
            held.application = Application(
                lazy=value.lazy, data=not value.lazy, assertion=value.assertion
            )
        scope.attributes[name] = Cell(held, NO_TAGS, None, 0)
    return scope


def _finished(value: Held) -> Value:
    if isinstance(value, Failed):
        first = value.found[0]
        raise EvaluationError(
            "; ".join(finding.message for finding in value.found), code=first.code
        )
    if isinstance(value, Link):
        return value.reference
    if not isinstance(value, Scope):
        finished: Value = value
        return finished
    if value.application is not None and value.application.assertion:
        return True
    frozen = freeze(value)
    if isinstance(frozen, Kept) and frozen.lazy:
        raise EvaluationError(
            f"`{frozen.function}` still depends on something lazy", code="SF-LINK-001"
        )
    return frozen
