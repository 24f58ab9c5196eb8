"""Pages of reference in Markdown, written from the declarations of component types."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import sfdl
from engine.authoring.catalogue import Entry
from engine.authoring.examples import example_of
from engine.authoring.said import errors, events, summary
from engine.core.secrecy import TAG
from engine.prim import Prim
from engine.runtime.attributes import REQUIRED, Attr
from engine.runtime.kinds import Kind, shown, size_bytes
from sfdl.values import Value, Vector

_UNIT = re.compile(r"duration, (\w+)(.*)")
COLUMNS = "| attribute | type | unit | default | meaning |\n|---|---|---|---|---|"


def section(entry: Entry, level: int = 2) -> str:
    """Return the section of one type: what it is, attributes, methods, events, errors, example."""
    cls = entry.cls
    head = f"{'#' * level} {entry.name}\n\n"
    parts = [head + f'`sfClass "{entry.dotted}"`, short name `{entry.short}`. {summary(cls)}']
    rows = [*_attributes(cls), *_links(cls), *_outputs(cls)]
    if rows:
        parts.append("\n".join([COLUMNS, *rows]))
    if cls.reserved:
        pairs = ", ".join(f"`{name} {sfdl.print_value(it)}`" for name, it in cls.reserved.items())
        parts.append(f"Its own defaults of reserved attributes: {pairs}.")
    parts.extend(_list("Methods others may call", _methods(cls)))
    parts.extend(_list("Events", events(cls)))
    parts.extend(_list("Errors", errors(cls)))
    parts.append(f"```sf\n{example_of(entry)}\n```")
    return "\n\n".join(parts) + "\n"


def page(head: str, families: Mapping[str, Sequence[Entry]]) -> str:
    """Return a whole page: a head, and the types of each family under its heading."""
    parts = [head.rstrip() + "\n"]
    for title, members in families.items():
        names = ", ".join(f"[{each.name}](#{each.name.lower()})" for each in members)
        parts.append(f"## {title}\n\n{names}\n")
        parts.extend(section(each, 3) for each in members)
    return "\n".join(parts)


def unit_of(kind: Kind[Any]) -> tuple[str, str]:
    """Return what a kind is called, and the unit of its plain numbers.

    Example:
        >>> from engine.runtime.kinds import duration_ms, str_
        >>> unit_of(duration_ms), unit_of(size_bytes), unit_of(str_)
        (('duration', 'ms'), ('size', 'MiB'), ('string', ''))
    """
    if kind is size_bytes:
        return kind.name, "MiB"
    found = _UNIT.fullmatch(kind.name)
    return (f"duration{found[2]}", found[1]) if found else (kind.name, "")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _default(declared: Attr[Any]) -> str:
    default = declared.default
    if default is REQUIRED:
        return "*required*"
    if default is None:
        return ""
    if isinstance(default, tuple):
        text = sfdl.print_value(Vector(tuple(default)))
    else:
        text = shown(cast("Value", default))
    return f"`{_cell(text)}`"


def limits(declared: Attr[Any]) -> str:
    """Say in words what limits an attribute has, or nothing."""
    spell = declared.kind.spell
    if declared.choices:
        return f"One of {', '.join(word or '(empty)' for word in declared.choices)}."
    if declared.ge is not None and declared.le is not None:
        return f"{spell(declared.ge)} to {spell(declared.le)}."
    if declared.ge is not None:
        return f"{spell(declared.ge)} or more."
    return f"At most {spell(declared.le)}." if declared.le is not None else ""


def _attributes(cls: type[Prim]) -> Iterable[str]:
    for name, declared in cls.declarations.attrs.items():
        type_, unit = unit_of(declared.kind)
        while_it_runs = "May be changed while it runs." if "updatable" in declared.tags else ""
        secret = "Secret: nobody is shown it." if TAG in declared.tags else ""
        meaning = " ".join(filter(None, (declared.doc, limits(declared), while_it_runs, secret)))
        yield (f"| `{name}` | {_cell(type_)} | {unit} | {_default(declared)} | {_cell(meaning)} |")


def _links(cls: type[Prim]) -> Iterable[str]:
    for name, link in cls.declarations.links.items():
        default = "*required*" if link.required else ""
        kind = f"reference to {link.face.__name__}"
        yield f"| `{name}` | {kind} | | {default} | {_cell(link.doc)} |"


def _outputs(cls: type[Prim]) -> Iterable[str]:
    for name, written in cls.declarations.outputs.items():
        kind = getattr(written.type, "__name__", str(written.type))
        yield f"| `{name}` | {kind}, written by the component | | | {_cell(written.doc)} |"


def _methods(cls: type[Prim]) -> dict[str, str]:
    found = {}
    for name, role in cls.declarations.methods.items():
        method = getattr(cls, name)
        words = [each for each in inspect.signature(method).parameters if each != "self"]
        doc = inspect.cleandoc(method.__doc__ or "").partition("\n\n")[0]
        found[f"{name}({', '.join(words)})"] = f"{doc} For {role}s."
    return found


def _list(title: str, rows: Mapping[str, str]) -> list[str]:
    if not rows:
        return []
    lines = [f"- `{name}`{': ' if text else ''}{_cell(text)}" for name, text in rows.items()]
    return [f"{title}:\n\n" + "\n".join(lines)]
