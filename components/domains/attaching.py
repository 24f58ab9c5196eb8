"""What a user says to give a machine a further disk or interface, or to take one away. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from components.domains.further import FurtherInterface
from engine.runtime.kinds import BadValueError
from sfdl.values import Description, Value, Vector

KINDS = {"disk": "disks", "network": "interfaces", "bridge": "interfaces"}
"""What can be attached, and the attribute that describes it."""
_WORDS: dict[str, Value] = {"true": True, "false": False}


def _read(text: str) -> Value:
    return int(text) if text.isdecimal() else _WORDS.get(text, text)


def row(kind: str, source: Value, options: str) -> Description:
    """Describe a disk or an interface as descriptions do.

    Args:
        kind: One of `KINDS`.
        source: A path, or the name of a network or bridge; or a reference to what says which.
        options: Further attributes of it, as `name=value` with blanks between.

    Raises:
        BadValueError: An option is none.

    Example:
        >>> row("disk", "/srv/a", "format=qcow2 readOnly=true").attributes
        (('path', '/srv/a'), ('format', 'qcow2'), ('readOnly', True))
    """
    pairs: list[tuple[str, Value]] = [("path" if kind == "disk" else kind, source)]
    for word in options.split():
        name, found, value = word.partition("=")
        if not found or not name or name in dict(pairs):
            raise BadValueError(
                f"must be name=value, each name once, blanks between (got {word!r})"
            )
        pairs.append((name, _read(value)))
    return Description(tuple(pairs))


def without(
    rows: Sequence[Value], described: Sequence[FurtherInterface], macs: Sequence[str], index: int
) -> Vector:
    """Take an interface away; those that have their address by counting keep it.

    Args:
        rows: The interfaces as they are described.
        described: The same, read.
        macs: Their addresses.
        index: The one that goes.
    """
    gone = described[index]
    left: list[Value] = []
    for place, (item, one) in enumerate(zip(rows, described, strict=True)):
        counted = not one.mac and not one.ip and (one.kind, one.source) == (gone.kind, gone.source)
        if place > index and counted:
            whole = item if isinstance(item, Description) else Description(((one.kind, item),))
            left.append(whole.replaced("mac", macs[place]))
        elif place != index:
            left.append(item)
    return Vector(tuple(left))
