"""The last word on a machine's XML: elements set, added and removed by what a description says; pure."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Literal, cast

from msgspec import Struct

from components.hypervisor.owner import owner_of
from components.hypervisor.trusted_xml import parsed
from components.hypervisor.xmltree import BadSpecError
from engine.runtime.kinds import BadValueError, Kind, plain, shown
from sfdl.values import Value, Vector

ACTIONS = ("set", "add", "remove")
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
ET.register_namespace("qemu", QEMU)
_ATTRIBUTE = re.compile(r"(.*?)/?@([A-Za-z_][\w.-]*)")
_HOST = re.compile(r"/")
_OUTSIDE = {"dev", "file", "dir", "path", "volume", "socket"}
"""Attributes of a device that name something of its host."""
_PASSED = {"hostdev", "commandline", "emulator", "redirdev", "filesystem", "shmem"}
"""Elements that let a guest at something of its host by their being there."""


class Override(Struct, frozen=True):
    """One change of the XML.

    Attributes:
        path: From the domain on, in the part of XPath that Python's ElementTree knows; `@name` at its
            end is an attribute.
        action: What is done there.
        value: The text of what is set, or the XML of the element that is added below.
    """

    path: str
    action: Literal["set", "add", "remove"]
    value: str = ""

    @property
    def element(self) -> str:
        """Return the path of the element meant."""
        found = _ATTRIBUTE.fullmatch(self.path)
        return (found[1] if found else self.path) or "."

    @property
    def attribute(self) -> str:
        """Return the attribute meant, or nothing."""
        found = _ATTRIBUTE.fullmatch(self.path)
        return found[2] if found else ""


def fragment(text: str) -> ET.Element:
    """Read the XML of one element.

    Raises:
        BadValueError: It is none.
    """
    if "<!" in text:
        raise BadValueError("may have no declarations, comments or CDATA")
    try:
        return ET.fromstring(text)  # noqa: S314 - declarations, and entities with them, are refused
    except ET.ParseError as error:
        raise BadValueError(f"is no XML element: {error}") from error


def override(path: str, action: str, value: str) -> Override:
    """Check one change, as far as that can be done without the document.

    Raises:
        BadValueError: The text says what is wrong.

    Example:
        >>> override("/domain/devices/disk[1]/driver/@cache", "set", "none").element
        'devices/disk[1]/driver'
    """
    if action not in ACTIONS:
        raise BadValueError(f'{path}: must be {", ".join(ACTIONS)} (got "{action}")')
    inner = path.strip().removeprefix("/domain").lstrip("/") or "."
    made = Override(inner, cast('Literal["set", "add", "remove"]', action), value)
    if made.element in {".", ""} and (
        action == "remove" or (action == "set" and not made.attribute)
    ):
        raise BadValueError(f"{path}: the domain itself cannot be {action}")
    try:
        if made.element.count("[") != made.element.count("]"):
            raise BadValueError("a bracket is missing")
        ET.Element("domain").findall(made.element)
        if action == "add":
            if made.attribute:
                raise BadValueError("an attribute is set, not added")
            fragment(value)
    except (SyntaxError, KeyError, ValueError) as error:
        raise BadValueError(f"{path}: {error}") from error
    return made


def _overrides(value: Value) -> tuple[Override, ...]:
    if not isinstance(value, Vector):
        raise BadValueError(f"must be a list of [xpath, action, value] (got {shown(value)})")
    made = []
    for item in value.items:
        words = plain(item)
        texts = list(words) if isinstance(words, tuple) else []
        if not (2 <= len(texts) <= 3 and all(isinstance(text, str) for text in texts)):
            raise BadValueError(f"must be a list of [xpath, action, value] (got {shown(item)})")
        if (len(texts) == 2) != (texts[1] == "remove"):
            raise BadValueError(f"{texts[0]}: set and add take a value, remove takes none")
        made.append(override(*(str(text) for text in [*texts, ""][:3])))
    return tuple(made)


overrides_kind = Kind("list of [xpath, action, value]", "Vector", _overrides)


def overridden(document: str, overrides: tuple[Override, ...]) -> str:
    """Apply changes to a document, in order.

    Raises:
        BadSpecError: A path leads nowhere, or the machine would be another one, or nobody's.

    Example:
        >>> text = "<domain><name>a</name><devices><disk /></devices></domain>"
        >>> change = override("devices/disk/@snapshot", "set", "no")
        >>> "<disk snapshot=" in overridden(text, (change,))
        True
    """
    if not overrides:
        return document
    root = parsed(document)
    for one in overrides:
        _apply(root, one)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode") + "\n"
    for name in ("name", "uuid", "title"):
        before = parsed(document).findtext(name)
        if root.findtext(name) != before or len(root.findall(name)) > 1:
            raise BadSpecError(f"xmlOverride: {name} is not to be overridden")
    if owner_of(text) != owner_of(document) or len(root.findall("metadata")) > 1:
        raise BadSpecError("xmlOverride: the owner in its metadata is not to be overridden")
    return text


def _apply(root: ET.Element, one: Override) -> None:
    found = root.findall(one.element) if one.element != "." else [root]
    if one.action == "remove" and one.attribute:
        found = [element for element in found if one.attribute in element.attrib]
    if not found:
        raise BadSpecError(f"xmlOverride: {one.path} leads to nothing in the XML")
    parents = {child: parent for parent in root.iter() for child in parent}
    for element in found:
        match one.action:
            case "set" if one.attribute:
                element.set(one.attribute, one.value)
            case "set":
                element.text = one.value
            case "add":
                element.append(fragment(one.value))
            case "remove" if one.attribute:
                del element.attrib[one.attribute]
            case "remove":
                parents[element].remove(element)


def escapes(before: str, after: str) -> tuple[str, ...]:
    """Return what of its host a machine gets at by its overrides, beyond what is described.

    Example:
        >>> escapes("<domain><devices/></domain>",
        ...         "<domain><devices><disk><source dev='/dev/sdb'/></disk></devices></domain>")
        ('/dev/sdb',)
    """
    known = _reached(before)
    return tuple(dict.fromkeys(each for each in _reached(after) if each not in known))


def _reached(document: str) -> list[str]:
    reached = []
    for element in parsed(document).iter():
        tag = element.tag.rpartition("}")[2]
        if tag in _PASSED:
            reached.append(tag)
        for name, value in element.attrib.items():
            if name in _OUTSIDE and _HOST.match(value):
                reached.append(value)
        if element.text and _HOST.match(element.text.strip()):
            reached.append(element.text.strip())
        if tag == "arg":
            reached.append(element.get("value", ""))
    return [each for each in reached if each]
