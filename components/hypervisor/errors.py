"""Every libvirt error, mapped once to `HypervisorError` with a kind and a hint.

Callers act on the kind; people read the hint. Start at `from_libvirt`.
"""

from __future__ import annotations

import grp
import pwd
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import libvirt
from typing_extensions import override

from sfdl.errors import SmartDomainsError

Kind = Literal[
    "NotFound", "NameTaken", "Unsupported", "Unreachable", "Refused", "Timeout", "Internal"
]


class HypervisorError(SmartDomainsError):
    """A call on a hypervisor failed.

    Attributes:
        kind: What it means to the caller. `Unreachable` and `Timeout` leave the outcome unknown.
        number: libvirt's error number; -1 when libvirt was not asked.
        domain: libvirt's number of the part that failed; -1 when libvirt was not asked.
        message: libvirt's text, or ours.
        step: The call that failed, such as "start".
        name: Name of the virtual machine, or its UUID where the name is not known; may be empty.
        hint: What to look at or do; may be empty.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        step: str,
        name: str = "",
        hint: str = "",
        code: int = -1,
        domain: int = -1,
    ) -> None:
        super().__init__(message, code="SF-HV-001", hint=hint, where=name)
        self.kind: Kind = kind
        self.step = step
        self.name = name
        self.number = code
        self.domain = domain

    @override
    def __str__(self) -> str:
        subject = f"{self.step} {self.name}".rstrip()
        number = f" (libvirt {self.number}/{self.domain})" if self.number >= 0 else ""
        hint = f"; hint: {self.hint}" if self.hint else ""
        return " ".join(f"{self.kind}: {subject}: {self.message}{number}{hint}".split())

    @override
    def __reduce__(self) -> tuple[Callable[..., HypervisorError], tuple[object, ...]]:
        fields = (
            self.kind,
            self.message,
            self.step,
            self.name,
            self.hint,
            self.number,
            self.domain,
        )
        return _rebuild, fields


def _rebuild(
    kind: Kind, message: str, step: str, name: str, hint: str, code: int, domain: int
) -> HypervisorError:
    return HypervisorError(kind, message, step=step, name=name, hint=hint, code=code, domain=domain)


_KIND_OF_CODE: dict[int, Kind] = {
    libvirt.VIR_ERR_NO_DOMAIN: "NotFound",
    libvirt.VIR_ERR_NO_NETWORK: "NotFound",
    libvirt.VIR_ERR_NO_STORAGE_POOL: "NotFound",
    libvirt.VIR_ERR_NO_STORAGE_VOL: "NotFound",
    libvirt.VIR_ERR_STORAGE_VOL_EXIST: "NameTaken",
    libvirt.VIR_ERR_DOM_EXIST: "NameTaken",
    libvirt.VIR_ERR_NETWORK_EXIST: "NameTaken",
    libvirt.VIR_ERR_NO_SUPPORT: "Unsupported",
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED: "Unsupported",
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED: "Unsupported",
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: "Unsupported",
    libvirt.VIR_ERR_NO_CONNECT: "Unreachable",
    libvirt.VIR_ERR_INVALID_CONN: "Unreachable",
    libvirt.VIR_ERR_RPC: "Unreachable",
    libvirt.VIR_ERR_OPERATION_TIMEOUT: "Timeout",
    libvirt.VIR_ERR_INTERNAL_ERROR: "Internal",
}

# The daemon's own errors keep their origin when they travel; these two mean the way to it broke.
_TRANSPORT = {libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE}
_TRANSPORT_CODES = {
    libvirt.VIR_ERR_INTERNAL_ERROR,
    libvirt.VIR_ERR_SYSTEM_ERROR,
    libvirt.VIR_ERR_RPC,
}

_AGENT_OF_ONE_GUEST = "guest agent is not configured"

_PATH = re.compile(r"'(/[^']+)'")


def _kind(code: int, domain: int, text: str) -> Kind:
    if code < 0:
        return "Internal"  # libvirt gave no reason
    if domain in _TRANSPORT and code in _TRANSPORT_CODES:
        return "Unsupported" if "unknown procedure" in text else "Unreachable"
    if code == libvirt.VIR_ERR_INVALID_ARG and "unsupported flags" in text:
        return "Unsupported"
    if _AGENT_OF_ONE_GUEST in text:
        # Reported as an unsupported argument, but true of this guest only, not of the hypervisor.
        return "Refused"
    if re.search(r"already (exists|defined|in use by domain)", text):
        return "NameTaken"
    return _KIND_OF_CODE.get(code, "Refused")


def from_libvirt(error: libvirt.libvirtError, *, step: str, name: str = "") -> HypervisorError:
    """Translate a libvirt error.

    May look at files the message names, so it belongs in a worker thread.

    Args:
        error: What libvirt-python raised.
        step: The call that failed.
        name: Name or UUID of the virtual machine concerned.

    Returns:
        The error to raise, with the original as its cause left to the caller (`raise ... from`).
    """
    code = error.get_error_code()
    domain = error.get_error_domain()
    message = error.get_error_message() or str(error)
    code, domain = (-1 if number is None else int(number) for number in (code, domain))
    kind = _kind(code, domain, message)
    hint = hint_for(kind, message)
    return HypervisorError(kind, message, step=step, name=name, hint=hint, code=code, domain=domain)


def hint_for(kind: Kind, message: str) -> str:
    """Say what to look at, from the kind of an error and libvirt's text; empty when nothing helps.

    Example:
        >>> hint_for("Refused", "Cannot get interface MTU on 'br7': No such device")
        "bridge 'br7' is not on this host: make it first, or name another one"
    """
    if kind == "Unreachable":
        return "is the hypervisor's daemon running, and is its address right?"
    for pattern, make in _HINTS:
        if found := re.search(pattern, message, re.IGNORECASE):
            return make(found, message)
    return ""


def _permission(_found: re.Match[str], message: str) -> str:
    user = re.search(r"as uid:(\d+)", message)
    who = f"user {_user(int(user[1]))}" if user else "its own user"
    path = _PATH.search(message)
    what = f"; {_describe(Path(path[1]))}" if path else ""
    return (
        f"the hypervisor opens images as {who}{what}; folders above need the x bit, and a"
        " mandatory access profile (AppArmor, SELinux) may forbid it as well"
    )


def _not_found(_found: re.Match[str], message: str) -> str:
    path = _PATH.search(message)
    return f"{path[1] if path else 'the image'} is not on this host: make or copy it first"


def _bridge(found: re.Match[str], _message: str) -> str:
    name = next(part for part in found.groups() if part)
    return f"bridge '{name}' is not on this host: make it first, or name another one"


def _fixed(text: str) -> Callable[[re.Match[str], str], str]:
    return lambda _found, _message: text


_HINTS: tuple[tuple[str, Callable[[re.Match[str], str], str]], ...] = (
    (
        (
            r"Cannot get interface (?:MTU|flags|index) on '([^']+)': No such device"
            r"|Unable to add bridge (\S+) port .*: No such device"
            r"|Unable to (?:get|find) bridge '?([^' ]+)'?"
        ),
        _bridge,
    ),
    (
        (
            r"/dev/kvm|domain ?type=kvm|KVM is not (?:supported|available)|failed to initialize kvm"
            r"|access KVM kernel module"
        ),
        _fixed("no KVM device here: load the module, or set the accelerator to tcg"),
    ),
    (r"permission denied", _permission),
    (r"No such file or directory", _not_found),
    (
        r"already (?:exists|defined|in use by domain)",
        _fixed("the name or UUID is taken: choose another, or end the one that has it"),
    ),
    (
        (
            r"CPU is incompatible|doesn't match specification|missing features"
            r"|CPU model .* not supported|does not provide required features"
        ),
        _fixed("the host's CPU lacks a feature the description asks for: name an older CPU model"),
    ),
    (
        r"address already in use|failed to (?:find|reserve) .*port",
        _fixed(
            "another program has that address or port: choose another, or leave it to be chosen"
        ),
    ),
)


def _describe(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return f"{path} cannot be looked at from here"
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    mode = stat.filemode(status.st_mode)
    return f"{path} belongs to {_user(status.st_uid)}:{group} with mode {mode}"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
