"""Things that take long to build, kept in a folder by what they were built from."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def key_of(versions: Mapping[str, str], scripts: Iterable[str | None]) -> str:
    """Digest what something is built from: versions of its parts, and the modules that build it."""
    digest = hashlib.sha256(repr(sorted(versions.items())).encode())
    for script in scripts:
        if script is not None:
            digest.update(Path(script).read_bytes())
    return digest.hexdigest()[:16]


def kept(cache: Path, key: str, make: Callable[[Path, Path], None], *, most: int = 8) -> Path:
    """Give the folder of a key, made now if it is not there; several processes may ask at once.

    Args:
        cache: Folder of all keys; made when it is not there.
        key: Names what is wanted.
        make: Gets a scratch folder and an empty output folder to fill; if it fails, nothing is kept.
        most: How many keys are kept; those longest unused go first.
    """
    cache.mkdir(parents=True, exist_ok=True)
    made = cache / key
    with _locked(cache / ".lock"):
        for left in cache.glob(".making-*"):  # by somebody who was killed
            shutil.rmtree(left)
        if not made.exists():
            with tempfile.TemporaryDirectory(prefix=".making-", dir=cache) as scratch:
                output = Path(scratch, "output")
                output.mkdir()
                make(Path(scratch), output)
                output.rename(made)
        os.utime(made)
        folders = [each for each in cache.iterdir() if each.is_dir() and each.name[0] != "."]
        folders.sort(key=lambda each: each.stat().st_mtime, reverse=True)
        for old in folders[most:]:
            shutil.rmtree(old)
    return made


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file closes
        yield
