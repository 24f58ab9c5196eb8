"""What a check of a machine has found, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

GOOD, NOTE, WARNING, MISSING = "good", "note", "warning", "missing"
"""As it should be; worth knowing; works, but not as it should; something needed does not work."""


class Finding(Struct, frozen=True):
    """One thing looked at.

    Attributes:
        topic: `versions`, `programs`, `rights`, `limits`, `kvm`, `network`, `ports`, `state`,
            `certificates`, `clock`, `peers`, `hypervisor`, or what another package checks.
        what: The thing.
        verdict: `good`, `note`, `warning` or `missing`.
        text: How it is.
        todo: What to do about it; empty where there is nothing to do.
    """

    topic: str
    what: str
    verdict: str
    text: str
    todo: str = ""


def fit(findings: Iterable[Finding]) -> bool:
    """Say whether a machine can be a host: nothing needed is missing.

    Example:
        >>> fit([Finding("kvm", "/dev/kvm", WARNING, "no module")]), fit([])
        (True, True)
        >>> fit([Finding("programs", "ip", MISSING, "not found")])
        False
    """
    return not any(finding.verdict == MISSING for finding in findings)
