"""Is the other side still there? Leases for the one who is watched, misses for the one who watches."""

from __future__ import annotations

from enum import Enum
from math import inf

from msgspec import Struct
from msgspec.structs import replace


class Lease(Struct, frozen=True):
    """A right to go on, as long as somebody renews it; times on the holder's monotonic clock."""

    ttl_s: float
    renewed_s: float

    def expired(self, now_s: float) -> bool:
        """Say whether the lease has run out.

        Example:
            >>> Lease(ttl_s=45, renewed_s=100).expired(145.5)
            True
        """
        return now_s - self.renewed_s > self.ttl_s

    def renewed(self, now_s: float) -> Lease:
        """Return the lease counted from `now_s`."""
        return replace(self, renewed_s=now_s)


class Orphans(Struct, frozen=True):
    """What a component does when its parent's process is silent for longer than the lease.

    Attributes:
        wait_s: Seconds it goes on waiting to be asked again; infinite: it keeps.
        detach: It becomes an application of its own instead.
    """

    wait_s: float = 0.0
    detach: bool = False

    def stays(self, silent_s: float) -> bool:
        """Say whether it still goes on after so many seconds."""
        return self.wait_s > silent_s


def orphans(word: str) -> Orphans:
    """Read an orphan policy: `terminate`, `wait N` (seconds), `detach` or `keep`.

    Example:
        >>> orphans("wait 30").stays(29), orphans("keep").stays(1e9), orphans("").stays(0)
        (True, True, False)
    """
    kind, _, rest = word.partition(" ")
    if kind == "keep":
        return Orphans(inf)
    if kind == "detach":
        return Orphans(detach=True)
    if kind == "wait":
        number = rest.strip().removesuffix("s")
        return Orphans(float(number) if number.replace(".", "", 1).isdigit() else 0.0)
    return Orphans()


class Verdict(Struct, frozen=True):
    """The answer of a probe; `good` is nothing when it cannot tell, which is never a failure."""

    good: bool | None
    text: str = ""


class Sign(Enum):
    """What one round heard about a remote part."""

    OK = "ok"
    ENDED = "ended"
    UNWELL = "unwell"
    UNKNOWN = "unknown"  # the other process does not know it: another life, or removed
    SILENT = "silent"  # no answer in time


class Watch(Struct, frozen=True):
    """Liveness of one remote part as its parent's process sees it.

    Attributes:
        delay_s: Seconds between rounds.
        factor: Rounds in a row that may be missed before it is presumed dead.
        misses: Silent rounds in a row.
        unwell: Unwell rounds in a row.
    """

    delay_s: float
    factor: int
    misses: int = 0
    unwell: int = 0
    unwell_factor: int = 1

    @property
    def lease_s(self) -> float:
        """Return how long the watched side goes on without hearing from us, in seconds."""
        return (self.factor + 1) * self.delay_s


def fence(watch: Watch, ping_timeout_s: float) -> float:
    """Return after how many seconds of silence the watched side has surely ended by itself.

    That is its lease and the last ping's time-out, with a tenth on top for clocks that run apart.

    Example:
        >>> round(fence(Watch(delay_s=2, factor=2), 2), 1)
        8.8
    """
    return (watch.lease_s + ping_timeout_s) * 1.1


def heard(watch: Watch, sign: Sign) -> tuple[Watch, bool]:
    """Take in one round's answer.

    Returns:
        The next state, and whether the part is now presumed dead.

    Example:
        >>> watch, dead = heard(Watch(delay_s=15, factor=2), Sign.SILENT)
        >>> dead, heard(watch, Sign.SILENT)[1]
        (False, True)
    """
    match sign:
        case Sign.OK:
            return replace(watch, misses=0, unwell=0), False
        case Sign.SILENT:
            watch = replace(watch, misses=watch.misses + 1)
            return watch, watch.misses >= watch.factor
        case Sign.UNWELL:
            watch = replace(watch, misses=0, unwell=watch.unwell + 1)
            return watch, watch.unwell >= watch.unwell_factor
        case Sign.ENDED | Sign.UNKNOWN:
            return watch, True
