"""Limits are settings; exceeding one is a clear refusal, and nothing is left."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.faults import EngineError, Kind
from engine.testing.kit import engines, virtual_time

GROUP = "engine.compound.Compound"
FILE = "engine.testing.components.FileMaker"


def nested(depth):
    inner = {"sfClass": GROUP}
    for _ in range(depth):
        inner = {"sfClass": GROUP, "in": inner}
    return inner


@pytest.mark.parametrize(
    ("settings", "root", "kind", "words"),
    [
        ({"most_components": 5}, {"sfClass": GROUP, **{f"c{n}": {"sfClass": GROUP} for n in range(9)}},
         Kind.BUSY, "holds 5 components"),
        ({"most_depth": 10}, nested(20), Kind.BAD_DESCRIPTION, "deeper than 10"),
        ({"most_attributes": 8}, {"sfClass": GROUP, **{f"a{n}": n for n in range(20)}},
         Kind.BAD_DESCRIPTION, "more than 8 attributes"),
    ],
)  # fmt: skip
def test_what_is_too_much_is_refused_and_leaves_nothing(tmp_path, settings, root, kind, words):
    async def story():
        async with engines(tmp_path / "state", 1, **settings) as (_, (one,)):
            with pytest.raises(EngineError, match=words) as failure:
                await one.deploy("app", root)
            assert failure.value.fault.kind is kind
            assert not one.process.lives
            assert not one.process.apps

    virtual_time(story())


def test_operations_beyond_the_limit_are_refused_until_some_are_done(tmp_path):
    def slow(name):
        file = str(tmp_path / name)
        return {"sfClass": FILE, "file": file, "block": "start", "sfStartTimeout": 9}

    async def story():
        async with engines(tmp_path / "state", 1, most_operations=2) as (_, (one,)):
            first = [asyncio.ensure_future(one.deploy(name, slow(name))) for name in ("x", "y")]
            await asyncio.sleep(1)
            with pytest.raises(EngineError, match="2 operations are under way") as failure:
                await one.deploy("z", {"sfClass": GROUP})
            assert failure.value.fault.kind is Kind.BUSY
            await asyncio.gather(*first, return_exceptions=True)
            await one.deploy("z", {"sfClass": GROUP})

    virtual_time(story())


def test_events_beyond_the_limit_are_a_gap(tmp_path):
    from engine.wire.messages import Pull

    async def story():
        async with engines(tmp_path / "state", 1, most_events=20) as (_, (one,)):
            await one.deploy("x", {"sfClass": GROUP})
            start = (await one.process.events.pull(Pull(cursor="0"))).next
            for _ in range(5):
                await one.deploy("app", {"sfClass": GROUP, "a": {"sfClass": GROUP}})
                await one.terminate("app")
            page = await one.process.events.pull(Pull(cursor=start))
            assert page.gap
            assert len(page.rows) == 20

    virtual_time(story())
