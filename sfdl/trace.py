"""What the phases did to each attribute, for `sfdl explain`.

A `Trace` is handed to a compilation that is to be explained; ordinary ones have none and do no work
for it. The phases report to it; `sfdl.explanation` reads it.
"""

from __future__ import annotations

from sfdl.graph import Attributes, Cell, Held, Name, Scope, scopes

Step = tuple[Scope | None, Attributes]
"""A prototype (None for a body) and the attributes it brought, as they were then."""


class Trace:
    """Notes of one compilation.

    Attributes:
        steps: What was merged into a component, in order, by the identity of its scope.
        placements: What was placed where, by scope identity and name: whole name, cell, earlier.
        before: Values that the link phase was to replace, by scope identity and name.
    """

    def __init__(self) -> None:
        self.steps: dict[int, list[Step]] = {}
        self.placements: dict[tuple[int, Name], list[tuple[Name, Cell, Cell | None]]] = {}
        self.before: dict[tuple[int, Name], Held] = {}
        self._alive: list[Scope] = []

    def merged(self, scope: Scope, found: list[Scope | Attributes]) -> None:
        """Note what a component is made of."""
        self._alive.append(scope)
        self.steps[id(scope)] = [
            (part, part.attributes.copy()) if isinstance(part, Scope) else (None, part.copy())
            for part in found
        ]

    def placed(self, target: Scope, name: Name, cell: Cell, earlier: Cell | None) -> None:
        """Note a placement that is done."""
        self._alive.append(target)
        last = name[-1] if isinstance(name, tuple) else name
        self.placements.setdefault((id(target), last), []).append((name, cell, earlier))

    def linking(self, root: Scope) -> None:
        """Note the values that are not data yet."""
        for scope in scopes(root):
            self._alive.append(scope)
            for name, cell in scope.attributes.items():
                if cell.value.__class__.__name__ in ("Link", "Scope"):
                    self.before[id(scope), name] = cell.value
