"""Whether the host's firewall sees what goes from port to port of its bridges: a setting of all of them.

    /run/smartdomains/bridge-filter-NETNS/before.json   what the settings were
    /run/smartdomains/bridge-filter-NETNS/users/WHO     somebody wants them off

So bridges of several daemons agree: the first turns them off, the last turns them back, and removes the
folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

import msgspec
from typing_extensions import override

from engine.core.decoding import from_json
from engine.core.faults import Refused
from engine.runtime.effects import Effect, Owner, Presence, Site

SETTINGS = Path("/proc/sys/net/bridge")
"""There while the kernel's module br_netfilter is; without it nothing is filtered."""
NAMES = ("bridge-nf-call-arptables", "bridge-nf-call-ip6tables", "bridge-nf-call-iptables")
NOTES = Path("/run/smartdomains")


def can_be_set() -> bool:
    """Say whether this process may change the settings, or need not; blocks."""
    return not SETTINGS.exists() or all(os.access(SETTINGS / name, os.W_OK) for name in NAMES)


class UnfilteredBridges(Effect, frozen=True):
    """The host's firewall does not see what stays on its bridges; as before once nobody wants that."""

    @override
    def label(self) -> str:
        return "unfiltered bridges"

    @override
    async def look(self, at: Site) -> Presence:
        there = await at.blocking((notes_folder() / "users" / _who(at.owner)).exists)
        return Presence.OURS if there else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        await at.blocking(_turn_off, _who(at.owner), at.owner.path)
        return self

    @override
    async def undo(self, at: Site) -> None:
        await at.blocking(_let_go, _who(at.owner))


def _who(owner: Owner) -> str:
    text = f"{owner.community}/{owner.application}/{owner.path}"
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]}-{owner.incarnation}"


def notes_folder() -> Path:
    """Return where notes are of the network that this thread is in."""
    return NOTES / f"bridge-filter-{Path('/proc/thread-self/ns/net').stat().st_ino}"


@contextlib.contextmanager
def _locked() -> Iterator[Path]:
    """Have the notes for oneself; they go with the last who wants anything."""
    folder = notes_folder()
    with _lock(folder):
        users = folder / "users"
        users.mkdir(exist_ok=True)
        yield folder
        if not any(users.iterdir()):
            users.rmdir()
            (folder / "before.json").unlink(missing_ok=True)
            (folder / "lock").unlink()  # from now on others may make all of this anew
            with contextlib.suppress(OSError):
                folder.rmdir()


def _lock(folder: Path) -> IO[str]:
    """Open and lock the file of the notes, which somebody may be removing with them just then."""
    path = folder / "lock"
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("w")
        except FileNotFoundError:
            continue
        fcntl.flock(file, fcntl.LOCK_EX)
        if path.exists() and path.samefile(f"/proc/self/fd/{file.fileno()}"):
            return file
        file.close()


def _turn_off(who: str, path: str) -> None:
    with _locked() as folder:
        note = folder / "before.json"
        if not any((folder / "users").iterdir()) and SETTINGS.exists():
            part = note.with_suffix(".part")
            part.write_bytes(
                msgspec.json.encode({name: (SETTINGS / name).read_text() for name in NAMES})
            )
            part.replace(note)
        (folder / "users" / who).write_text(path)
        _set(dict.fromkeys(NAMES, "0"))


def _let_go(who: str) -> None:
    with _locked() as folder:
        (folder / "users" / who).unlink(missing_ok=True)
        note = folder / "before.json"
        if note.exists() and not any((folder / "users").iterdir()):
            _set(from_json(note.read_bytes(), dict[str, str]))


def _set(values: dict[str, str]) -> None:
    if not SETTINGS.exists():
        return
    for name, value in values.items():
        try:
            (SETTINGS / name).write_text(value)
        except OSError as error:
            raise Refused(
                f"{SETTINGS / name} cannot be set: {error.strerror}", code="SF-NET-010",
                hint="it takes root",
            ) from error  # fmt: skip
