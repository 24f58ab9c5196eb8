"""A console log where its machine's description says; never a file of somebody else."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
from typing_extensions import override

from components.domains.effects import ConsoleLog
from components.domains.rotation import pieces
from components.networks.claims import Claims
from components.surroundings.workplace import expanded
from engine.core.decoding import from_json
from engine.core.faults import BadDescription, Refused
from engine.runtime.effects import NameTaken, Owner, Presence, Site

if TYPE_CHECKING:
    from components.domains.domain import Domain


class ChosenLog(ConsoleLog, frozen=True):
    """A console log in a folder that is not ours: whose it is stands in a file beside it.

    It goes with its machine, its earlier pieces and that file with it.
    """

    @property
    def note(self) -> Path:
        """Return where the owner is recorded."""
        return Path(f"{self.path}.owner.json")

    def owner(self) -> Owner | None:
        """Read whose it is; nothing if that is not said, nobody's if it cannot be read; blocks."""
        try:
            return from_json(self.note.read_bytes(), Owner)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            return Owner("", "", "", 0)

    def whose(self, owner: Owner) -> Presence:
        """Say whose the files are, as seen by somebody; blocks."""
        mine = self.owner()
        if mine is not None and not mine.same_place(owner):
            return Presence.FOREIGN
        path = Path(self.path)
        if mine is None and any(os.path.lexists(each) for each in (path, *pieces(path))):
            return Presence.FOREIGN
        return Presence.OURS if path.exists() else Presence.ABSENT

    @override
    async def look(self, at: Site) -> Presence:
        return await at.blocking(self.whose, at.owner)

    @override
    async def make(self, at: Site) -> Self:
        await at.blocking(self._begin, at.owner)
        return self

    @override
    async def claim(self, at: Site) -> Self:
        await at.blocking(self._sign, at.owner)
        return self

    def _begin(self, owner: Owner) -> None:
        if self.whose(owner) is Presence.FOREIGN:
            raise NameTaken(f"{self.path} is there already and is not ours", code="SF-NAME-001")
        self._sign(owner)
        Path(self.path).write_bytes(b"")

    def _sign(self, owner: Owner) -> None:
        self.note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self.note.with_name(f"{self.note.name}.part")
        part.write_bytes(msgspec.json.encode(owner))
        part.replace(self.note)

    @override
    async def undo(self, at: Site) -> None:
        await at.blocking(self._remove, at.owner)

    def _remove(self, owner: Owner) -> None:
        if self.owner() != owner:
            return
        path = Path(self.path)
        for each in (path, *pieces(path), self.note):
            with contextlib.suppress(FileNotFoundError):
                each.unlink()


def chosen(domain: Domain) -> ChosenLog | None:
    """Return the console log that the description asks for, if it does."""
    if not domain.console_log:
        return None
    given = expanded(domain.console_log)
    return ChosenLog(str(given if given.is_absolute() else domain.work_folder / given))


async def check_log(domain: Domain) -> None:
    """Refuse a console log that cannot be written where the description says.

    Raises:
        BadDescription: The hypervisor keeps it itself.
        Refused: There is no such folder, the daemon may not write there, or it is somebody else's file.
    """
    log = chosen(domain)
    if log is None:
        return
    kept = domain.make_profile().console_log(domain.called)
    if kept:
        raise BadDescription(
            f"consoleLog: Xen keeps what consoles show itself, in {kept}", code="SF-DOM-005",
            where=domain.path, hint="leave consoleLog out",
        )  # fmt: skip
    domain.service(Claims).take(domain, "consoleLog", "", log.path)
    below = Path(log.path).is_relative_to(domain.work_folder)
    folder = None if below else Path(log.path).parent
    await domain.run_blocking(_look, log, folder, domain.live.owner, domain.path)


def _look(log: ChosenLog, folder: Path | None, owner: Owner, where: str) -> None:
    if folder and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise Refused(
            f"consoleLog {log.path}: {folder} is no folder that the daemon may write to",
            code="SF-DOM-023", where=where, hint="make it, or name another one",
        )  # fmt: skip
    if log.whose(owner) is Presence.FOREIGN:
        raise NameTaken(
            f"consoleLog {log.path}: it, or an earlier piece of it, is there already and is not ours",
            code="SF-NAME-001", where=where, hint="name another file; it was not touched",
        )  # fmt: skip
