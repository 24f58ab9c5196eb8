"""Which way a guest is told, and what each way can carry. Pure."""

from __future__ import annotations

from collections.abc import Collection

NETWORK = frozenset({"nameservers", "searchDomains", "mtu"})
HOST_KEYS = frozenset({"hostKeys", "hostKey"})
CARRIES = {
    "nocloud": NETWORK | {
        "sshKeys", "users", "userData", "vendorData", "files", "packages", "runCommands", "mounts",
        "instanceId",
    } | HOST_KEYS,
    "script-iso": NETWORK | {"sshKeys", "files", "runCommands", "instanceId"} | HOST_KEYS,
    "inject": NETWORK | {"interface", "sshKeys", "files", "mounts"} | HOST_KEYS,
    "kernel": frozenset({"interface"}),
    "mac": frozenset({"macPrefix"}),
    "agent": NETWORK | {
        "sshKeys", "users", "files", "packages", "runCommands", "mounts", "instanceId",
    } | HOST_KEYS,
}  # fmt: skip
"""Attributes of a `Context` that reach the guest, by mode; `auto` and `none` take any."""
UNPACKED = frozenset({"tar", "directory"})
"""Kinds of image that a filesystem is made from, which can be written to."""


def chosen(*, kind: str, holds: Collection[str], ip: str) -> str:
    """Choose a mode for an image.

    Args:
        kind: Of the image, as in `ImageFacts`; empty if it is not known.
        holds: What is known to be in it, as in `ImageFacts`.
        ip: The address to tell; empty for DHCP.

    Example:
        >>> chosen(kind="tar", holds=("etc",), ip="")
        'inject'
        >>> chosen(kind="qcow2", holds=("etc", "cloud-init"), ip="")
        'nocloud'
        >>> chosen(kind="raw", holds=(), ip="10.0.0.5"), chosen(kind="raw", holds=(), ip="")
        ('mac', 'none')
    """
    if "cloud-init" in holds:
        return "nocloud"
    if kind in UNPACKED and "etc" in holds:
        return "inject"
    return "mac" if ip else "none"


def not_carried(mode: str, given: Collection[str]) -> list[str]:
    """Return the attributes given that would not reach the guest that way, sorted.

    Example:
        >>> not_carried("mac", ("sshKeys", "macPrefix"))
        ['sshKeys']
    """
    carried = CARRIES.get(mode)
    return sorted(set(given) - carried) if carried is not None else []
