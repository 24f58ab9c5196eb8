"""What the attributes of a `Context` may be. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from components.context.told import GuestFile, Person
from components.networks.addresses import hostname_kind, ip_kind
from engine.runtime.kinds import BadValueError, Kind, fields_of, items_of, shown, strings
from sfdl.values import Value, Vector

CONFIDING = ("users", "files", "userData", "vendorData", "hostKey")
"""Attributes that may hold passwords and private keys."""
HIDEABLE = (*CONFIDING, "sshKeys", "packages", "runCommands", "mounts")
"""Attributes that may be kept secret."""
_PREFIX = re.compile(r"([0-9a-f]{2})[:-]([0-9a-f]{2})")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_OCTAL = re.compile(r"[0-7]{3,4}")
_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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


def _word(found: Mapping[str, Value], name: str, default: str = "") -> str:
    value = found.get(name, default)
    if not isinstance(value, str):  # which is not repeated: it may be a password
        raise BadValueError(f"{name} must be a string")
    return value


def _people(value: Value) -> tuple[Person, ...]:
    known = {"name", "keys", "groups", "sudo", "shell", "passwordHash"}
    people = []
    for item in items_of(value):
        found = fields_of(item, known, "a user")
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
    for item in items_of(value):
        found = fields_of(item, {"path", "content", "mode"}, "a file")
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
    lines = tuple(strings.read(item) for item in items_of(value))
    if any(not 2 <= len(line) <= 6 for line in lines):
        raise BadValueError("each mount is a list of 2 to 6 fields, as in fstab")
    if any(not field or " " in field or "\t" in field for line in lines for field in line):
        raise BadValueError("a field of a mount is one word")
    return lines


def _addresses(value: Value) -> tuple[str, ...]:
    return tuple(ip_kind.read(item) for item in items_of(value))


def _domains(value: Value) -> tuple[str, ...]:
    return tuple(hostname_kind.read(item) for item in items_of(value))


def _instance(value: Value) -> str:
    if isinstance(value, str) and (not value or _INSTANCE.fullmatch(value)):
        return value
    raise BadValueError(
        f"must be 1 to 64 letters, digits, dots and dashes, a letter or digit in front "
        f"(got {shown(value)})"
    )


def _hideable(value: Value) -> tuple[str, ...]:
    names = strings.read(value)
    for name in names:
        if name not in HIDEABLE:
            near = get_close_matches(name, HIDEABLE, 1)
            guess = f"; did you mean {near[0]}?" if near else ""
            raise BadValueError(
                f"{shown(name)} is none of {', '.join(HIDEABLE)}, which may be kept secret{guess}"
            )
    return names


prefix_kind = Kind("two octets", "String", _prefix)
interface_kind = Kind("interface name", "String", _interface)
people_kind = Kind("list of users", "Vector", _people)
files_kind = Kind("list of files", "Vector", _files)
mounts_kind = Kind("list of mounts", "Vector", _mounts)
addresses_kind = Kind("list of addresses", "Vector", _addresses)
domains_kind = Kind("list of domains", "Vector", _domains)
instance_kind = Kind("name of an instance", "String", _instance)
hideable_kind = Kind("list of attributes", "Vector", _hideable)
