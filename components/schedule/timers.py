"""`Timer` and `Cron`: an action again and again."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from typing_extensions import override

from components.schedule.calendars import calendar, periodic
from components.schedule.ticking import CLOCK, Overlap, Rules, Ticking
from components.workflow.base import Workflow
from engine.core.flows import Asked, Flow
from engine.core.records import Record
from engine.runtime.attributes import attr, output
from engine.runtime.kinds import BadValueError, Kind, bool_, duration_s, shown, str_
from sfdl.values import Value


def _calendar(value: Value) -> str:
    if not isinstance(value, str):
        raise BadValueError(f'must be a calendar such as "30 2 * * *" (got {shown(value)})')
    try:
        calendar(value, ZoneInfo("UTC"))
    except ValueError as error:
        raise BadValueError(f'must be a calendar such as "30 2 * * *": {error}') from error
    return value


def _zone(value: Value) -> str:
    if isinstance(value, str) and value in available_timezones():
        return value
    raise BadValueError(f'must be a time zone such as "Europe/Berlin" (got {shown(value)})')


class Recurring(Workflow):
    """Runs its action whenever it is due, one at a time, as long as it lives.

    A run that fails is counted, and the next one takes place as if nothing had been. After a restart of
    the daemon, or when the machine slept, runs that were missed are left out, or made up for by one.
    """

    needs_action = True
    overlap = attr(
        str_, "skip", choices=("skip", "queue", "replace"),
        doc="What if it is due while it runs: leave that out, run once more after it, or end it first.",
    )  # fmt: skip
    missed = attr(
        str_, "skip", choices=("skip", "once"),
        doc="What if runs were missed: leave them out, or make up for all of them by one.",
    )  # fmt: skip
    grace = attr(duration_s, 60, ge=1, doc="Seconds by which a run may be late and is not missed.")
    at_once = attr(bool_, False, doc="Run at the start as well.", called="atOnce")
    until_failure = attr(bool_, False, doc="End when a run fails.", called="untilFailure")
    runs = output(int, doc="Runs begun so far.")
    skippedRuns = output(int, doc="Runs left out because the one before was not over.")
    missedRuns = output(int, doc="Times at which it found that it had missed one or more runs.")
    failures = output(int, doc="Runs that failed.")
    lastFailure = output(str, doc="How the last of them failed.")

    def rules(self) -> Rules:
        """Return the rules as they were written."""
        overlap: dict[str, Overlap] = {"skip": "skip", "queue": "queue", "replace": "replace"}
        return Rules(
            overlap[self.overlap], self.missed == "once", self.grace, self.at_once,
            self.until_failure,
        )  # fmt: skip


class Timer(Recurring, type="schedule.timer"):
    """Runs its action in equal distances, the first time after one of them."""

    every = attr(duration_s, ge=0.01, doc="Seconds from one run to the next.")

    @override
    def make_flow(self) -> Flow[Any]:
        return Ticking(self.action(), periodic(self.every), f"every {self.every:g} s", self.rules())


class Cron(Recurring, type="schedule.cron"):
    """Runs its action by a calendar: minute, hour, day of month, month, day of week.

    With six fields the first is seconds. The calendar is that of its time zone: what a zone leaves
    out in spring is run when the gap is over, what it has twice in autumn is run once.
    """

    calendar = attr(
        Kind("calendar", "String", _calendar), doc="When it is due, such as 30 2 * * 1-5."
    )
    timezone = attr(
        Kind("time zone", "String", _zone),
        "UTC",
        doc="Where the calendar holds, such as Europe/Berlin.",
    )
    nextRun = output(str, doc="When it is due next, with the distance from UTC.")

    @override
    def make_flow(self) -> Flow[Any]:
        zone = ZoneInfo(self.timezone)

        def show(time_s: float) -> str:
            return datetime.fromtimestamp(time_s, zone).isoformat()

        name = f"{self.calendar} in {self.timezone}"
        return Ticking(self.action(), calendar(self.calendar, zone), name, self.rules(), show)

    @override
    async def perform(self, step: str) -> Record:
        if step == CLOCK:
            self.tell(Asked(CLOCK, self.live.process.wall_s()))
        return Record.normal()
