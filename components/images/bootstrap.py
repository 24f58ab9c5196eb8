"""The commands that make a tree of Debian packages, by the program that is there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from components.images.debian import own_sources, sources_for
from engine.core.faults import BadDescription, Refused
from engine.runtime.commands import search_path

MMDEBSTRAP, DEBOOTSTRAP = "mmdebstrap", "debootstrap"
PROGRAMS = (MMDEBSTRAP, DEBOOTSTRAP)
"""What can build, the one that is taken first in front."""
BUILDERS = ("auto", *PROGRAMS)
ALONE = (
    "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL",
    "--mount-proc", "--",
)  # fmt: skip
"""Puts a build where nobody sees its mounts, which go with all its processes when it is killed."""
WITHOUT_KEYS = 'rm -f "$1"/etc/ssh/ssh_host_*_key "$1"/etc/ssh/ssh_host_*_key.pub'
"""Takes away the host keys a package has made: each machine makes its own at first boot."""
_URL = re.compile(r"[a-z][a-z0-9+.-]*:/\S+")
_TRUSTED = re.compile(r"\btrusted\s*[=:]\s*yes\b", re.IGNORECASE)

Command = tuple[str, ...]


class Packages(Struct, frozen=True):
    """What a tree is made of.

    Attributes:
        arch: Architecture; empty: the host's.
        hooks: Shell commands that are given the tree as $1, or paths of programs.
        fixed: Have nothing depend on the time at which it is made.
    """

    suite: str
    variant: str
    arch: str
    components: tuple[str, ...]
    include: tuple[str, ...]
    hooks: tuple[str, ...]
    fixed: bool


def chosen_builder(asked: str, where: str) -> str:
    """Return the program that builds here; blocks for a moment.

    Raises:
        Refused: It is not installed.
    """
    wanted = PROGRAMS if asked == "auto" else (asked,)
    for program in wanted:
        if shutil.which(program, path=search_path()) is not None:
            return program
    raise Refused(
        f"a DebianImage needs {' or '.join(wanted)} on its host", code="SF-IMAGE-011", where=where,
        hint=f"apt-get install {wanted[0]}",
    )  # fmt: skip


def check_variant(builder: str, variant: str, where: str) -> None:
    """Refuse a set of packages that a builder does not know.

    Raises:
        BadDescription: It does not.
    """
    if builder == DEBOOTSTRAP and variant == "standard":
        raise BadDescription(
            "debootstrap makes no variant standard", code="SF-IMAGE-013", where=where,
            hint="say variant important and include what is missing, or install mmdebstrap",
        )  # fmt: skip


def sources(suite: str, mirror: str) -> tuple[str, ...]:
    """Return where the packages of a release come from, this host's own sources if not said; blocks."""
    return (mirror,) if mirror else tuple(own_sources(suite))


def one_source(given: Iterable[str], suite: str, where: str = "") -> tuple[str, bool]:
    """Return the address of a release's own packages, and whether they are believed without a signature.

    Args:
        given: Lines, files or addresses; blocks for files.
        suite: The release.
        where: Path of the component.

    Raises:
        Refused: There is none: updates and security alone make no system.

    Example:
        >>> one_source(["deb http://d.o/debian bookworm-updates main",
        ...             "deb [trusted=yes] http://d.o/debian bookworm main"], "bookworm")
        ('http://d.o/debian', True)
        >>> one_source(["http://d.o/debian"], "bookworm")
        ('http://d.o/debian', False)
    """
    for each in given:
        if _URL.fullmatch(each):
            return each, False
        text = Path(each).read_text() if each.startswith("/") and Path(each).is_file() else each
        for line in sources_for([text], suite):
            _, address, release, *_ = line.split()
            if release == suite:
                return address, _TRUSTED.search(text) is not None
    raise Refused(
        f"debootstrap needs a source of {suite} itself, and there is none", code="SF-IMAGE-013",
        where=where, hint="give it as mirror, such as deb http://deb.debian.org/debian bookworm main",
    )  # fmt: skip


def commands(builder: str, packages: Packages, tree: Path, given: tuple[str, ...]) -> list[Command]:
    """Return what makes a tree, in order.

    Args:
        builder: One of `PROGRAMS`.
        packages: What it is made of.
        tree: An empty folder, in one that is thrown away: what a killed build had aside is there.
        given: What `sources` has returned; blocks for files if `builder` is debootstrap.

    Raises:
        Refused: There is no source that `builder` can use.
    """
    alone = (*ALONE, *(("env", "SOURCE_DATE_EPOCH=1") if packages.fixed else ()))
    hooks = (WITHOUT_KEYS, *packages.hooks)
    if builder == MMDEBSTRAP:
        aside = ("env", f"TMPDIR={tree.parent}")
        return [(*alone, *aside, *_mmdebstrap(packages, hooks), str(tree), *given)]
    address, trusted = one_source(given, packages.suite)
    return [
        (*alone, *_debootstrap(packages, trusted=trusted), str(tree), address),
        *((*alone, *_called(hook), str(tree)) for hook in hooks),
    ]


def _mmdebstrap(packages: Packages, hooks: tuple[str, ...]) -> Command:
    words = [
        MMDEBSTRAP, "--mode=root", "--format=directory", "--quiet", f"--variant={packages.variant}",
        f"--components={','.join(packages.components)}",
        '--aptopt=Apt::Install-Recommends "false"', f"--include={','.join(packages.include)}",
    ]  # fmt: skip
    if packages.arch:
        words.append(f"--architectures={packages.arch}")
    words += [f"--customize-hook={hook}" for hook in hooks]
    return (*words, "--", packages.suite)


def _debootstrap(packages: Packages, *, trusted: bool) -> Command:
    words = [DEBOOTSTRAP, f"--components={','.join(packages.components)}"]
    if packages.variant == "minbase":  # without one it is what mmdebstrap calls important
        words.append("--variant=minbase")
    if packages.include:
        words.append(f"--include={','.join(packages.include)}")
    if packages.arch:
        words.append(f"--arch={packages.arch}")
    if trusted:
        words.append("--no-check-gpg")
    return (*words, packages.suite)


def _called(hook: str) -> Command:
    """Return a hook as mmdebstrap calls it: a program that is there, else a command of the shell."""
    path = Path(hook)
    if path.is_file() and path.stat().st_mode & 0o111:
        return (hook,)
    return ("sh", "-c", hook, "exec")
