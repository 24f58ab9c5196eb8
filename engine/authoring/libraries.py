"""Libraries of prototypes and schemas, written from the declarations of component types."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, cast

import sfdl
from engine.authoring.catalogue import Entry
from engine.authoring.said import doc_of, summary
from engine.compound import Compound
from engine.core.secrecy import TAG
from engine.prim import Prim
from engine.runtime.attributes import REQUIRED, Attr
from sfdl.values import Value, Vector

WIDTH = 96
HEAD = """// {title}
//
// Written from the declarations by {writer}; change those, not this file.
// Sizes: a whole number is MiB, text has a unit ("512m", "1.5g"). Durations: in the unit the comment
// says, or text with a unit ("500ms", "2m").

#include "org/smartfrog/components.sf"
"""
KINDS = {"String", "Boolean", "Vector", "Long", "Double"}
"""Kinds that a schema can check; ranges, words and units are checked by the daemon."""


def library(title: str, entries: Sequence[Entry], writer: str, includes: Sequence[str] = ()) -> str:
    """Return the text of a library with these types.

    Args:
        title: Its first line.
        entries: The types, in order.
        writer: What writes it, for those who would change it by hand.
        includes: Further libraries that come with it.
    """
    more = "".join(f'#include "{name}"\n' for name in includes)
    parts = (_prototype(entry) for entry in entries)
    return HEAD.format(title=title, writer=writer) + more + "\n" + "\n\n".join(parts) + "\n"


def _value(declared: Attr[Any]) -> Value:
    default = declared.default
    return Vector(default) if isinstance(default, tuple) else cast("Value", default)


def _line(name: str, text: str, doc: str, tag: str = "") -> str:
    comment = textwrap.indent("\n".join(textwrap.wrap(doc, WIDTH)), "    // ")
    return f"{comment}\n    {tag}{name} {text};"


def _attribute(cls: type[Prim], name: str, declared: Attr[Any]) -> str:
    if name in cls.may_come_from_parent or declared.default is None:
        text = "NULL"
    elif declared.default is REQUIRED:
        text = "TBD"
    else:
        text = sfdl.print_value(_value(declared))
    words = f" One of {', '.join(declared.choices)}." if declared.choices else ""
    return _line(name, text, declared.doc + words, f"[{TAG}] " if TAG in declared.tags else "")


def _schema(cls: type[Prim], name: str, base: str) -> str:
    lines = [f"{name}Schema extends {base}Schema {{"]
    for attribute, declared in cls.declarations.attrs.items():
        kind = declared.kind.schema
        if kind in KINDS:
            doc = declared.doc.replace("\\", "\\\\").replace('"', '\\"')
            about = f'class [|"{kind}", "Null"|]; description "{doc}";'
            lines.append(f"    {attribute} extends Optional {{ {about} }}")
    return "\n".join([*lines, "}"])


def _comment(cls: type[Prim]) -> str:
    lines = textwrap.wrap(summary(cls), WIDTH)
    example = doc_of(cls).sections.get("Example", "")
    if not example:
        return f"/** {chr(10).join(lines)} */"
    return "\n".join(["/** " + "\n".join(lines), "", textwrap.indent(example, "    "), "*/"])


def _prototype(entry: Entry) -> str:
    cls, name = entry.cls, entry.name
    base = "Compound" if issubclass(cls, Compound) else "Prim"
    lines = [
        _schema(cls, name, base), "", _comment(cls), f"{name} extends {base} {{",
        f"    schema extends {name}Schema;", f'    sfClass "{entry.dotted}";',
    ]  # fmt: skip
    for attribute, declared in cls.declarations.attrs.items():
        lines.append(_attribute(cls, attribute, declared))
    for attribute, link in cls.declarations.links.items():
        needed = link.required and attribute not in cls.may_come_from_parent
        doc = f"Reference to {link.face.__name__}: {link.doc}"
        lines.append(_line(attribute, "TBD" if needed else "NULL", doc))
    return "\n".join([*lines, "}"])
