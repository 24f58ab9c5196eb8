"""Keeping what a console shows from filling its host: the file is cut, its latest pieces stay."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.domains.domain import Domain

MOST_BYTES = 10 * 2**20
"""Size from which on the file is cut."""
PIECES = 3
"""Earlier pieces that are kept."""
PERIOD_S = 10.0
"""Seconds between two looks at it."""


def pieces(path: Path) -> Iterator[Path]:
    """Give the names of earlier pieces of a file, the latest first.

    Example:
        >>> [piece.name for piece in pieces(Path("vm.log"))]
        ['vm.log.1', 'vm.log.2', 'vm.log.3']
    """
    for number in range(1, PIECES + 1):
        yield path.with_name(f"{path.name}.{number}")


def rotate(path: Path, most: int = MOST_BYTES) -> bool:
    """Cut a file that has become too large, and say whether it had; blocks.

    Who writes to it goes on, as it always writes at the end: the file itself stays, and a copy of it
    becomes the latest piece. What is written between copying and cutting is lost.

    Raises:
        OSError: It cannot be read, or copied.
    """
    if not path.exists() or path.stat().st_size < most:
        return False
    names = [path, *pieces(path)]
    for younger, older in reversed(list(pairwise(names[1:]))):
        if younger.exists():
            younger.replace(older)
    shutil.copyfile(path, names[1])
    os.truncate(path, 0)
    return True


async def rotating(domain: Domain) -> None:
    """Keep the console log of a machine small, as long as it lives; what Xen keeps is Xen's affair."""
    told = ""
    while True:
        await asyncio.sleep(PERIOD_S)
        path = Path(domain.consolePath)
        if not (path.is_relative_to(domain.work_folder) or domain.console_log):
            return
        try:
            await domain.run_blocking(rotate, path)
        except OSError as error:
            if str(error) != told:
                told = str(error)
                domain.note(f"its console log cannot be cut: {told}", "warning")
