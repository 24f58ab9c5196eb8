"""Phases that a description adds to its `phaseList`.

A phase NAME calls, on every component that has an attribute beginning with `phase.NAME`, the Python
class that the attribute names: innermost components first. The class is imported only from the
packages that the caller of the compiler allows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from sfdl.diagnostics import Diagnostic
from sfdl.graph import Cell, Scope, scopes, span_of
from sfdl.world import World


class PhaseError(Exception):
    """A phase refuses a component; the text is for the user."""


class Phase(ABC):
    """Something done to components between the phases of the language."""

    @abstractmethod
    def apply(self, component: Scope) -> None:
        """Change a component in place.

        Raises:
            PhaseError: The component is not as it has to be.
        """


def run_phase(name: str, root: Scope, world: World) -> list[Diagnostic]:
    """Run an added phase over the whole file; return what is wrong.

    Args:
        name: The phase as `phaseList` names it.
        root: The file root.
        world: Says from which packages classes may be imported.
    """
    problems: list[Diagnostic] = []
    everything = list(scopes(root))
    for scope in reversed(everything):
        wanted = [
            cell
            for attribute, cell in scope.attributes.items()
            if isinstance(attribute, str) and attribute.startswith(f"phase.{name}")
        ]
        for cell in wanted:
            try:
                _phase(cell, world).apply(scope)
            except PhaseError as error:
                message = f"phase `{name}`: {error}"
                place = span_of(cell) or span_of(scope)
                problems.append(Diagnostic("function", "SF-FUNCTION-004", message, place))
    for scope in everything:
        scope.forget_layout()
    return problems


def _phase(cell: Cell, world: World) -> Phase:
    try:
        found = world.imported(str(cell.value))
    except LookupError as error:
        raise PhaseError(str(error.args[0])) from error
    if not (isinstance(found, type) and issubclass(found, Phase)):
        raise PhaseError(f"`{cell.value}` is no subclass of sfdl.phases.extra.Phase")
    return found()
