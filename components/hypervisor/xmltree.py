"""Writing XML from structs: each field of a struct names its place in the document. Pure.

One class stands for one element. Adding a thing to a document means adding such a field.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from functools import cache
from typing import get_type_hints

import msgspec

from components.hypervisor.owner import OwnerRecord, owner_element


class BadSpecError(ValueError):
    """A specification that nothing can be made of; the text names the field and the trouble."""


class At(msgspec.Struct, frozen=True):
    """Place of a value below its element.

    "a/b" is the text of <a><b/></a>, "a/@b" an attribute. True is an empty element; a none, False
    or "" is left out. Elements are put below the path, "." being the element itself.
    """

    path: str


class Element(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the element classes."""


# Line breaks and tabs are legal in XML, but no value here needs them, and they hide things in logs.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def _text(value: str | int, where: str) -> str:
    text = str(value)
    if found := _FORBIDDEN.search(text):
        raise BadSpecError(
            f"{where}: character {found[0]!r} at position {found.start() + 1} is not allowed"
        )
    return text


@cache
def _places(kind: type[Element]) -> tuple[tuple[str, At], ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple((name, hints[name].__metadata__[0]) for name in kind.__struct_fields__)


def build(tag: str, element: Element) -> ET.Element:
    """Make the element of that name from a struct.

    Raises:
        BadSpecError: A text holds a control character.
    """
    root = ET.Element(tag)
    for name, at in _places(type(element)):
        _put(root, at.path, name, getattr(element, name))
    return root


def _put(root: ET.Element, path: str, name: str, value: object) -> None:
    if value is None or value is False or value in {"", ()}:
        return
    path, _, attribute = path.partition("@")
    for tag in path.strip("/").split("/"):
        if tag not in {"", "."}:
            found = root.find(tag)
            root = ET.SubElement(root, tag) if found is None else found
    match value:
        case True:
            pass  # the element's being there is all
        case str() | int() if attribute:
            root.set(attribute, _text(value, name))
        case str() | int():
            root.text = _text(value, name)
        case _:
            root.extend(_elements(name, value))


def _elements(name: str, value: object) -> list[ET.Element]:
    match value:
        case tuple():
            return [build(name, one) for one in value]
        case Element():
            return [build(name, value)]
        case OwnerRecord():
            for field in ("community", "application", "path"):
                _text(getattr(value, field), f"owner {field}")
            return [owner_element(value)]
        case _:
            raise TypeError(f"{name}: cannot be written as XML: {value!r}")


def write(tag: str, element: Element) -> str:
    """Write a document: indented, without XML declaration; the same struct gives the same text.

    Raises:
        BadSpecError: A text holds a control character.
    """
    root = build(tag, element)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"
