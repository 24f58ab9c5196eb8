"""A daemon killed in the middle of a workflow goes on with it at its next start."""

from __future__ import annotations

import pytest

STEP = "Step { takes 10; }"


@pytest.mark.parametrize(
    ("text", "before_s", "said", "type_"),
    [
        ("Sequence { a extends Step { takes 5; } b extends Step { takes 10; } c extends Step; }", 7,
         ["a", "b", "c"], "normal"),
        ("RandomSequence { seed 1; a extends Step { takes 5; } b extends Step { takes 5; } }", 7,
         ["b", "a"], "normal"),
        ("Repeat { repeat 3; action extends Step { takes 5; } }", 7, ["action"] * 3, "normal"),
        ("Repeat { repeat 2; interval 20000; action extends Step { takes 5; } }", 12,
         ["action"] * 2, "normal"),
        ("While { condition true; max 2; action extends Step { takes 5; } }", 7, ["action"] * 2,
         "normal"),
        ("Until { condition true; action extends Step { takes 5; } }", 3, ["action"], "normal"),
        ('ForEach { items [|"x", "y", "z"|]; action extends Step { takes 5; } }', 7,
         ["action0=x", "action1=y", "action2=z"], "normal"),
        ('Retry { retry 3; delay 9000; action extends Step { takes 5; ends [|"abnormal", "normal"|]; } }',
         8, ["action"] * 2, "normal"),
        ("Try { action extends Step { takes 2; } normal extends LAZY Step { takes 10; } }", 5,
         ["action", "normal"], "normal"),
        ('Attempt { action extends Step { takes 2; ends [|"odd"|]; } default extends Step { takes 10; } }',
         5, ["action", "default"], "normal"),
        ("Timeout { time 60000; action extends Step { takes 10; } }", 5, ["action"], "normal"),
        ("Timeout { time 15000; action extends Step { takes -1; } }", 5, ["action"], "abnormal"),
        ("During { time 15000; action extends Step { takes -1; } }", 5, ["action"], "normal"),
        ("Delay { time 15000; action extends Step { takes 2; } }", 5, ["action"], "normal"),
        ("Parallel { a extends Step { takes 5; } b extends Step { takes 10; } }", 7, ["a", "b"],
         "normal"),
        ("Parallel { asynchCreateChild true; concurrency 1; a extends Step { takes 5; }"
         " b extends Step { takes 5; } }", 7, ["a", "b"], "normal"),
        ("If { condition true; then extends LAZY Step { takes 10; } }", 5, ["then"], "normal"),
        ("WaitFor { interval 1000; timeout 15000; condition false; else extends LAZY Step; }", 5,
         ["else"], "normal"),
        ("PostCondition { condition true; action extends Step { takes 5; }"
         " then extends LAZY Step { takes 5; } }", 7, ["action", "then"], "normal"),
        ("SlowStart { action extends Step { takes 10; } }", 5, ["action"], "normal"),
        ("DoNothing { time 15000; }", 5, [], "normal"),
    ],
    ids=lambda value: value.split("{")[0].strip() if isinstance(value, str) else "",
)  # fmt: skip
def test_a_workflow_goes_on_after_a_restart(play, text, before_s, said, type_):
    async def story(stage):
        await stage.start(text)
        await stage.sleep(before_s)
        await stage.again()
        assert stage.one.process.ended_application("app") is None
        record = await stage.end(timeout_s=200)
        assert record.type == type_, record
        assert stage.said == said
        await stage.until(lambda: stage.left == [])

    play(story)


def test_a_timeout_counts_the_time_from_before_the_restart(play):
    async def story(stage):
        await stage.start("Timeout { time 60000; action extends Step { takes -1; } }")
        await stage.sleep(50)
        process = stage.one.process
        process.live(process.application("app").ident).flow._save()
        await stage.again()
        await stage.end(timeout_s=15)

    play(story)


def test_a_workflow_that_has_done_its_job_and_stays_does_it_once(play):
    async def story(stage):
        await stage.start("Sequence { sfShouldTerminate false; a extends Step; }")
        await stage.until(lambda: "-a" in stage.all_said)
        await stage.sleep(1)
        await stage.again()
        await stage.sleep(30)
        assert stage.said == ["a"]
        assert stage.left == ["app"]

    play(story)


def test_a_container_does_not_bring_back_what_had_ended_but_keeps_what_others_added(play):
    async def story(stage):
        await stage.start("Container { a extends Step; b extends Step { takes -1; } }")
        await stage.until(lambda: "-a" in stage.all_said and stage.has("b"))
        await stage.create("app", "c", "Step { takes -1; }")
        await stage.sleep(1)
        await stage.again()
        await stage.sleep(30)
        assert sorted(stage.left) == ["app", "app:b", "app:c"]
        assert stage.said == ["a", "b", "c"]

    play(story)


def test_collect_and_its_number_are_kept(play):
    async def story(stage):
        await stage.start("Collect { count 1; template extends Step { takes -1; } }")
        await stage.set("app", "count", 3)
        await stage.until(lambda: len(stage.find("app").children) == 3)
        await stage.sleep(1)
        await stage.again()
        await stage.set("app", "count", 2)
        await stage.until(lambda: list(stage.find("app").children) == ["element0", "element1"])

    play(story)


def test_a_final_action_waits_through_a_restart(play):
    async def story(stage):
        await stage.start("Group { f extends Finally { action extends Step { takes 2; } } }")
        await stage.sleep(1)
        await stage.again()
        assert stage.said == []
        await stage.one.terminate("app")
        assert stage.said == ["action"]
        await stage.until(lambda: stage.left == [])

    play(story)


def test_a_counter_keeps_what_it_has_heard(stage_here):
    async def story(stage):
        await stage.start("EventCounter { count 3; }")
        for value in ("a", "b"):
            await stage.find("app").prim.event(value)
        await stage.sleep(1)
        await stage.again()
        await stage.find("app").prim.event("c")
        assert (await stage.end()).type == "normal"

    stage_here(story)
