"""Reading XML that we or libvirt have written; what a user has written is read elsewhere, with care."""

from __future__ import annotations

import xml.etree.ElementTree as ET


def parsed(xml: str) -> ET.Element:
    """Return the outermost element of a document.

    Raises:
        xml.etree.ElementTree.ParseError: The text is not XML.

    Example:
        >>> parsed("<domain type='test'/>").get("type")
        'test'
    """
    return ET.fromstring(xml)  # noqa: S314 - the callers' promise
