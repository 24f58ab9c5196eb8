"""Which hypervisor a component means: the one it names, else the one its surroundings name."""

from __future__ import annotations

import os
import re
from pathlib import Path

from engine.prim import Prim
from engine.runtime.kinds import BadValueError, Kind, shown
from sfdl.values import Value

XEN = (Path("/proc/xen/capabilities"), Path("/sys/hypervisor/type"))


def default_uri() -> str:
    """Return the URI of this host's own hypervisor; libvirt's test driver is never chosen."""
    for mark in XEN:
        try:
            if "xen" in mark.read_text() or mark.name == "capabilities":
                return "xen:///system"
        except OSError:
            continue
    return "qemu:///system" if os.geteuid() == 0 else "qemu:///session"


async def uri_for(prim: Prim, given: str) -> str:
    """Return the URI of a component's hypervisor.

    Args:
        prim: The component.
        given: What it says itself; then what stands above it, the daemon's setting, and the host's
            own hypervisor are asked in turn.
    """
    if given:
        return given
    above = await prim.above("hypervisorUri")
    if isinstance(above, str) and above:
        return above
    return prim.settings.hypervisor_uri or default_uri()


def scheme_of(uri: str) -> str:
    """Return the kind of hypervisor at a URI.

    Example:
        >>> scheme_of("qemu+unix:///system?socket=/run/x")
        'qemu'
    """
    return uri.partition(":")[0].partition("+")[0]


def is_local(uri: str) -> bool:
    """Say whether a URI leads to this host's own hypervisor, so that devices here are devices there.

    Example:
        >>> is_local("qemu:///system"), is_local("qemu+unix:///system?socket=/run/x")
        (True, False)
    """
    scheme, _, rest = uri.partition("://")
    return "+" not in scheme and rest.startswith("/")


def sees_our_files(uri: str) -> bool:
    """Say whether a URI leads to a hypervisor that finds our folders and programs where we do.

    One that listens on a socket of this machine does, also if it has network devices of its own.

    Example:
        >>> sees_our_files("qemu+unix:///system?socket=/run/x"), sees_our_files("qemu+ssh://b/system")
        (True, False)
    """
    scheme, _, rest = uri.partition("://")
    return scheme.partition("+")[2] in {"", "unix"} and rest.startswith("/")


_URI = re.compile(r"[a-z][a-z0-9]*(\+[a-z0-9]+)?://[^\s]*")


def _uri(value: Value) -> str:
    if not isinstance(value, str):
        raise BadValueError(f"must be a string (got {shown(value)})")
    if value and _URI.fullmatch(value) is None:
        raise BadValueError(
            f"is no address of a hypervisor; write qemu:///system or xen:///system (got {shown(value)})"
        )
    return value


uri_kind = Kind("hypervisor URI", "String", _uri)
"""A libvirt URI such as qemu:///system; may be empty."""
