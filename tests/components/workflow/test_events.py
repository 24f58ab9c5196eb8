"""Events: who hears what, in which order, and what is done about it."""

from __future__ import annotations

import json

import pytest

from components.workflow.memory import EventFile
from engine.runtime.outbox import MOST_WAITING
from engine.wire.codec import encode
from engine.wire.messages import PullLog

AWAY = 'sfProcessHost "host2";'


@pytest.fixture
def away(place):
    return AWAY if place == "elsewhere" else ""


async def send(stage, name, value):
    live = stage.find(name)
    await live.process.calls.invoke(live.ident, "event", encode([value]))


def test_an_event_goes_from_its_sender_over_a_bus_to_whoever_is_registered(play, away):
    async def story(stage):
        await stage.start(
            f"Group {{ bus extends EventCompound {{ }}"
            f" sink extends OnEvent {{ {away} registerWith extends {{ b LAZY bus; }}"
            " go extends LAZY Step { takes 1; } }"
            f" late extends Sequence {{ sfShouldTerminate false; s extends EventSend {{ {away}"
            ' event "go"; sendTo extends { a LAZY bus; } } } }'
        )
        assert (await stage.end()).type == "normal"
        assert stage.said == ["go"]

    play(story)


def test_events_of_one_sender_arrive_in_order_and_a_queue_replays_them(play, away):
    async def story(stage):
        await stage.start(f"Container {{ q extends EventQueue {{ {away} keep 5; }} }}")
        await stage.until(lambda: stage.has("q") and stage.find("q").flow.begun)
        for n in range(8):
            await send(stage, "q", n)
        await stage.create("app", "late", "EventLog { registerWith LAZY q; }")
        heard = await stage.until(
            lambda: (
                len(found := [n for n in stage.notes() if n.startswith("event ")]) >= 5 and found
            )
        )
        assert heard == [f"event {n}" for n in range(3, 8)]

    play(story)


def test_a_sink_that_ends_is_forgotten_and_the_sender_goes_on(play, away):
    async def story(stage):
        await stage.start("Container { src extends EventPrim; }")
        await stage.until(lambda: stage.has("src"))
        await stage.create(
            "app", "sink", f"EventCounter {{ {away} registerWith extends {{ a LAZY src; }} }}"
        )
        source = stage.find("src").prim
        assert len(source.outbox.sinks) == 1
        await send(stage, "src", "x")
        await stage.until(lambda: not stage.has("sink"))
        await stage.until(lambda: not source.outbox.sinks)
        await send(stage, "src", "y")

    play(story)


def test_too_many_waiting_events_drop_the_oldest_and_say_so(play):
    async def story(stage):
        await stage.start("Container { src extends EventPrim; sink extends EventQueue; }")
        await stage.until(lambda: stage.has("sink"))
        source, sink = stage.find("src").prim, stage.find("sink")
        source.outbox.add(sink.handle)
        for n in range(MOST_WAITING + 20):
            source.outbox.send(n)
        await source.outbox.sent()
        heard = sink.prim.history()
        assert heard == tuple(range(20, MOST_WAITING + 20))
        assert any("20 events for app:sink were dropped" in text for text in stage.notes())

    play(story)


@pytest.mark.parametrize(("different", "needed"), [("true", 4), ("false", 3)])
def test_a_counter_ends_after_so_many_events(play, different, needed):
    async def story(stage):
        await stage.start(f"EventCounter {{ count 3; allDifferent {different}; }}")
        for n, value in enumerate(["a", "a", "b", "c"]):
            if n < needed:
                assert stage.one.process.ended_application("app") is None
                await send(stage, "app", value)
        assert (await stage.end()).type == "normal"

    play(story)


def test_on_event_for_many_runs_until_a_child_fails(play):
    async def story(stage):
        await stage.start(
            "OnEvent { singleEvent false; ok extends LAZY Step; otherwise extends LAZY Step"
            ' { ends [|"odd"|]; } }'
        )
        for _ in range(3):
            await send(stage, "app", "ok")
        await stage.until(lambda: len(stage.said) == 3)
        await send(stage, "app", "what")
        assert (await stage.end()).type == "abnormal"
        assert stage.said == ["ok-0", "ok-1", "ok-2", "otherwise-3"]

    play(story)


def test_an_event_log_writes_lines(play, tmp_path):
    async def story(stage):
        file = tmp_path / "events"
        await stage.start(f'EventLog {{ file "{file}"; }}')
        await send(stage, "app", {"a": [1, "x"]})
        lines = file.read_text().splitlines()
        assert [json.loads(line)["event"] for line in lines] == [{"a": [1, "x"]}]

    play(story)


