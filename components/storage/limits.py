"""How fast the volumes of a machine may be read and written."""

from __future__ import annotations

from msgspec import Struct

from engine.runtime.kinds import BadValueError, Kind, int_, shown, size_bytes
from sfdl.values import Description, Value

BYTES = {"bytes": "total_bytes", "readBytes": "read_bytes", "writeBytes": "write_bytes"}
OPERATIONS = {"iops": "total_iops", "readIops": "read_iops", "writeIops": "write_iops"}


class IoLimits(Struct, frozen=True):
    """Most a guest gets of each of its disks, in a second; nothing: no limit.

    Attributes:
        total_bytes: Read and written together; not beside limits of either.
        total_iops: Operations, likewise.
    """

    total_bytes: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None
    total_iops: int | None = None
    read_iops: int | None = None
    write_iops: int | None = None


def _limits(value: Value) -> IoLimits:
    if not isinstance(value, Description):
        raise BadValueError(f"must be a component of data (got {shown(value)})")
    known = {**BYTES, **OPERATIONS}
    given = {name: each for name, each in value.attributes if each is not None}
    strange = sorted(set(given) - set(known) - {"sfClass"})
    if strange:
        raise BadValueError(f"has no {strange[0]}; it has {', '.join(known)}")
    found: dict[str, int] = {}
    for name, field in known.items():
        if name in given:
            kind = size_bytes if name in BYTES else int_
            found[field] = kind.read(given[name])
            if found[field] < 1:
                raise BadValueError(f"{name} must be at least 1 (got {shown(given[name])})")
    for total, what in (("bytes", "Bytes"), ("iops", "Iops")):
        for part in (f"read{what}", f"write{what}"):
            if total in given and part in given:
                raise BadValueError(f"has both {total}, for all together, and {part}")
    return IoLimits(**found)


limits_kind = Kind("component of data", "CD", _limits)
"""Data with bytes, readBytes, writeBytes (sizes a second), iops, readIops and writeIops."""
