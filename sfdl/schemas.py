"""What an element of a schema demands of one attribute.

An element names an attribute of the component that contains the schema, whether it may be missing,
whether it has to be eager or lazy, and the kinds it may have. The class names of the original
implementation are aliases of the kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sfdl.values import Bytes, Description, Float, Kept, Long, Reference, Value, Vector
from sfdl.world import kind_of

ANY = "anyClass"


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "Integer": _is_int,
    "String": lambda value: isinstance(value, str),
    "Boolean": lambda value: isinstance(value, bool),
    "Vector": lambda value: isinstance(value, Vector),
    "CD": lambda value: isinstance(value, Description),
    "Long": lambda value: _is_int(value) or isinstance(value, Long),
    "Double": lambda value: _is_int(value) or isinstance(value, Long | float | Float),
    "Float": lambda value: _is_int(value) or isinstance(value, Float),
    "Null": lambda value: value is None,
    "Reference": lambda value: isinstance(value, Reference),
    "Bytes": lambda value: isinstance(value, Bytes),
    ANY: lambda _value: True,
}
_ALIASES = {
    "java.lang.Integer": "Integer",
    "java.lang.String": "String",
    "java.lang.Boolean": "Boolean",
    "java.lang.Long": "Long",
    "java.lang.Double": "Double",
    "java.lang.Float": "Float",
    "java.util.Vector": "Vector",
    "java.util.List": "Vector",
    "org.smartfrog.sfcore.common.SFNull": "Null",
    "org.smartfrog.sfcore.reference.Reference": "Reference",
    "org.smartfrog.sfcore.componentdescription.ComponentDescription": "CD",
}


def broken_rule(element: Mapping[str, Value], *, present: bool, value: Value) -> str | None:
    """Check one attribute against one element of a schema.

    Args:
        element: `name`, `optional`, `binding`, `class` and perhaps `description`.
        present: Whether the component has the attribute.
        value: Its value, if it has.

    Returns:
        None if all is well, else what is wrong, naming the attribute.
    """
    name = element.get("name")
    about = element.get("description")
    meaning = f" ({about})" if isinstance(about, str) and about else ""
    if not present:
        if element.get("optional") is True:
            return None
        return f"the attribute `{name}`{meaning} is missing"
    binding = element.get("binding", "anyBinding")
    lazy = isinstance(value, Reference | Kept) and value.lazy
    if binding == "eager" and lazy:
        return f"the attribute `{name}`{meaning} must not be lazy"
    if binding == "lazy" and not lazy:
        return f"the attribute `{name}`{meaning} has to be lazy, but is {kind_of(value)}"
    if lazy:
        return None
    wanted = _class_names(element.get("class", ANY))
    unknown = [kind for kind in wanted if kind not in _KINDS]
    if unknown:
        return f"the schema of `{name}` names `{unknown[0]}`, which is no kind of value"
    if any(_KINDS[kind](value) for kind in wanted):
        return None
    return (
        f"the attribute `{name}`{meaning} is {kind_of(value)}; it has to be {' or '.join(wanted)}"
    )


def _class_names(value: Value) -> list[str]:
    names = value.items if isinstance(value, Vector) else (value,)
    return [_ALIASES.get(name, name) if isinstance(name, str) else kind_of(name) for name in names]
