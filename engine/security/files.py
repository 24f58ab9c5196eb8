"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(file: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file in one step, durably; one of that name is replaced.

    Raises:
        OSError: It cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as out:
            os.fchmod(handle, mode)
            out.write(data)
            out.flush()
            os.fsync(handle)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
