"""Components of machines say what they do: as attributes, by reference and in the tree."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from components.reporting import Reporting
from engine.core.faults import EngineError, Refused
from engine.runtime.attributes import attr
from engine.runtime.kinds import bool_
from engine.testing.kit import engines, until
from sfdl.values import Description

WORKER = f"{__name__}.Worker"


class Worker(Reporting, type="test.worker"):
    """Works until it is let on."""

    fails = attr(bool_, False, doc="Whether its work fails.")
    passes = asyncio.Event()

    async def on_start(self):
        with self.step("work", "works"):
            self.progress(0.4, "works harder")
            await Worker.passes.wait()
            if self.fails:
                raise Refused("there is no more coal")


class Still(Reporting, type="test.still"):
    """Has no hooks at all."""


@pytest.fixture
async def engine(tmp_path):
    Worker.passes = asyncio.Event()
    async with engines(tmp_path, 1, packages=(__name__.partition(".")[0],)) as (_, (one,)):
        yield one


def described(**more):
    return Description((("sfClass", WORKER), *more.items()))


def found(engine):
    return next(iter(engine.process.lives.values()))


async def test_it_says_what_it_does_how_far_it_is_and_then_that_it_rests(engine):
    growing = asyncio.ensure_future(engine.deploy("app", described()))
    await until(lambda: engine.process.lives and found(engine).value("status") == "works harder")
    live = found(engine)
    assert live.value("progress") == 40
    (row,) = await engine.rows("app")
    assert row.status == "works harder"

    Worker.passes.set()
    await growing

    assert (live.value("status"), live.value("progress")) == ("is there", None)
    assert datetime.fromisoformat(live.value("since")).tzinfo is not None
    assert set(live.value("timings").names()) == {"start", "work"}
    assert (await engine.rows("app"))[0].status == ""


async def test_what_failed_is_kept_as_its_last_error(engine):
    Worker.passes.set()
    said = []
    engine.process.events.attribute, tell = (
        lambda live, name, value: (said.append((name, value)), tell(live, name, value)),
        engine.process.events.attribute,
    )

    with pytest.raises(EngineError, match="no more coal"):
        await engine.deploy("app", described(fails=True))

    assert ("lastError", "there is no more coal") in said


async def test_one_that_does_nothing_says_that_it_is_there(engine):
    await engine.deploy("app", Description((("sfClass", f"{__name__}.Still"),)))

    assert found(engine).value("status") == "is there"


async def test_what_is_done_another_way_is_listed_once(engine):
    Worker.passes.set()
    await engine.deploy("app", described())
    worker = found(engine).prim

    worker.degrade("steam", "by hand instead")
    worker.degrade("steam", "by hand instead")
    worker.degrade("light", "in the dark")

    assert worker.live.value("degraded").items == ("steam", "light")


async def test_steps_side_by_side_leave_what_it_says_when_it_rests(engine):
    Worker.passes.set()
    await engine.deploy("app", described())
    worker = found(engine).prim
    worker.begin_run()

    async def one(name, seconds):
        with worker.step(name, f"does {name}"):
            await asyncio.sleep(seconds)

    await asyncio.gather(one("a", 0.01), one("b", 0.03), one("a", 0.02))

    assert worker.live.value("status") == "is there"
    timings = worker.live.value("timings")
    assert timings.names() == ("a", "b")
    assert timings.get("a") >= 0.03


async def test_work_that_is_cancelled_has_not_failed(engine):
    Worker.passes.set()
    await engine.deploy("app", described())
    worker = found(engine).prim

    with pytest.raises(asyncio.CancelledError), worker.step("x", "does x"):
        raise asyncio.CancelledError

    assert not worker.live.has("lastError")
