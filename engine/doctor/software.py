"""Versions and programs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from engine.core.findings import GOOD, MISSING, NOTE, WARNING, Finding
from engine.doctor.machine import Machine

PYTHON = (3, 11)
_REQUIREMENT = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?\s*([^;]*)")
_BOUND = re.compile(r"(>=|<|==|!=|<=|>|~=)\s*([0-9][0-9.]*)")


class Program(Struct, frozen=True):
    """A program that components run.

    Attributes:
        package: Debian's name of what brings it.
        why: What does not work without it.
        needed: Nearly every description needs it.
    """

    name: str
    package: str
    why: str
    needed: bool = False


PROGRAMS = (
    Program("qemu-img", "qemu-utils", "volumes cannot be made of images", needed=True),
    Program("tar", "tar", "images cannot be unpacked or saved", needed=True),
    Program("setpriv", "util-linux", "what the daemon starts would outlive its crash", needed=True),
    Program("ip", "iproute2", "no bridges, no look at network devices", needed=True),
    Program("nft", "nftables", "networks that hide addresses (NAT) cannot be made by libvirt"),
    Program("dnsmasq", "dnsmasq-base", "networks of libvirt give no addresses"),
    Program("mkfs.ext3", "e2fsprogs", "volumes cannot be formatted"),
    Program(
        "grub-mkimage",
        "grub-common",
        "no images that boot by themselves; they need grub-pc-bin, too",
    ),
    Program("prlimit", "util-linux", "sub-processes cannot be limited in memory"),
    Program("lvcreate", "lvm2", "no logical volumes"),
    Program("zstd", "zstd", "no images packed as tar.zst"),
)


def versions(machine: Machine) -> Iterator[Finding]:
    """Look at the interpreter and at the packages ours needs."""
    python = machine.python()
    text = ".".join(map(str, python))
    wanted = ".".join(map(str, PYTHON))
    if python >= PYTHON:
        yield Finding("versions", "python", GOOD, text)
    else:
        yield Finding("versions", "python", MISSING, text, f"install Python {wanted} or later")
    for line in machine.requirements():
        match = _REQUIREMENT.match(line)
        if match is not None:
            yield _package(match[1], match[2].strip(), machine.package(match[1]))


def _package(name: str, bounds: str, version: str | None) -> Finding:
    todo = f"pip install '{name}{bounds}'"
    if version is None:
        return Finding("versions", name, MISSING, "not installed", todo)
    if not within(version, bounds):
        return Finding("versions", name, WARNING, f"{version}, wanted {bounds}", todo)
    return Finding("versions", name, GOOD, version)


def within(version: str, bounds: str) -> bool:
    """Say whether a version is within bounds such as `>=1.3,<2`.

    Example:
        >>> within("1.10.1", ">=1.9,<2"), within("2.0", ">=1.9,<2"), within("5", "")
        (True, False, True)
    """
    have = _numbers(version)
    for sign, text in _BOUND.findall(bounds):
        want = _numbers(text)
        width = max(len(have), len(want))
        one, other = (each + (0,) * (width - len(each)) for each in (have, want))
        good = {
            ">=": one >= other, "<=": one <= other, ">": one > other, "<": one < other,
            "==": one == other, "!=": one != other, "~=": one >= other,
        }[sign]  # fmt: skip
        if not good:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def programs(machine: Machine) -> Iterator[Finding]:
    """Look for the programs that components run."""
    for program in PROGRAMS:
        path = machine.program(program.name)
        if path is not None:
            yield Finding("programs", program.name, GOOD, path)
            continue
        verdict = MISSING if program.needed else NOTE
        text = f"not found: {program.why}"
        yield Finding("programs", program.name, verdict, text, f"apt install {program.package}")
