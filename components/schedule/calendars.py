"""When something is due: pure functions from one time to the next."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias
from zoneinfo import ZoneInfo

from croniter import CroniterBadCronError, CroniterBadDateError, croniter

Plan: TypeAlias = Callable[[float], float | None]
"""Gives the first due time after a time, in seconds of the same clock; nothing: never again."""


def periodic(every_s: float, from_s: float = 0.0) -> Plan:
    """Return a plan of times in equal distances after a beginning.

    Example:
        >>> plan = periodic(10)
        >>> plan(0), plan(9.9), plan(10), plan(34.5)
        (10.0, 10.0, 20.0, 40.0)
    """

    def after(time_s: float) -> float:
        return from_s + (math.floor((time_s - from_s) / every_s) + 1) * every_s

    return after


def calendar(expression: str, zone: ZoneInfo) -> Plan:
    """Return a plan by a calendar, on the wall clock of a time zone; times are seconds since 1970.

    Fields are minute, hour, day of month, month, day of week, with seconds in front if there are six.
    A time that a zone leaves out in spring is due when the gap is over. One that it has twice in autumn
    is due the first time only, unless the hours are `*` or steps of it: every hour is every hour.

    Raises:
        ValueError: There is no such calendar, or no time that fits it.

    Example:
        >>> plan = calendar("30 2 * * *", ZoneInfo("Europe/Berlin"))
        >>> datetime.fromtimestamp(plan(1767225600.0), ZoneInfo("Europe/Berlin")).isoformat()
        '2026-01-01T02:30:00+01:00'
    """
    text = expression.strip()
    fields = text.split()
    if len(fields) > 6:
        raise ValueError(f"{expression!r} is no calendar: it has more than six fields")
    hours = fields[-4] if len(fields) > 1 else ""
    once = bool(hours) and "*" not in hours and "/" not in hours
    try:
        croniter(text, datetime.now(zone), second_at_beginning=True).get_next(datetime)
    except (CroniterBadCronError, CroniterBadDateError, ValueError, KeyError) as error:
        raise ValueError(f"{expression!r} is no calendar: {error}") from error

    def after(time_s: float) -> float | None:
        steps = croniter(text, datetime.fromtimestamp(time_s, zone), second_at_beginning=True)
        try:
            following = float(steps.get_next(float))
            while once and datetime.fromtimestamp(following, zone).fold:
                following = float(steps.get_next(float))
        except CroniterBadDateError:
            return None
        return following

    return after
