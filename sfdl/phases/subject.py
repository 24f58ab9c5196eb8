"""Phase `sfConfig`: finds the component that is the result."""

from __future__ import annotations

from sfdl.diagnostics import Diagnostic, failure
from sfdl.follow import Blocked, Failure, Lazy, follow
from sfdl.graph import Link, Scope, is_component, span_of
from sfdl.messages import link_span, misspelled_notes
from sfdl.references import reference_text
from sfdl.world import World

SUBJECT = "sfConfig"


def find_subject(root: Scope, world: World) -> Scope:
    """Return the component that `sfConfig` is, or is a link to.

    Its parent stays the file root, so that references reach what the file defines around it.

    Raises:
        CompileError: There is no `sfConfig`, or it is not a component.
    """
    cell = root.attributes.get(SUBJECT)
    if cell is None:
        message = f"there is no attribute `{SUBJECT}`, which is what a description describes"
        raise failure(
            [
                Diagnostic(
                    "sfConfig", "SF-CONFIG-001", message, None, misspelled_notes([SUBJECT], root)
                )
            ]
        )
    seen = {id(cell)}
    scope = root
    while (
        cell.value.__class__ is Link
        and not cell.value.reference.lazy
        and not cell.value.reference.data
    ):
        link: Link = cell.value
        found = follow(link.reference, scope, world)
        if isinstance(found, Blocked):
            scope, cell = found.scope, found.scope.attributes[found.name]
            if id(cell) not in seen and len(link.reference.parts) == 1:
                seen.add(id(cell))
                continue
        if is_component(found):
            subject: Scope = found
            return subject
        why = found.reason() if isinstance(found, Failure) else "it is no component"
        why = "it is lazy" if isinstance(found, Lazy) else why
        message = f"`{SUBJECT}` leads to `{reference_text(link.reference)}`: {why}"
        notes = found.notes() if isinstance(found, Failure) else ()
        part = found.part if isinstance(found, Failure) else 0
        finding = Diagnostic("sfConfig", "SF-CONFIG-002", message, link_span(link, part), notes)
        raise failure([finding])
    if is_component(cell.value):
        component: Scope = cell.value
        return component
    message = f"`{SUBJECT}` is {world.kind(cell.value)}, not a component"
    raise failure([Diagnostic("sfConfig", "SF-CONFIG-002", message, span_of(cell))])
