"""What happens to volumes and images at the end: one table, pure.

| ending | image saved | volumes we made | volumes we found |
|---|---|---|---|
| normal | if `saveImageOn` is normal, always | kept if `keepVolumes` is true | removed if it is false |
| abnormal | if `saveImageOn` is abnormal, always | as above, for a while | as above, for a while |
| rollback | never | removed, if made now | kept |
| its daemon ends (`shutdown`), or its guest is left, saved or suspended | never | kept | kept |

"For a while" is `keepOnFailure` seconds: time to look at what failed.
"""

from __future__ import annotations

from enum import Enum

from engine.core.records import DEPLOYMENT_FAILURE, SHUTDOWN, Record
from engine.runtime.kinds import BadValueError, Kind, shown
from sfdl.values import Value

AS_LONG_AS_MADE = SHUTDOWN
"""Ends that leave a volume which this creation has made: its daemon's, which is nobody's wish."""
ALWAYS = f"always {DEPLOYMENT_FAILURE}"
"""All ends: the guest goes on, or is set aside."""
AS_LONG_AS_RESUMED = f"{SHUTDOWN} {DEPLOYMENT_FAILURE}"
"""The same for a volume taken over from an earlier creation: it is older than a start that failed."""
AS_BEFORE = "statuquo"
_SPELLINGS = {AS_BEFORE, "statusquo", "status quo"}


class Ending(Enum):
    """How a domain's life ends, as far as its storage is concerned."""

    NORMAL = "normal"
    ABNORMAL = "abnormal"
    ROLLBACK = "rollback"


def ending_of(record: Record) -> Ending:
    """Classify a termination record.

    Example:
        >>> ending_of(Record("livenessFailure"))
        <Ending.ABNORMAL: 'abnormal'>
    """
    if record.type == DEPLOYMENT_FAILURE:
        return Ending.ROLLBACK
    return Ending.NORMAL if record.is_normal else Ending.ABNORMAL


def volumes_stay(keep: bool | str, *, found: bool, ending: Ending) -> str:  # noqa: FBT001 - a word too
    """Decide about volumes.

    Args:
        keep: `keepVolumes`: true, false or `"statuquo"`.
        found: They were there before (`usingExistingVolumes`).
        ending: How it ended.

    Returns:
        `always` (they stay), `never` (removed now) or `later` (removed after `keepOnFailure`).

    Example:
        >>> volumes_stay("statuquo", found=True, ending=Ending.NORMAL)
        'always'
    """
    if ending is Ending.ROLLBACK:
        return "always" if found else "never"
    if keep is True or (keep == AS_BEFORE and found):
        return "always"
    return "later" if ending is Ending.ABNORMAL else "never"


def image_saved(*, wanted: bool, on: str, ending: Ending) -> bool:
    """Decide whether the root filesystem is packed.

    Example:
        >>> image_saved(wanted=True, on="always", ending=Ending.ROLLBACK)
        False
    """
    if not wanted or ending is Ending.ROLLBACK:
        return False
    return on in {"always", ending.value}


def _keep(value: Value) -> bool | str:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _SPELLINGS:
        return AS_BEFORE
    raise BadValueError(f'must be true, false or "{AS_BEFORE}" (got {shown(value)})')


keep_kind: Kind[bool | str] = Kind(f'true, false or "{AS_BEFORE}"', "anyClass", _keep)
