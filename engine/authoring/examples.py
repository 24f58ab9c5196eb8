"""An example of use for each type: the one of its docstring, or one made of what must be given."""

from __future__ import annotations

from typing import Any

import sfdl
from engine.authoring.catalogue import Entry
from engine.authoring.said import doc_of
from engine.runtime.attributes import REQUIRED, Attr
from engine.runtime.kinds import BadValueError
from sfdl.values import Description, Value, Vector

SAMPLES: tuple[Value, ...] = (
    "example", 1, True, 1.5, Vector(("one", "two")), Vector(("10.0.0.0/24",)), "/tmp/example", "http://localhost/",  # noqa: S108 - shown only
    "10.0.0.1", "10.0.0.0/24", "52:54:00:00:00:01", "255.255.255.0", "1s", "test:///default",
    "localhost:80", "30 2 * * 1-5", "cron.service", Description((("word", "value"),), data=True),
    "a" * 64,
)  # fmt: skip


def example_of(entry: Entry) -> str:
    """Return a prototype at work, as it stands in a description."""
    written = doc_of(entry.cls).sections.get("Example")
    if written:
        return written
    lines = [
        f"    {name} {sfdl.print_value(sample(declared))};"
        for name, declared in entry.cls.declarations.attrs.items()
        if declared.default is REQUIRED
    ]
    lines += [
        f"    {name} LAZY ATTRIB other;"
        for name, link in entry.cls.declarations.links.items()
        if link.required
    ]
    name = f"{entry.name[0].lower()}{entry.name[1:]}"
    name = f"my{entry.name}" if name == entry.name else name
    body = " {\n" + "\n".join(lines) + "\n}" if lines else ";"
    return f"{name} extends {entry.name}{body}"


def sample(declared: Attr[Any]) -> Value:
    """Return a value that an attribute takes.

    Raises:
        LookupError: None of those known fits.
    """
    for value in (*declared.choices, declared.ge, *SAMPLES):
        try:
            declared.read(value)
        except BadValueError:
            continue
        return value
    raise LookupError(f"no example is known for a {declared.kind.name}: write one in the docstring")
