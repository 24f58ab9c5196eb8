"""Where changes keep what they need to be undone, and the sweeping of what nobody needs any more."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from pathlib import Path

from engine.prim import Prim


def _place(path: str, incarnation: int) -> str:
    return f"{hashlib.sha256(path.encode()).hexdigest()[:16]}-{incarnation}"


class Attic:
    """The folders of one process; swept once, when a file component first needs one."""

    def __init__(self) -> None:
        """Have swept nothing."""
        self._swept = False

    async def room(self, prim: Prim) -> Path:
        """Return the path of a folder for one change of a component; it is not made."""
        folder = prim.work_folder / "files"
        if not self._swept:
            self._swept = True
            there = await prim.run_blocking(_listed, folder)
            known = {
                _place(row.path, row.incarnation) for row in prim.live.process.ledger.effects()
            }
            stale = [each for each in there if each.name.rpartition("-")[0] not in known]
            await prim.run_blocking(_remove, stale)
        live = prim.live
        return folder / f"{_place(live.place, live.incarnation)}-{secrets.token_hex(8)}"


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
