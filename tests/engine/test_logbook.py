"""What components log: kept by sub-tree, with levels that can be changed while they run."""

from __future__ import annotations

import asyncio
import logging

import pytest

from engine.core.faults import Refused
from engine.core.tracing import Stamp, enter
from engine.testing.kit import engines, tree, virtual_time
from engine.wire.codec import flatten
from engine.wire.messages import Create, PullLog, SetLevel

GROUP = "engine.compound.Compound"


def live(engine, path):
    return next(each for each in engine.process.lives.values() if each.path == path)


def test_records_are_kept_by_sub_tree_and_level_and_bad_ones_are_events(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (_, (one, two)):
            far = {"sfClass": GROUP, "sfProcessHost": "host2"}
            root = {"sfClass": GROUP, "a": {"sfClass": GROUP, "b": {"sfClass": GROUP}}, "far": far}
            await one.deploy("app", root)
            live(one, "app:a:b").prim.log.info("%d of %d", 1, 2)
            live(one, "app").prim.log.warning("low on %s", "disk")
            live(one, "app:a").prim.log.debug("not kept")
            book = one.process.logbook
            rows = (await book.pull(PullLog(path="app:a"))).rows
            assert [(row.path, row.level, row.text) for row in rows] == [
                ("app:a:b", "info", "1 of 2")
            ]
            rows = (await book.pull(PullLog(level="warn"))).rows
            assert [row.text for row in rows] == ["low on disk"]
            assert any(
                getattr(event.body, "text", "") == "low on disk"
                for event in one.process.events._ring
            )

            await one.submit(SetLevel("trace", ref="app:a"))
            live(one, "app:a:b").prim.log.trace("deep")
            live(one, "app").prim.log.debug("not kept either")
            page = await book.pull(PullLog(cursor=str(rows[-1].seq)))
            assert [row.text for row in page.rows] == ["deep"]
            await one.submit(SetLevel("error", ref="app:far"))
            live(two, "app:far").prim.log.warning("not kept over there")
            assert not (await two.process.logbook.pull(PullLog())).rows
            with pytest.raises(Refused, match="no log level"):
                await one.submit(SetLevel("loud", ref="app"))

    virtual_time(story())


def test_what_is_logged_while_a_request_is_carried_out_has_its_ids_on_every_host(tmp_path):
    """Over three hops: a part of a part of the application, and a part in a sub-process."""

    async def story():
        async with engines(tmp_path / "state", 3) as (_, made):
            one, two, three = made
            talker = "engine.testing.components.Talker"
            deep = {"sfClass": GROUP, "sfProcessHost": "host3", "t": {"sfClass": talker}}
            far = {
                "sfClass": GROUP,
                "sfProcessHost": "host2",
                "t": {"sfClass": talker},
                "deep": deep,
            }
            root = tree({"sfClass": GROUP, "t": {"sfClass": talker}, "far": far})
            op = Create("s1", "app", "app", "app", flatten(root), upto="started")
            await one.submit(op, "the-request")
            rows = []
            for engine in made:
                (row,) = (await engine.process.logbook.pull(PullLog())).rows
                rows.append(row)
            assert [row.trace for row in rows] == ["the-request"] * 3
            assert rows[0].operation == "the-request"
            assert len({row.operation for row in rows}) == 3
            assert all(row.operation for row in rows)

            live(three, "app:far:deep:t").prim.log.info("by itself")
            live(three, "app:far:deep:t").prim.spawn(say_later(live(three, "app:far:deep:t").prim))
            await asyncio.sleep(1)
            book = three.process.logbook
            unasked = (await book.pull(PullLog())).rows[1:]
            assert [(row.text, row.operation, row.trace) for row in unasked] == [
                ("by itself", "", ""), ("later", "", ""),
            ]  # fmt: skip
            chosen = (await book.pull(PullLog(trace="the-request"))).rows
            assert [row.text for row in chosen] == ["hello"]
            by_operation = (await book.pull(PullLog(trace=rows[2].operation))).rows
            assert by_operation == chosen
            assert not (await book.pull(PullLog(trace="another"))).rows
            states = [each for each in two.process.events._ring if each.path == "app:far:t"]
            assert {each.trace for each in states} == {"the-request"}
            await one.terminate("app")

    virtual_time(story())


async def say_later(prim):
    await asyncio.sleep(0.5)
    prim.log.info("later")


async def test_log_lines_of_a_daemon_are_stamped(tmp_path):
    record = logging.LogRecord("sf.x", logging.INFO, "", 1, "text", None, None)
    assert Stamp().filter(record)
    assert (record.operation, record.trace, record.traced) == ("", "", "")

    async def carried_out():
        enter("r2", "r1")
        return await asyncio.to_thread(Stamp().filter, record)

    assert await asyncio.create_task(carried_out())
    assert (record.operation, record.trace, record.traced) == ("r2", "r1", " [r2 of r1]")


def test_what_an_application_logged_is_forgotten_some_time_after_its_end(tmp_path):
    import asyncio

    async def story():
        async with engines(tmp_path / "state", 1, remember_s=60.0) as (_, (one,)):
            await one.deploy("app", {"sfClass": GROUP})
            live(one, "app").prim.log.info("here")
            await one.terminate("app")
            assert one.process.logbook.applications
            await asyncio.sleep(40)
            assert one.process.logbook.applications
            one.process.obituaries._applications.clear()
            await asyncio.sleep(40)
            assert not one.process.logbook.applications

    virtual_time(story())


def test_a_cursor_of_an_earlier_life_and_one_fallen_behind_are_told_as_gaps(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.runtime.logbook.KEPT", 3)

    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            await one.deploy("app", {"sfClass": GROUP})
            log, book = live(one, "app").prim.log, one.process.logbook
            log.info("1")
            first = await book.pull(PullLog())
            log.info("2")
            page = await book.pull(PullLog(cursor=first.next))
            assert [row.text for row in page.rows] == ["2"]
            assert not page.gap
            for number in range(3, 9):
                log.info("%d", number)
            page = await book.pull(PullLog(cursor=first.next, path="app"))
            assert [row.text for row in page.rows] == ["6", "7", "8"]
            assert page.gap
            assert not (await book.pull(PullLog(cursor=first.next, path="other"))).gap
            page = await book.pull(PullLog(cursor="anotherlife.4711"))
            assert [row.text for row in page.rows] == ["6", "7", "8"]
            assert page.gap
            assert book.held == 3
            with pytest.raises(Refused, match="no cursor"):
                await book.pull(PullLog(cursor="x"))

    virtual_time(story())
