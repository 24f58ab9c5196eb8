"""Who is using a volume: written beside it, so that no two machines write to one."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct
from typing_extensions import override

from engine.core.decoding import from_json
from engine.core.faults import Busy, EngineError, Refused
from engine.runtime.calls import Calls
from engine.runtime.effects import Effect, Owner, Presence, Site
from engine.wire.messages import Handle

DEVICES = Path("/run/lock/smartdomains")
"""Where it is written of devices; gone when the host starts anew, and written again by who goes on."""


class Use(Struct, frozen=True):
    """What is written of a volume in use.

    Attributes:
        owner: For whom it is held.
        user: The machine, or the storage if no machine uses it; both can be asked.
        kept: The guest goes on without its component, so that nobody can be asked.
    """

    owner: Owner
    user: Handle
    kept: bool = False


def lock_of(volume: str) -> Path:
    """Return the file that says who uses a volume.

    Example:
        >>> str(lock_of("/srv/d-volume1")), lock_of("/dev/vg1/d").parent == DEVICES
        ('/srv/d-volume1.lock', True)
    """
    if volume.startswith("/dev/"):
        digest = hashlib.sha256(volume.encode()).hexdigest()[:16]
        return DEVICES / f"{digest}.lock"
    return Path(f"{volume}.lock")


@contextlib.contextmanager
def _alone(path: Path, *, make: bool) -> Iterator[int]:
    """Open a lock file with nobody else at it; -1 if it is not there. Blocks for a moment."""
    while True:
        try:
            fd = os.open(path, os.O_RDWR | (os.O_CREAT if make else 0), 0o600)
        except FileNotFoundError:
            yield -1
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), path.stat()):
                    yield fd
                    return
        finally:
            os.close(fd)


def _use(data: bytes) -> Use | None:
    """Read what is written; nothing if nobody had finished writing."""
    try:
        return from_json(data, Use)
    except msgspec.DecodeError:
        return None


def read(path: Path) -> Use | None:
    """Return who uses a volume; blocks."""
    try:
        return _use(path.read_bytes())
    except FileNotFoundError:
        return None


def write(path: Path, use: Use, instead_of: Use | None) -> Use | None:
    """Write down who uses a volume, unless somebody else was quicker; blocks.

    Args:
        path: The lock file.
        use: What to write.
        instead_of: What may stand there; what is of the same component always may.

    Returns:
        Who was quicker; nothing if it is written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path, make=True) as fd:
        found = _use(os.pread(fd, 2**16, 0))
        if found not in {None, instead_of} and not use.owner.same_place(found.owner):
            return found
        os.ftruncate(fd, 0)
        os.pwrite(fd, msgspec.json.encode(use), 0)
        os.fsync(fd)
    return None


def clear(path: Path, owner: Owner) -> None:
    """Remove what is written for this very creation of a component; blocks."""
    with _alone(path, make=False) as fd:
        if fd >= 0:
            found = _use(os.pread(fd, 2**16, 0))
            if found is not None and found.owner == owner:
                path.unlink()


class VolumesInUse(Effect, frozen=True):
    """That the volumes of one backend are in use by its machine.

    Another's record gives way only if it can be told that who wrote it has ended, with nothing left:
    one that cannot be asked has its volumes still.

    Attributes:
        volumes: Their paths.
        user: Who uses them.
        kept: Somebody goes on using them after the end of their component.
    """

    volumes: tuple[str, ...]
    user: Handle
    kept: bool = False

    @override
    def label(self) -> str:
        return f"volumes in use by {self.user.name}"

    @override
    async def look(self, at: Site) -> Presence:
        for volume in self.volumes:
            use = await at.blocking(read, lock_of(volume))
            if use is not None and not use.owner.same_place(at.owner):
                return Presence.ABSENT
        return Presence.OURS  # what is not written, or no longer, nobody else has

    def is_written(self) -> bool:
        """Say whether somebody is written down as using each of them; blocks."""
        return all(read(lock_of(volume)) is not None for volume in self.volumes)

    @override
    async def make(self, at: Site) -> Self:
        for volume in self.volumes:
            await self._take(at, volume, lock_of(volume))
        return self

    async def _take(self, at: Site, volume: str, lock: Path) -> None:
        mine = Use(at.owner, self.user, self.kept)
        calls = at.given(Calls)
        stale = await at.blocking(read, lock)
        if stale is not None and not stale.owner.same_place(at.owner):
            try:
                over = not stale.kept and await calls.is_over(stale.user)
            except EngineError:
                over = False
            if not over:
                raise in_use(volume, stale, lock)
        try:
            quicker = await at.blocking(write, lock, mine, stale)
        except OSError as error:
            raise Refused(
                f"{lock} cannot be locked: {error.strerror}", code="SF-STORE-024",
                hint="volumes need a filesystem with locks that the daemon may write to",
            ) from error  # fmt: skip
        if quicker is not None:
            raise in_use(volume, quicker, lock)

    @override
    async def undo(self, at: Site) -> None:
        calls = at.given(Calls)
        if self.user.name != at.owner.path and await calls.owes(self.user):
            raise Busy(f"{self.user.name} may still be writing to them", code="SF-STORE-024")
        for volume in self.volumes:
            await at.blocking(clear, lock_of(volume), at.owner)


async def refuse_used(at: Site, volume: str) -> None:
    """Refuse to remove a volume that somebody else has begun to use.

    Raises:
        Busy: Somebody has; once they have ended it may be removed.
    """
    use = await at.blocking(read, lock_of(volume))
    if use is not None and not use.owner.same_place(at.owner):
        raise Busy(f"{volume} is in use by {use.user.name}", code="SF-STORE-024")


def in_use(volume: str, use: Use, lock: Path) -> Refused:
    """Make the error of a volume that somebody else is using."""
    return Refused(
        f"VolumeInUse: {volume} is in use by {use.user.name} at {use.user.address}",
        code="SF-STORE-024",
        hint=f"end that one first, or name another volume; if it is gone for good, remove {lock}",
    )  # fmt: skip
