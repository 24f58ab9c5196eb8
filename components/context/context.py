"""`Context`: what machines learn at boot beyond their own names and addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from components.context.told import MODES, GuestFile, Person, Wishes, check_lines
from components.networks.addresses import hostname_kind, ip_kind
from components.reporting import Reporting
from engine.core.faults import BadDescription, Refused
from engine.runtime.attributes import attr, exposed
from engine.runtime.kinds import (
    BadValueError,
    Kind,
    duration_s,
    int_,
    shown,
    str_,
    strings,
)
from sfdl.values import Description, Value, Vector

LOCAL = 0x02
"""Bit of the first octet that says an address was given by hand."""
_PREFIX = re.compile(r"([0-9a-f]{2})[:-]([0-9a-f]{2})")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_OCTAL = re.compile(r"[0-7]{3,4}")


class Outline(Struct, frozen=True):
    """What of a `Context` counts before anything is made.

    Attributes:
        given: Names of the attributes the description gives.
        command_s: Seconds a command may take in the guest, where its agent runs it.
    """

    mode: str = "auto"
    mac_prefix: str = "52:54"
    given: tuple[str, ...] = ()
    command_s: float = 600.0


def _prefix(value: Value) -> str:
    match = _PREFIX.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is None:
        raise BadValueError(f"must be two octets such as 52:54 (got {shown(value)})")
    if int(match[1], 16) & 1:
        raise BadValueError(
            f"must begin with an even octet: odd ones are groups (got {shown(value)})"
        )
    return f"{match[1]}:{match[2]}"


def _interface(value: Value) -> str:
    if isinstance(value, str) and _INTERFACE.fullmatch(value):
        return value
    raise BadValueError(
        f"must be the name of a network interface such as eth0 (got {shown(value)})"
    )


def _fields(value: Value, known: set[str], what: str) -> Mapping[str, Value]:
    """Return the attributes of one description in a list."""
    if not isinstance(value, Description):
        raise BadValueError(f"must be a list of components (got {shown(value)})")
    found = {name: each for name, each in value.attributes if each is not None}
    strange = sorted(set(found) - known - {"sfClass"})
    if strange:
        raise BadValueError(f"{what} has no {strange[0]}; it has {', '.join(sorted(known))}")
    return found


def _items(value: Value) -> tuple[Value, ...]:
    if isinstance(value, Vector):
        return value.items
    raise BadValueError(f"must be a list (got {shown(value)})")


def _word(found: Mapping[str, Value], name: str, default: str = "") -> str:
    value = found.get(name, default)
    if not isinstance(value, str):
        raise BadValueError(f"{name} must be a string (got {shown(value)})")
    return value


def _people(value: Value) -> tuple[Person, ...]:
    known = {"name", "keys", "groups", "sudo", "shell", "passwordHash"}
    people = []
    for item in _items(value):
        found = _fields(item, known, "a user")
        name = _word(found, "name")
        if _USER.fullmatch(name) is None:
            raise BadValueError(
                f"a user needs a name of small letters and digits (got {shown(name)})"
            )
        people.append(
            Person(
                name,
                keys=strings.read(found.get("keys", Vector(()))),
                groups=strings.read(found.get("groups", Vector(()))),
                sudo=_word(found, "sudo"),
                shell=_word(found, "shell", "/bin/bash"),
                password_hash=_word(found, "passwordHash"),
            )
        )
    return tuple(people)


def _files(value: Value) -> tuple[GuestFile, ...]:
    files = []
    for item in _items(value):
        found = _fields(item, {"path", "content", "mode"}, "a file")
        path, mode = _word(found, "path"), _word(found, "mode", "0644")
        parts = Path(path).parts
        clean = all(character.isprintable() and character not in " \"'\\" for character in path)
        if not path.startswith("/") or ".." in parts or len(parts) < 2 or not clean:
            raise BadValueError(
                f"a file needs an absolute path without .., spaces and quotes (got {shown(path)})"
            )
        if _OCTAL.fullmatch(mode) is None:
            raise BadValueError(f"mode must be octal digits such as 0644 (got {shown(mode)})")
        files.append(GuestFile(path, _word(found, "content"), mode))
    return tuple(files)


def _mounts(value: Value) -> tuple[tuple[str, ...], ...]:
    lines = tuple(strings.read(item) for item in _items(value))
    if any(not 2 <= len(line) <= 6 for line in lines):
        raise BadValueError("each mount is a list of 2 to 6 fields, as in fstab")
    if any(not field or " " in field or "\t" in field for line in lines for field in line):
        raise BadValueError("a field of a mount is one word")
    return lines


def _addresses(value: Value) -> tuple[str, ...]:
    return tuple(ip_kind.read(item) for item in _items(value))


def _domains(value: Value) -> tuple[str, ...]:
    return tuple(hostname_kind.read(item) for item in _items(value))


prefix_kind = Kind("two octets", "String", _prefix)
interface_kind = Kind("interface name", "String", _interface)
people_kind = Kind("list of users", "Vector", _people)
files_kind = Kind("list of files", "Vector", _files)
mounts_kind = Kind("list of mounts", "Vector", _mounts)
addresses_kind = Kind("list of addresses", "Vector", _addresses)
domains_kind = Kind("list of domains", "Vector", _domains)


class Context(Reporting, type="context"):
    """What machines learn at boot, and the way they learn it; several may refer to one.

    Host name, address, netmask and gateway are those of the machine itself.
    """

    mode = attr(str_, "auto", choices=MODES, doc="How the guest is told.")
    mac_prefix = attr(
        prefix_kind, "52:54", doc="First two octets of the MAC address in mode mac.",
        called="macPrefix",
    )  # fmt: skip
    interface = attr(
        interface_kind, "eth0", doc="First interface, where it is not found by its MAC address."
    )
    nameservers = attr(addresses_kind, (), doc="Addresses of name servers.")
    search_domains = attr(
        domains_kind, (), doc="Domains that short names are looked up in.", called="searchDomains"
    )
    mtu = attr(int_, 0, ge=0, le=65535, doc="MTU of the first interface; 0 for the guest's own.")
    ssh_keys = attr(
        strings, (), doc="Public keys of the default user, or of root.", called="sshKeys"
    )
    users = attr(
        people_kind, (),
        doc="Accounts, each a component of name, keys, groups, sudo, shell and passwordHash.",
    )  # fmt: skip
    user_data = attr(
        str_, "", doc="For cloud-init, merged with ours by key; text, or @ and a path on the host.",
        called="userData",
    )  # fmt: skip
    vendor_data = attr(str_, "", doc="For cloud-init: text, or @ and a path.", called="vendorData")
    files = attr(files_kind, (), doc="Files, each a component of path, content and mode.")
    packages = attr(strings, (), doc="Packages to install at first boot.")
    run_commands = attr(
        strings, (), doc="Shell commands to run at first boot.", called="runCommands"
    )
    mounts = attr(mounts_kind, (), doc="Lists of fields, as in fstab.")
    host_keys = attr(
        str_, "perVm", choices=("perVm", "image"), doc="New host keys at first boot, or the image's.",
        called="hostKeys",
    )  # fmt: skip

    command_timeout = attr(
        duration_s, 600, ge=1, le=86400, called="commandTimeout",
        doc="Seconds each of runCommands, and installing packages, may take in mode agent.",
    )  # fmt: skip

    _OWN = ("mode", "commandTimeout")

    @exposed()
    async def outline(self) -> Outline:
        """Return what counts before anything is made.

        Raises:
            NotBound: `mode` or `macPrefix` is LAZY.
        """
        given = []
        for name, declared in type(self).declarations.attrs.items():
            value = self.live.value(name)
            usual = declared.default
            plain = Vector(usual) if isinstance(usual, tuple) else usual
            if name not in self._OWN and value is not None and value != plain:
                given.append(name)
        return Outline(self.mode, self.mac_prefix, tuple(given), self.command_timeout)

    @exposed()
    async def wishes(self) -> Wishes:
        """Return everything.

        Raises:
            NotBound: A value is LAZY and not known yet.
            BadDescription: A text has line breaks where there may be none.
            Refused: A file that holds data for cloud-init cannot be read.
        """
        wishes = Wishes(
            interface=self.interface, nameservers=self.nameservers,
            search_domains=self.search_domains, mtu=self.mtu, ssh_keys=self.ssh_keys,
            users=self.users, user_data=await self._data(self.user_data),
            vendor_data=await self._data(self.vendor_data), files=self.files,
            packages=self.packages, run_commands=self.run_commands, mounts=self.mounts,
            host_keys=self.host_keys,
        )  # fmt: skip
        try:
            check_lines(wishes)
        except BadValueError as error:
            raise BadDescription(str(error), code="SF-ATTR-001", where=self.path) from error
        return wishes

    async def _data(self, text: str) -> str:
        if not text.startswith("@"):
            return text
        path = Path(text[1:]).expanduser()
        try:
            return await self.run_blocking(path.read_text)
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(
                f"data for cloud-init cannot be read from {path}: {error}", code="SF-CTX-003",
                where=self.path, hint="the path is one on the host of the Context",
            ) from error  # fmt: skip


def is_local(prefix: str) -> bool:
    """Say whether MAC addresses of that prefix are in the range given by hand.

    Example:
        >>> is_local("52:54"), is_local("54:56")
        (True, False)
    """
    return bool(int(prefix[:2], 16) & LOCAL)
