"""Times of a calendar, above all where a zone changes its clocks; the library's rules are pinned."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.schedule.calendars import calendar, periodic

BERLIN = ZoneInfo("Europe/Berlin")


def times(expression, begin, count, zone=BERLIN):
    plan = calendar(expression, zone)
    at, found = datetime.fromisoformat(begin).replace(tzinfo=zone).timestamp(), []
    for _ in range(count):
        at = plan(at)
        found.append(datetime.fromtimestamp(at, zone).isoformat())
    return found


@pytest.mark.parametrize(
    ("expression", "begin", "expected"),
    [
        ("30 2 * * *", "2026-03-28T00:00",  # the gap: due when it is over, and once
         ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]),
        ("30 2 * * *", "2026-10-24T12:00",  # twice in the night: the first time only
         ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]),
        ("0 30 2 * * *", "2026-10-24T12:00",
         ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]),
        ("0 * * * *", "2026-10-25T01:30",  # every hour is every hour
         ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"]),
        ("0 * * * *", "2026-03-29T00:30",
         ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"]),
        ("0 0/1 * * * ?", "2026-01-01T00:00:30",
         ["2026-01-01T00:01:00+01:00", "2026-01-01T00:02:00+01:00"]),
        ("0 0 1 ? * *", "2026-01-01T02:00", ["2026-01-02T01:00:00+01:00"]),
        ("*/20 8-9 * * 1-5", "2026-11-20T09:30",
         ["2026-11-20T09:40:00+01:00", "2026-11-23T08:00:00+01:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00", ["2028-02-29T00:00:00+01:00"]),
        ("@daily", "2026-01-01T12:00", ["2026-01-02T00:00:00+01:00"]),
    ],
)  # fmt: skip
def test_a_calendar_is_due(expression, begin, expected):
    assert times(expression, begin, len(expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "61 * * * *", "0 0 30 2 *", "* * * *", "* * * * * * *", "0 25 * * *"]
)
def test_what_is_no_calendar_is_refused(text):
    with pytest.raises(ValueError, match="is no calendar"):
        calendar(text, BERLIN)


@given(st.floats(1.7e9, 2.0e9), st.sampled_from(["30 2 * * *", "*/7 * * * *", "0 3 * * 0"]))
def test_the_next_time_is_always_later(at, expression):
    assert calendar(expression, BERLIN)(at) > at


@given(st.floats(0, 1e7), st.floats(0.01, 1e5))
def test_equal_distances_are_later_and_not_further_than_one(at, every):
    due = periodic(every)(at)
    assert at < due <= at + every * (1 + 1e-9)
