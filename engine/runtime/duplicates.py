"""Values that only one component of an application may have, looked for before anything is created."""

from __future__ import annotations

from engine.core.diff import children
from engine.core.faults import EngineError, Fault, Kind
from engine.runtime.attributes import Attr
from engine.runtime.kinds import BadValueError, shown
from engine.runtime.types import Types
from sfdl.values import Description, Kept, Reference


def duplicates(root: Description, name: str, types: Types) -> list[Fault]:
    """Find values given twice to an attribute declared as unique, over all hosts.

    Args:
        root: The whole description.
        name: The application's, for complete names.
        types: Where component types are found; one that is not known here is passed over.

    Returns:
        One fault for each repetition, naming both components.
    """
    first: dict[tuple[int, object], str] = {}
    found: list[Fault] = []
    stack = [(root, name)]
    while stack:
        node, path = stack.pop()
        for declared, value in _given(node, path, types):
            holder = first.setdefault((id(declared), value), path)
            if holder != path:
                name_ = declared.called
                text = f"{name_} {shown(node.get(name_))} is given to {holder} as well"
                hint = f"give one of the two another {name_}"
                found.append(
                    Fault(Kind.BAD_DESCRIPTION, text, "SF-ATTR-002", path, hint, phase="create")
                )
        below = [(child, f"{path}:{child_name}") for child_name, child in children(node)]
        stack.extend(reversed(below))
    return found


def _given(node: Description, path: str, types: Types) -> list[tuple[Attr[object], object]]:
    kind = node.get("sfClass")
    if not isinstance(kind, str):
        return []
    try:
        cls = types.component(kind, where=path)
    except EngineError:
        return []
    given: list[tuple[Attr[object], object]] = []
    for declared in cls.declarations.unique:
        value = node.get(declared.called)
        if value is None or isinstance(value, Reference | Kept):
            continue
        try:
            read = declared.read(value)
        except BadValueError:  # told when it is bound
            continue
        if read not in {None, ""}:
            given.append((declared, read))
    return given
