"""`Timer` and `Cron` under virtual time: a wall clock that goes with it, and can be set."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import descriptions
import sfdl
from engine.core.events import Restarted
from engine.core.faults import EngineError
from engine.runtime.process import Process
from engine.testing.components import Step
from engine.testing.kit import begin, engines, until, virtual_time

HEAD = """
#include "org/smartfrog/components.sf"
#include "components/workflow.sf"
#include "components/schedule.sf"
Step extends Prim { sfClass "engine.testing.components.Step"; }
"""
BERLIN = ZoneInfo("Europe/Berlin")


class Stage:
    def __init__(self, network, engine, folder, monkeypatch):
        self.network, self.engine, self.folder = network, engine, folder
        self.loop = asyncio.get_running_loop()
        self.zero_s = self.loop.time()
        self.ahead_s = 0.0
        monkeypatch.setattr(Process, "wall_s", staticmethod(self.wall_s))

    def wall_s(self):
        return self.loop.time() + self.ahead_s

    def set_wall(self, text, zone=BERLIN):
        wanted = datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()
        self.ahead_s = wanted - self.loop.time()

    @property
    def now(self):
        return datetime.fromtimestamp(self.wall_s(), BERLIN).isoformat(timespec="seconds")

    async def start(self, text):
        Step.diary.clear()
        await self.engine.deploy("app", sfdl.compile(f"{HEAD}sfConfig extends {text}").root)
        self.zero_s = self.loop.time()

    def value(self, name):
        return self.engine.process.application("app").value(name)

    @property
    def begun(self):
        """Seconds at which runs began."""
        return [round(at - self.zero_s) for at, text in Step.diary if not text.startswith("-")]

    @property
    def walls(self):
        return [
            datetime.fromtimestamp(at + self.ahead_s, BERLIN).isoformat(timespec="seconds")
            for at, text in Step.diary
            if not text.startswith("-")
        ]

    def notes(self):
        ring = self.engine.process.events._ring
        return [event.body.text for event in ring if isinstance(event.body, Restarted)]

    async def crash(self, away_s):
        self.network.kill(self.engine.process)
        await asyncio.sleep(away_s)
        peers = {"host1": "host1:3800"}
        self.engine = await begin(self.network, self.folder / "host1", "host1", "host1:3800", peers)


@pytest.fixture
def play(tmp_path, monkeypatch):
    def run(story):
        async def whole():
            async with engines(tmp_path / "state") as (network, (one,)):
                stage = Stage(network, one, tmp_path / "state", monkeypatch)
                try:
                    await story(stage)
                finally:
                    if stage.engine is not one:
                        network.verbs.pop(stage.engine.process.address, None)
                        await stage.engine.process.stop()

        virtual_time(whole())

    return run


def test_it_runs_in_equal_distances_however_long_a_run_takes(play):
    async def story(stage):
        await stage.start('Timer { every "10s"; action extends Step { takes 3; } }')
        await asyncio.sleep(45)
        assert stage.begun == [10, 20, 30, 40]
        assert stage.value("runs") == 4

    play(story)


def test_at_once_is_at_once(play):
    async def story(stage):
        await stage.start('Timer { every "10s"; atOnce true; action extends Step; }')
        await asyncio.sleep(25)
        assert stage.begun == [0, 10, 20]

    play(story)


@pytest.mark.parametrize(
    ("overlap", "begun", "skipped"),
    [("skip", [10, 30, 50], 2), ("queue", [10, 25, 40], None), ("replace", [10, 20, 30, 40, 50], None)],
)  # fmt: skip
def test_what_happens_when_it_is_due_while_it_runs(play, overlap, begun, skipped):
    async def story(stage):
        text = f'overlap "{overlap}"; action extends Step {{ takes 15; }}'
        await stage.start(f'Timer {{ every "10s"; {text} }}')
        await asyncio.sleep(52)
        assert stage.begun == begun
        assert stage.value("skippedRuns") == skipped

    play(story)


def test_a_run_that_fails_is_counted_and_the_next_one_takes_place(play):
    async def story(stage):
        ends = 'ends [|"abnormal", "normal"|];'
        await stage.start(f'Timer {{ every "10s"; action extends Step {{ takes 1; {ends} }} }}')
        await asyncio.sleep(25)
        assert stage.begun == [10, 20]
        assert stage.value("failures") == 1
        assert "abnormal" in stage.value("lastFailure")

    play(story)


def test_it_may_end_at_the_first_failure(play):
    async def story(stage):
        text = 'untilFailure true; action extends Step { takes 1; ends [|"abnormal"|]; }'
        await stage.start(f'Timer {{ every "10s"; {text} }}')
        process = stage.engine.process
        record = await until(lambda: process.ended_application("app"), timeout_s=30)
        assert record.type == "abnormal"

    play(story)


def test_a_nightly_job_runs_once_each_night_also_when_the_clocks_change(play):
    async def story(stage):
        stage.set_wall("2026-10-23T12:00:00")
        text = 'calendar "30 2 * * *"; timezone "Europe/Berlin"; action extends Step { takes 60; }'
        await stage.start(f"Cron {{ {text} }}")
        await asyncio.sleep(0.1)
        assert stage.value("nextRun") == "2026-10-24T02:30:00+02:00"
        await asyncio.sleep(4 * 86400)
        assert stage.walls == [
            "2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00",
            "2026-10-26T02:30:00+01:00", "2026-10-27T02:30:00+01:00",
        ]  # fmt: skip

    play(story)


def test_a_wall_clock_that_is_set_is_noticed(play):
    async def story(stage):
        stage.set_wall("2026-01-01T12:00:00")
        text = 'calendar "0 18 * * *"; timezone "Europe/Berlin"; action extends Step;'
        await stage.start(f"Cron {{ {text} }}")
        await asyncio.sleep(60)
        stage.set_wall("2026-01-01T17:45:00")  # five hours and more were missing
        await asyncio.sleep(1800)
        assert stage.walls == ["2026-01-01T18:00:00+01:00"]

    play(story)


@pytest.mark.parametrize(("missed", "runs"), [("skip", 0), ("once", 1)])
def test_after_a_week_away_there_is_no_storm_of_missed_runs(play, missed, runs):
    async def story(stage):
        stage.set_wall("2026-01-01T12:00:30")
        text = f'calendar "* * * * *"; missed "{missed}"; action extends Step;'
        await stage.start(f"Cron {{ {text} }}")
        await asyncio.sleep(65)
        assert stage.begun == [30]
        await stage.crash(7 * 86400)
        Step.diary.clear()
        await asyncio.sleep(1)
        assert len(stage.begun) == runs
        assert stage.value("missedRuns") == 1
        assert any("ago: missed" in note for note in stage.notes())
        await asyncio.sleep(120)
        assert len(stage.begun) == runs + 2

    play(story)


def test_a_timer_goes_on_in_its_old_rhythm_after_a_crash(play):
    async def story(stage):
        await stage.start('Timer { every "10s"; action extends Step { takes 1; } }')
        await asyncio.sleep(25)
        await stage.crash(8)
        await asyncio.sleep(20)
        assert stage.begun == [10, 20, 33, 40, 50]  # that of 30 is a little late
        assert stage.value("runs") == len(stage.begun)

    play(story)


def test_a_run_that_a_crash_met_in_the_middle_goes_on_and_is_not_begun_twice(play):
    async def story(stage):
        await stage.start('Timer { every "60s"; action extends Step { takes 30; } }')
        await asyncio.sleep(65)
        await stage.crash(5)
        await asyncio.sleep(45)
        assert stage.begun == [60]
        await asyncio.sleep(10)
        assert stage.begun == [60, 120]

    play(story)


def test_its_end_ends_a_run_under_way(play):
    async def story(stage):
        await stage.start('Timer { every "10s"; action extends Step { takes 600; } }')
        await asyncio.sleep(15)
        await stage.engine.terminate("app")
        assert not stage.engine.process.lives
        await asyncio.sleep(60)
        assert stage.begun == [10]

    play(story)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Timer { action extends Step; }", "every"),
        ("Timer { every 0; action extends Step; }", "every: must be at least 0.01"),
        ('Timer { every "often"; action extends Step; }', "every: must be a duration"),
        ("Timer { every 5; }", "needs an action"),
        ('Timer { every 5; overlap "pile"; action extends Step; }', "overlap: must be one of"),
        ('Timer { every 5; missed "all"; action extends Step; }', "missed: must be one of"),
        ("Timer { every 5; grace 0; action extends Step; }", "grace: must be at least 1"),
        ("Cron { action extends Step; }", "calendar"),
        ('Cron { calendar "0 25 * * *"; action extends Step; }', "calendar: must be a calendar"),
        ('Cron { calendar "0 0 30 2 *"; action extends Step; }', "calendar: must be a calendar"),
        (
            'Cron { calendar "@daily"; timezone "Mars"; action extends Step; }',
            "timezone: must be a",
        ),
        ('Cron { calendar "@daily"; action extends Step { takes "x"; } }', "takes"),
    ],
)
def test_a_wrong_one_is_refused_before_anything_starts(play, text, said):
    async def story(stage):
        with pytest.raises((EngineError, sfdl.CompileError), match=said):
            await stage.start(text)
        assert not stage.engine.process.lives
        assert stage.begun == []

    play(story)


async def test_the_nightly_example_runs_its_job(tmp_path):
    file = Path(descriptions.__file__).parent / "examples" / "nightly.sf"
    overrides = [("sfConfig:when", "* * * * * *"), ("sfConfig:folder", str(tmp_path))]
    root = sfdl.compile(file, overrides=overrides).root
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        await one.deploy("nightly", root)

        await until((tmp_path / "nightly.log").exists)

        assert (tmp_path / "nightly.log").read_text().startswith("done at")
        await one.terminate("nightly")
        assert not one.process.lives
