"""Part of the link phase: one function application whose arguments have been walked.

`Applications.settle` decides between keeping it for run time, failing, asking for more work first,
and replacing it by its result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sfdl.assertions import CHECK, Moment, moment, untrue
from sfdl.diagnostics import Diagnostic
from sfdl.errors import SmartDomainsError
from sfdl.follow import Blocked, Failed
from sfdl.functions import SIGNS, Call, Function, FunctionError, function_for
from sfdl.graph import (
    CLASS,
    NO_TAGS,
    Anonymous,
    Cell,
    Held,
    Link,
    Name,
    Scope,
    Settled,
    cell_of,
    is_component,
    name_text,
    path_of,
    span_of,
)
from sfdl.limits import MOST_COMPONENTS, TooLarge
from sfdl.messages import MOST_EXPLAINED, misspelled_notes, value_span
from sfdl.phases.convert import freeze
from sfdl.primitives import parse_reference
from sfdl.schemas import broken_rule
from sfdl.source import Span
from sfdl.values import Description, Reference, Vector
from sfdl.world import World

ELEMENT, SET, REF = "CheckSchemaElement", "Set", "Ref"


class Need(NamedTuple):
    """Something to be settled (an attribute) or walked (a component) before going on."""

    wanted: Blocked | Scope


class Outcome(NamedTuple):
    """What an application is replaced by."""

    value: Held


class _NotTrue(Exception):  # noqa: N818 - carries findings inside this module only
    """An assertion does not hold; the place is its own if none is given."""

    def __init__(
        self, reasons: list[str], place: Span | None = None, notes: tuple[str, ...] = ()
    ) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons
        self.place = place
        self.notes = notes


class _Wait(Exception):  # noqa: N818 - flow of control inside this module only
    def __init__(self, wanted: Blocked | Scope) -> None:
        super().__init__("something comes first")
        self.wanted = wanted


@dataclass(slots=True)
class Applications:
    """Settles applications, with what they may take from outside."""

    world: World
    problems_of: Callable[[Scope], tuple[Diagnostic, ...]]
    _explained: int = 0

    def settle(
        self, scope: Scope, name: Name, application: Scope, opened: Scope
    ) -> Need | Outcome | None:
        """Settle one application.

        Args:
            scope: The component that holds it.
            name: Its name there.
            application: The application.
            opened: Itself, or for an assertion a copy, walked; the original is kept as written.

        Returns:
            What comes first, what replaces it, or None if it stays, marked as settled.
        """
        mark = application.application
        if mark is None:
            return None
        found = self.problems_of(opened)
        if found:
            return Outcome(Failed(found))
        try:
            if mark.assertion:
                self._assert(scope, name, application, opened)
                return None
            if _has_lazy_argument(opened):
                mark.lazy = True
                mark.settled = Settled.KEPT
                return None
            value = self._computed(scope, name, opened)
            self.world.budget.weigh(value)
            return Outcome(value)
        except _Wait as wait:
            return Need(wait.wanted)
        except (FunctionError, TooLarge) as error:
            code = "SF-LIMIT-002" if isinstance(error, TooLarge) else "SF-FUNCTION-001"
            place = _place(scope, name, application)
            notes = misspelled_notes(getattr(error, "missing", ()), opened)
            finding = Diagnostic("function", code, str(error), place, notes)
            return Outcome(Failed((finding,)))
        except _NotTrue as wrong:
            place = wrong.place or _place(scope, name, application)
            return Outcome(
                Failed(
                    tuple(
                        Diagnostic("assert", "SF-ASSERT-001", reason, place, wrong.notes)
                        for reason in wrong.reasons
                    )
                )
            )

    def _assert(self, scope: Scope, name: Name, application: Scope, opened: Scope) -> None:
        mark = application.application
        if mark is None:
            return
        cell = opened.attributes.get("sfAssertionPhase")
        when = moment(cell.value) if cell is not None else Moment.DYNAMIC
        if _has_lazy_argument(opened):
            if when is Moment.STATIC:
                raise _NotTrue(
                    [f"`{name_text(name)}` is a static assertion, but something in it is lazy"]
                )
        elif self._computed(scope, name, opened) is not True:
            raise _NotTrue([f"`{name_text(name)}` does not hold"])
        mark.lazy = when is Moment.DYNAMIC
        mark.settled = Settled.KEPT if mark.lazy else Settled.DROPPED

    def _computed(self, scope: Scope, name: Name, application: Scope) -> Held:
        """Return the result of a function, as it goes into a cell."""
        named = application.attributes.get(CLASS)
        if named is None:
            raise FunctionError(f"`{name_text(name)}` has no `sfFunctionClass`", CLASS)
        if named.value == SET:
            return self._set(scope, application)
        if named.value == CHECK:
            return self._check(application)
        if named.value == ELEMENT:
            return self._element(scope, name, application)
        if named.value == REF:
            return self._ref(application)
        function = function_for(named.value, self.world)
        value = self._called(function, application, str(named.value))
        return _landed(value, scope, application)

    def _called(self, function: Function, application: Scope, shown: str) -> Held:
        call = self._call(application, shown, transparent=function.transparent)
        try:
            return function.evaluate(call)
        except FunctionError:
            raise
        except SmartDomainsError as error:
            raise FunctionError(str(error)) from error

    def _call(self, application: Scope, shown: str, *, transparent: bool) -> Call:
        values: list[Held] = []
        named: dict[str, Held] = {}
        options: dict[str, Held] = {}
        for name, cell in application.attributes.items():
            value = cell.value
            if value.__class__ is Link:
                value = value.reference
            elif value.__class__ is Scope and not transparent:
                value = self._finished(value)
            if isinstance(name, str):
                if name.startswith("phase."):
                    continue
                if name.startswith("sf"):
                    options[name] = value
                    continue
                named[name] = value
            values.append(value)
        return Call(tuple(values), named, options, self.world, SIGNS.get(shown, shown))

    def _finished(self, scope: Scope) -> Held:
        """Return a component among the arguments as frozen data."""
        if is_component(scope) and not scope.walked:
            raise _Wait(scope)
        return freeze(scope)

    def _check(self, application: Scope) -> bool:
        reasons = untrue(self._call(application, CHECK, transparent=True))
        if reasons:
            raise _NotTrue(reasons)
        return True

    def _element(self, schema: Scope, rule: Name, application: Scope) -> bool:
        """Check one attribute of the component around the schema."""
        holder = schema.parent
        element = self._call(application, ELEMENT, transparent=False).named
        name = element.get("name")
        if holder is None or not isinstance(name, str):
            raise FunctionError(f"`{ELEMENT}` belongs into a schema inside a component")
        cell = holder.attributes.get(name)
        value = cell.value if cell is not None else None
        if value.__class__ is Failed:
            return True  # reported where it failed
        if value.__class__ is Link:
            if not value.reference.lazy and not value.reference.data:
                raise _Wait(Blocked(holder, name))
            value = value.reference
        elif value.__class__ is Scope:
            if value.application is not None and value.application.settled is Settled.NO:
                raise _Wait(Blocked(holder, name))
            value = _SOME_COMPONENT if value.application is None else freeze(value)
        reason = broken_rule(element, present=cell is not None, value=value)
        if reason is not None:
            place = value_span(name, cell) if cell is not None else span_of(holder)
            raise _NotTrue([reason], place, self._rule_notes(schema, rule, holder, name))
        return True

    def _rule_notes(self, schema: Scope, rule: Name, holder: Scope, name: str) -> tuple[str, ...]:
        """Say which component lacks what which schema asks for."""
        self._explained += 1
        if self._explained > MOST_EXPLAINED:
            return ()
        near = misspelled_notes((name,), holder) if name not in holder.attributes else ()
        asked = f"asked of {path_of(holder)} ({span_of(cell_of(holder))})"
        return f"{asked} by its schema ({span_of(schema.attributes[rule])})", *near

    def _ref(self, application: Scope) -> Held:
        call = self._call(application, REF, transparent=False)
        text = call.need("reference")
        if not isinstance(text, str):
            raise call.wrong(text, "a string", "reference")
        try:
            reference = parse_reference(text)
        except ValueError as error:
            raise FunctionError(f"`{text}` is no reference") from error
        lazy = call.boolean(call.named.get("lazy", reference.lazy), "lazy")
        linked = Reference(reference.parts, lazy, False, reference.optional, reference.default)
        return Link(linked, application.source, application.start)

    def _set(self, scope: Scope, application: Scope) -> Scope:
        """Make the numbered copies of `setElem`."""
        element = application.attributes.get("setElem")
        if element is None or not is_component(element.value):
            raise FunctionError("`Set` needs a component `setElem` to copy", "setElem")
        if not element.value.walked:
            raise _Wait(element.value)
        call = self._call(application, SET, transparent=True)
        prefix = call.named.get("setPrefix", "elem")
        if not isinstance(prefix, str):
            raise call.wrong(prefix, "a string", "setPrefix")
        result = Scope(scope, application.source, application.start)
        result.state = application.state
        result.data = call.options.get("sfIsComponent") is not True
        for name, cell in application.attributes.items():
            if name not in _SET_NAMES and not (
                isinstance(name, str) and name.startswith(("phase.", "sf"))
            ):
                result.attributes[name] = cell
                if cell.value.__class__ is Scope and cell.value.parent is application:
                    cell.value.parent = result
        indices = _set_indices(call)
        if len(indices) > MOST_COMPONENTS:
            raise TooLarge(f"`Set` would make more than {MOST_COMPONENTS} components")
        for index in indices:
            copy = element.value.copied_to(result, self.world.budget)
            copy.walked = True
            result.attributes[f"{prefix}{index}"] = Cell(
                copy, NO_TAGS, element.source, element.start
            )
        return result


_SOME_COMPONENT = Description(())
_SET_NAMES = frozenset(("setElem", "setSize", "setMin", "setMax", "setInc", "setPrefix"))


def _set_indices(call: Call) -> range:
    first, step = call.integer("setMin", 0), call.integer("setInc", 1)
    if step < 1:
        raise FunctionError("`Set`: `setInc` has to be at least 1")
    if "setSize" in call.named:
        if "setMax" in call.named:
            raise FunctionError("`Set` takes either `setSize` or `setMax`, not both")
        size = call.integer("setSize")
        return range(first, first + max(0, size) * step, step)
    if "setMax" not in call.named:
        raise FunctionError("`Set` needs `setSize` or `setMax`", "setSize", "setMax")
    return range(first, call.integer("setMax") + 1, step)


def _has_lazy_argument(application: Scope) -> bool:
    for name, cell in application.attributes.items():
        value = cell.value
        if value.__class__ is Link:
            lazy = value.reference.lazy
        elif value.__class__ is Scope and value.application is not None:
            lazy = value.application.lazy
        else:
            continue
        if lazy and not (isinstance(name, str) and name.startswith(("sf", "phase."))):
            return True
    return False


def _landed(value: Held, scope: Scope, application: Scope) -> Held:
    """Fit a function's result into the graph: components it made belong to the place of use."""
    if isinstance(value, Reference):
        return Link(value, application.source, application.start)
    for item in value.items if value.__class__ is Vector else (value,):
        if item.__class__ is Scope and item.parent is application:
            item.parent = scope
    return value


def _place(scope: Scope, name: Name, application: Scope) -> Held:
    if isinstance(name, Anonymous) or application.source is not None:
        return span_of(application)
    return span_of(scope.attributes[name])
