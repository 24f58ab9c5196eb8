"""Files that are there whole or not at all, and keys that are their owner's alone."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from engine.core.faults import NotAllowed


def write_whole(
    file: Path, data: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None
) -> None:
    """Write a file in one step, durably; one of that name is replaced.

    Args:
        file: Its name.
        data: What is in it.
        mode: Who may read it.
        owner: User and group it is given to, by a process that may; nothing: ours.

    Raises:
        OSError: It cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as out:
            os.fchmod(handle, mode)
            if owner is not None:
                os.fchown(handle, *owner)
            out.write(data)
            out.flush()
            os.fsync(handle)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def check_key(key: Path) -> None:
    """Check that a key is its owner's alone.

    Raises:
        NotAllowed: It is not there, or others can read it.
    """
    try:
        facts = key.stat()
    except OSError as error:
        raise NotAllowed(f"{key}: {error.strerror}", code="SF-SEC-001") from error
    if stat.S_IMODE(facts.st_mode) & 0o077:
        raise NotAllowed(
            f"the key {key} can be read by others", code="SF-SEC-005",
            hint=f"if nobody has: chmod 600 {key}; else: sfca revoke, and issue another",
        )  # fmt: skip
    if facts.st_uid not in {os.geteuid(), 0}:
        raise NotAllowed(f"the key {key} belongs to somebody else", code="SF-SEC-005")
