"""What a sub-process of another user is handed: a folder of its own, and the certificate it shows.

Its state folder belongs to that user. Its certificate and key are copies in a folder beside it, which
is ours and which that user may only read, each file belonging to it alone. The copies follow their
originals, so that renewed certificates and longer revocation lists reach it as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from engine.core.faults import Refused
from engine.folders import PASSED, make_passable
from engine.security.contexts import Credentials
from engine.security.files import write_whole
from engine.settings import Settings

FRESH_S = 2.0
"""Seconds after which copies are as their originals."""
HANDED = "handed"
"""Folder of a root process for what it hands out."""


class User(NamedTuple):
    """A user of the operating system."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int]
    home: str


def other_user(text: str) -> User | None:
    """Return the user a sub-process is to run as; nothing if that is ourselves.

    Raises:
        Refused: There is none of that name, or we may not become it.
    """
    try:
        entry = pwd.getpwuid(int(text)) if text.isdecimal() else pwd.getpwnam(text)
    except KeyError as error:
        raise Refused(
            f"there is no user {text} on this host", code="SF-PROC-005",
            hint="sfProcessConfig names a user of the operating system",
        ) from error  # fmt: skip
    if entry.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise Refused(
            f"this daemon may not start processes as {entry.pw_name}", code="SF-PROC-005",
            hint="only a daemon that runs as root may",
        )  # fmt: skip
    groups = frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)


def check_reach(user: User, settings: Settings) -> None:
    """Check that a user can get at its state folder and at the program.

    Raises:
        Refused: It cannot; the message names the folder that keeps it out.
    """
    installed = "install the programs where all users may go"
    for place, hint in (
        (settings.folder.absolute(), "choose another --state-dir"),
        (Path(sys.prefix) / "bin", installed), (Path(sys.executable).resolve(), installed),
        (Path(__file__).resolve(), installed),
    ):  # fmt: skip
        for folder in reversed(place.parents):
            if folder.is_dir() and not _may(user, folder):
                raise Refused(
                    f"{user.name} may not enter {folder}, and needs {place}", code="SF-PROC-006",
                    hint=f"{hint}, or: chmod o+x {folder}",
                )  # fmt: skip


def _may(user: User, folder: Path) -> bool:
    facts = folder.stat()
    shift = 6 if facts.st_uid == user.uid else 3 if facts.st_gid in user.groups else 0
    return bool(facts.st_mode >> shift & 0o1)


class Handover:
    """What one sub-process of another user is given; used in threads, for it reads and writes."""

    def __init__(
        self, settings: Settings, name: str, user: User, files: Credentials | None
    ) -> None:
        """Take the root's settings, the name of the sub-process, its user and our credentials."""
        self._settings = settings
        self._name = name
        self._user = user
        self._files = files
        self._folder = settings.folder / HANDED / name
        self._seen: dict[Path, object] = {}

    def prepare(self) -> Settings:
        """Make folders and copies; return settings that lead to them.

        Raises:
            OSError: They cannot be made.
        """
        root = self._settings.folder
        make_passable(root)
        for folder in (root / "processes", root / HANDED, self._folder):
            folder.mkdir(mode=PASSED, exist_ok=True)
            folder.chmod(PASSED)
        own = root / "processes" / self._name
        own.mkdir(mode=0o700, exist_ok=True)
        if own.stat().st_uid != self._user.uid:
            self._give(own)
        settings = msgspec.structs.replace(self._settings, community_dir="")
        if self._files is None:
            return settings
        self.refresh()
        copies = {kind: str(self._folder / name) for kind, (_, name, _) in self._copies().items()}
        return msgspec.structs.replace(settings, **copies)

    def refresh(self) -> None:
        """Copy what has changed since it was copied last; what is gone stays as it was.

        Raises:
            OSError: A copy cannot be written.
        """
        for original, name, mode in self._copies().values():
            try:
                facts = original.stat()
                seen = (facts.st_mtime_ns, facts.st_ino, facts.st_size)
                if self._seen.get(original) == seen:
                    continue
                data = original.read_bytes()
            except OSError:
                continue
            copy = self._folder / name
            write_whole(copy, data, mode, (self._user.uid, self._user.gid))
            self._seen[original] = seen

    def take_back(self) -> None:
        """Remove the copies."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def keep_fresh(self) -> None:
        """Refresh until cancelled, then take the copies back."""
        try:
            while True:
                await asyncio.sleep(FRESH_S)
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(self.refresh)
        finally:
            self.take_back()

    def _copies(self) -> Mapping[str, tuple[Path, str, int]]:
        """Return original, name and mode of each copy, by the setting that names it."""
        files = self._files
        if files is None:
            return {}
        return {
            "cert": (files.cert, "own.pem", 0o400), "key": (files.key, "own.key", 0o400),
            "ca": (files.ca, "ca.pem", 0o400), "crl": (files.crl, "crl.pem", 0o400),
        }  # fmt: skip

    def _give(self, folder: Path) -> None:
        """Let a folder and all that is in it be its user's."""
        for path, folders, names in os.walk(folder):
            for name in (*folders, *names):
                os.chown(Path(path) / name, self._user.uid, self._user.gid, follow_symlinks=False)
        os.chown(folder, self._user.uid, self._user.gid)
        folder.chmod(0o700)
