"""Mistakes in descriptions that are to be created later, looked for before anything starts."""

from __future__ import annotations

from engine.core.faults import BadDescription, EngineError
from engine.core.secrecy import TAG, secret_names
from engine.runtime.kinds import BadValueError
from engine.runtime.types import Types
from sfdl.values import Description, Kept, Reference, Value


def look_over(root: Description, path: str, types: Types) -> None:
    """Check what can be known about a description that a component keeps for later.

    Plain values are checked against the declarations of their types; what is missing may still be added
    when the time comes, and a type that is not known here may be elsewhere.

    Args:
        root: The description.
        path: Complete name it would have.
        types: Where component types are found.

    Raises:
        BadDescription: One or more values do not fit; the text lists them all.
    """
    wrong: list[str] = []
    stack = [(root, path)]
    while stack:
        node, where = stack.pop()
        wrong.extend(_wrong(node, where, types))
        below = [
            (value, f"{where}:{name}")
            for name, value in node.attributes
            if isinstance(value, Description) and value.get("sfClass") is not None
        ]
        stack.extend(reversed(below))
    if wrong:
        raise BadDescription("; ".join(wrong), code="SF-ATTR-001", where=path, phase="deploy")


def _wrong(node: Description, where: str, types: Types) -> list[str]:
    kind = node.get("sfClass")
    try:
        cls = types.component(kind, where=where) if isinstance(kind, str) else None
    except EngineError:
        return []
    if cls is None:
        return []
    found = []
    secret = secret_names(node)
    for name, declared in cls.declarations.attrs.items():
        value: Value = node.get(name)
        if value is None or isinstance(value, Reference | Kept):
            continue
        try:
            declared.read(value)
        except BadValueError as error:
            hidden = name in secret or TAG in declared.tags
            found.append(f"{where}.{name}: {'does not fit' if hidden else error}")
    return found
