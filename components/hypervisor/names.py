"""Names and UUIDs of what is made at a hypervisor."""

from __future__ import annotations

import hashlib
import re
import uuid as uuids

from engine.core.faults import BadDescription
from engine.runtime.kinds import BadValueError, Kind, shown
from sfdl.values import Value

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}")
_ODD = re.compile(r"[^A-Za-z0-9._+-]")
LONGEST = 63


def name_from_path(path: str) -> str:
    """Make a domain name from a component's complete name; a long one is cut in its middle.

    Example:
        >>> name_from_path("pool:computer1:domain1")
        'pool-computer1-domain1'
    """
    name = _ODD.sub("-", path.replace(":", "-")).lstrip("-._+") or "domain"
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(path.encode()).hexdigest()[:8]
    half = (LONGEST - len(digest) - 2) // 2
    return f"{name[:half]}-{digest}-{name[-half:]}"


def trouble_with(name: str) -> str:
    """Say why a hypervisor would not take a name; nothing if it would.

    Example:
        >>> trouble_with("a/b")
        "'/' is not allowed"
    """
    if _NAME.fullmatch(name):
        return ""
    odd = _ODD.search(name)
    if odd is not None:
        return f"{odd[0]!r} is not allowed"
    if len(name) > LONGEST:
        return f"it has {len(name)} characters, at most {LONGEST} are allowed"
    return "it must begin with a letter or digit"


def check_name(name: str, *, where: str, called: str = "domainName") -> str:
    """Return the name if a hypervisor takes it.

    Raises:
        BadDescription: It does not; the message shows the offending character.
    """
    why = trouble_with(name)
    if not why:
        return name
    raise BadDescription(
        f"{called} {name!r}: {why}", code="SF-NAME-006", where=where,
        hint="letters, digits and . _ + - only",
    )  # fmt: skip


def _name(value: Value) -> str:
    if not isinstance(value, str):
        raise BadValueError(f"must be a string (got {shown(value)})")
    why = trouble_with(value) if value else ""
    if why:
        raise BadValueError(
            f"{why} in a name; letters, digits and . _ + - only (got {shown(value)})"
        )
    return value


def _uuid(value: Value) -> str:
    text = value if isinstance(value, str) else ""
    if value == "":
        return ""
    try:
        return str(uuids.UUID(text))
    except ValueError:
        raise BadValueError(
            f"must be a UUID such as 6ba7b810-9dad-41d1-80b4-00c04fd430c8 (got {shown(value)})"
        ) from None


uuid_kind = Kind("UUID", "String", _uuid)
name_kind = Kind("name", "String", _name)
"""A name at the hypervisor, at most 63 characters; empty where it is to be derived."""


def uuid_of(community: str, application: str, path: str, kind: str = "domain") -> str:
    """Derive a UUID from a component's place, so that a redeployment finds the same thing."""
    namespace = uuids.uuid5(uuids.NAMESPACE_URL, f"smartdomains:{kind}")
    return str(uuids.uuid5(namespace, f"{community}/{application}/{path}"))
