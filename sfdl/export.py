"""Resolved descriptions as source text, JSON, YAML and Graphviz drawings."""

from __future__ import annotations

import json

from sfdl.canonical import to_json
from sfdl.printer import print_file, print_value
from sfdl.references import reference_text
from sfdl.values import Description, Kept, Reference, Value, Vector

_LONGEST = 40


def exported(value: Value, form: str, *, whole: bool) -> str:
    """Return a value in one of the forms `sf json yaml dot`.

    Args:
        value: A resolved description, or a part of one.
        form: The form.
        whole: The value is a whole description: as source it becomes a file.

    Raises:
        ValueError: The form cannot hold the value.
    """
    if form == "json":
        return to_json(value)
    if form == "yaml":
        return _yaml(value)
    if form == "dot":
        if not isinstance(value, Description):
            raise ValueError("only a component can be drawn")
        return _dot(value)
    return print_file(value) if whole and isinstance(value, Description) else print_value(value)


def _yaml(value: Value) -> str:
    """Return YAML with the structure of the canonical JSON."""
    import yaml  # noqa: PLC0415 - only this form needs it

    try:
        plain = json.loads(to_json(value))
        return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
    except RecursionError:
        raise ValueError("components are too deep inside each other for YAML") from None


def _dot(root: Description) -> str:
    """Return a drawing: a box for each component, dashed arrows for lazy references."""
    lines = ["digraph description {", "  node [shape=box, fontname=monospace];"]
    pending: list[tuple[str, str, Description]] = [("n", "sfConfig", root)]
    while pending:
        key, name, component = pending.pop()
        rows = [name]
        for number, (attribute, value) in enumerate(component.attributes):
            if isinstance(value, Description):
                child = f"{key}_{number}"
                lines.append(f"  {key} -> {child};")
                pending.append((child, attribute, value))
            elif isinstance(value, Reference):
                lines.append(f"  {key} -> {_text(reference_text(value))} [style=dashed];")
            else:
                rows.append(f"{attribute} = {_shown(value)}")
        style = ", style=dotted" if component.data else ""
        lines.append(f"  {key} [label={_text(chr(10).join(rows), left=True)}{style}];")
    return "\n".join([*lines, "}\n"])


def _shown(value: Value) -> str:
    if isinstance(value, Vector) and len(value.items) > 4:
        return f"[{len(value.items)} elements]"
    text = value.function if isinstance(value, Kept) else print_value(value)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _text(text: str, *, left: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    end = "\\l" if left else "\\n"
    joined = end.join(escaped.split("\n"))
    return f'"{joined}{end if left else ""}"'