def test_an_event_log_may_write_to_its_log(play):
    async def story(stage):
        await stage.start('EventLog { logger "warn"; }')
        await send(stage, "app", {"a": 1})
        rows = (await stage.find("app").process.logbook.pull(PullLog())).rows
        assert [(row.level, row.text) for row in rows] == [("warn", 'event {"a": 1}')]

    play(story)


def test_registrations_live_through_a_restart_of_the_source(play, away):
    async def story(stage):
        await stage.start(
            f"Group {{ src extends EventPrim; sink extends EventQueue {{ {away}"
            " registerWith extends { a LAZY src; } } }"
        )
        await stage.again()
        await send(stage, "src", "still")
        await stage.until(lambda: stage.find("sink").prim.history() == ("still",))

    play(story)


def test_a_reference_that_leads_nowhere_fails_the_deployment(play):
    async def story(stage):
        with pytest.raises(Exception, match="nobody"):
            await stage.start("Group { e extends EventPrim { sendTo extends { a LAZY nobody; } } }")
        assert stage.left == []

    play(story)


def test_a_list_of_sources_and_sinks_is_wired_as_a_block_is(play, away):
    async def story(stage):
        await stage.start(
            f"Group {{ a extends EventPrim; b extends EventPrim {{ {away} }} sink extends EventQueue {{ {away} }}"
            " middle extends EventPrim { registerWith [LAZY ATTRIB a, LAZY PARENT:PARENT:b]; sendTo [LAZY sink]; } }"
        )
        await send(stage, "a", 1)
        await send(stage, "b", 2)
        await stage.until(lambda: sorted(stage.find("sink").prim.history()) == [1, 2])

    play(story)


@pytest.mark.parametrize("wrong", ['[LAZY ATTRIB src, "other"]', "[|1, 2|]", '"src"'])
def test_what_is_no_reference_is_refused_as_a_source(stage_here, wrong):
    async def story(stage):
        with pytest.raises(Exception, match="registerWith takes LAZY references to components"):
            await stage.start(
                f"Group {{ src extends EventPrim; e extends EventPrim {{ registerWith {wrong}; }} }}"
            )
        assert stage.left == []

    stage_here(story)


def test_a_queue_keeps_all_and_replays_all_however_many_also_after_a_restart(stage_here):
    many = 2 * MOST_WAITING + 1

    async def story(stage):
        await stage.start("Container { q extends EventQueue; }")
        await stage.until(lambda: stage.has("q") and stage.find("q").flow.begun)
        for n in range(many):
            await stage.find("q").prim.event(n)
        await stage.sleep(1)
        await stage.again()
        assert stage.find("q").prim.history() == tuple(range(many))
        await stage.find("q").prim.event("after")
        await stage.create("app", "late", "EventQueue { registerWith LAZY q; }")
        await stage.until(lambda: len(stage.find("late").prim.history()) == many + 1)
        assert stage.find("late").prim.history() == (*range(many), "after")
        assert not any("dropped" in text for text in stage.notes())

    stage_here(story)


def test_events_that_come_during_a_replay_follow_it_in_order(stage_here):
    async def story(stage):
        await stage.start("Container { q extends EventQueue; }")
        await stage.until(lambda: stage.has("q") and stage.find("q").flow.begun)
        for n in range(MOST_WAITING):
            await stage.find("q").prim.event(n)
        await stage.create("app", "late", "EventQueue { keep 5; }")
        late, queue = stage.find("late"), stage.find("q").prim
        await queue.register(late.handle)
        for n in range(MOST_WAITING, MOST_WAITING + 10):
            await queue.event(n)
        await queue.outbox.sent()
        assert late.prim.history() == tuple(range(MOST_WAITING + 5, MOST_WAITING + 10))

    stage_here(story)


def test_a_queue_that_keeps_few_forgets_the_rest_on_disk_too_and_leaves_no_file(stage_here):
    async def story(stage):
        await stage.start("EventQueue { keep 3; }")
        for n in range(100):
            await stage.find("app").prim.event([n, "x"])
        (file,) = stage.one.process.work_folder.glob("events-*")
        assert len(file.read_text().split()) <= 6
        await stage.sleep(1)
        await stage.again()
        assert stage.find("app").prim.history() == tuple([n, "x"] for n in range(97, 100))
        await stage.one.terminate("app")
        assert not file.exists()

    stage_here(story)


def test_a_line_that_a_crash_cut_short_does_not_count(tmp_path):
    file = EventFile(str(tmp_path / "events"))
    file.append([{"a": 1}, "two"])
    whole = (tmp_path / "events").read_bytes()
    (tmp_path / "events").write_bytes(whole + whole[:4])
    assert file.read() == ({"a": 1}, "two")
