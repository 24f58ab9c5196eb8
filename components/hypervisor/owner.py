"""The owner record that every domain and network we make carries in its XML metadata. Pure."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from typing import Protocol

import msgspec

from components.hypervisor.trusted_xml import parsed
from engine.runtime.effects import Owner

NAMESPACE = "urn:smartdomains:owner:1"
"""XML namespace of the record."""

_PREFIX = "smartdomains"
_TAG = f"{{{NAMESPACE}}}owner"

ET.register_namespace(_PREFIX, NAMESPACE)


class OwnerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a thing is.

    Attributes:
        community: The set of daemons that trust each other.
        application: Name of the application.
        path: Complete path of the component, as "pool:host1:domain1".
        incarnation: Greater for every creation of that path.
        daemon: Id of the process that made it; empty where that was not written down.
    """

    community: str
    application: str
    path: str
    incarnation: int
    daemon: str = ""

    def same_component(self, other: OwnerRecord) -> bool:
        """Say whether both belong to the same component, whatever the incarnation."""
        return (self.community, self.application, self.path) == (
            other.community,
            other.application,
            other.path,
        )


def owner_element(owner: OwnerRecord) -> ET.Element:
    """Make the element to put under `<metadata>`.

    Example:
        >>> owner = OwnerRecord(community="lab", application="pool", path="pool:a", incarnation=2)
        >>> owner_element(owner).get("path")
        'pool:a'
    """
    words = {
        "community": owner.community,
        "application": owner.application,
        "path": owner.path,
        "incarnation": str(owner.incarnation),
    }
    return ET.Element(_TAG, {**words, "daemon": owner.daemon} if owner.daemon else words)


def owner_text(owner: OwnerRecord) -> str:
    """Write the element as text without its namespace, which libvirt puts in itself.

    Example:
        >>> owner_text(OwnerRecord(community="lab", application="a", path="a:b", incarnation=2))
        '<owner community="lab" application="a" path="a:b" incarnation="2" />'
    """
    return ET.tostring(ET.Element("owner", owner_element(owner).attrib), encoding="unicode")


class Owned(Protocol):
    """Something with an owner record, if it was we who made it."""

    @property
    def owner(self) -> OwnerRecord | None:
        """Return the record."""


def owner_record(owner: Owner, daemon: str = "") -> OwnerRecord:
    """Write an owner as the hypervisor keeps it, with the id of the process that makes the thing."""
    return OwnerRecord(
        community=owner.community, application=owner.application, path=owner.path,
        incarnation=owner.incarnation, daemon=daemon,
    )  # fmt: skip


def is_ours(thing: Owned, owner: Owner, *, exactly: bool) -> bool:
    """Say whether a thing is that of this component; `exactly` wants this creation of it."""
    record = thing.owner
    if record is None:
        return False
    theirs = Owner(record.community, record.application, record.path, record.incarnation)
    return theirs == owner if exactly else theirs.same_place(owner)


def holder_of(thing: Owned) -> str:
    """Say whose a thing is, for a message."""
    return thing.owner.path if thing.owner is not None else "not made by smartdomains"


def owner_in(domain: ET.Element) -> OwnerRecord | None:
    """Read the record out of a parsed document; none when there is none or it is not whole."""
    element = domain.find(f"metadata/{_TAG}")
    if element is None:
        return None
    with contextlib.suppress(KeyError, ValueError):
        return OwnerRecord(
            community=element.attrib["community"],
            application=element.attrib["application"],
            path=element.attrib["path"],
            incarnation=int(element.attrib["incarnation"]),
            daemon=element.get("daemon", ""),
        )
    return None


def owner_of(xml: str) -> OwnerRecord | None:
    """Read the owner record out of a domain's XML text.

    Returns:
        The record, or none when the domain is not ours.

    Raises:
        xml.etree.ElementTree.ParseError: The text is not XML.

    Example:
        >>> owner_of("<domain type='test'/>") is None
        True
    """
    return owner_in(parsed(xml))
