"""Each combinator does what its row of the table says, with its actions here and elsewhere."""

from __future__ import annotations

import pytest

from engine.testing.kit import engines


def test_a_sequence_runs_its_children_in_turn_and_ends_normally(play):
    async def story(stage):
        record = await stage.run(
            "Sequence { a extends Step { takes 1; } b extends Step { takes 2; } c extends Step; }"
        )
        assert record.type == "normal", record
        assert [text for _, text in stage.times] == ["a", "b", "c"]
        assert stage.times[1][0] >= 1
        assert stage.times[2][0] >= 3
        assert stage.left == []

    play(story)


@pytest.mark.parametrize("bad", ['ends [|"odd"|];', "unborn true;"], ids=["end", "start"])
def test_a_sequence_ends_with_the_first_failure(play, bad):
    async def story(stage):
        record = await stage.run(
            f"Sequence {{ a extends Step; b extends Step {{ {bad} }} c extends Step; }}"
        )
        assert record.type == ("odd" if "odd" in bad else "abnormal")
        assert not any(text.startswith("c") for text in stage.said)

    play(story)


def test_a_sequence_without_children_ends_normally(play):
    async def story(stage):
        assert (await stage.run("Sequence { }")).type == "normal"

    play(story)


def test_a_random_sequence_runs_each_child_once_in_an_order_of_its_seed(play):
    async def story(stage):
        body = " ".join(f"s{n} extends Step;" for n in range(6))
        orders = []
        for name in ("x", "y"):
            await stage.start(f"RandomSequence {{ seed 7; {body} }}", name)
            assert (await stage.end(name)).type == "normal"
            orders.append(stage.said)
        assert orders[0] == orders[1] != sorted(orders[0])
        assert sorted(orders[0]) == [f"s{n}" for n in range(6)]

    play(story)


def test_parallel_children_run_at_the_same_time_and_it_ends_after_the_last(play):
    async def story(stage):
        record = await stage.run(
            "Parallel { a extends Step { takes 5; } b extends Step { takes 9; } }"
        )
        assert record.type == "normal"
        assert all(at < 1 for at, _ in stage.times)
        assert record.description == "all 2 children have ended normally"

    play(story)


def test_parallel_ends_abnormally_with_the_first_failure_and_ends_the_others(play):
    async def story(stage):
        record = await stage.run(
            'Parallel { a extends Step { takes -1; } b extends Step { takes 2; ends [|"abnormal"|]; } }'
        )
        assert record.type == "abnormal"
        assert "-a" in stage.all_said
        assert stage.left == []

    play(story)


def test_parallel_told_to_bear_failures_goes_on_and_says_so(play):
    async def story(stage):
        record = await stage.run(
            "Parallel { asynchCreateChild true; terminateOnAbnormalChildTermination false;"
            " terminateOnAbnormalChildDeploy false; a extends Step { takes 3; }"
            ' b extends Step { ends [|"abnormal"|]; } c extends Step { unborn true; } }'
        )
        assert record.type == "normal"
        assert "failed: " in record.description
        assert {"b", "c"} <= set(record.description.replace(",", "").split())

    play(story)


def test_a_failed_creation_one_by_one_always_ends_parallel(play):
    async def story(stage):
        record = await stage.run(
            "Parallel { terminateOnAbnormalChildDeploy false; a extends Step { takes -1; }"
            " c extends Step { unborn true; } d extends Step; }"
        )
        assert record.type == "abnormal"
        assert "d" not in stage.said

    play(story)


def test_parallel_keeps_to_its_concurrency(play):
    async def story(stage):
        body = " ".join(f"s{n} extends Step {{ takes 10; }}" for n in range(5))
        await stage.run(f"Parallel {{ asynchCreateChild true; concurrency 2; {body} }}")
        assert [int(at // 9) for at, _ in stage.times] == [0, 0, 1, 1, 2]

    play(story)


def test_an_empty_parallel_stays_unless_told_to_end(play):
    async def story(stage):
        await stage.start("Parallel { }", "stays")
        assert (await stage.run("Parallel { terminateOnEmptyDeploy true; }")).type == "normal"
        assert stage.left == ["stays"]

    play(story)


def test_repeat_runs_its_action_so_often_with_pauses(play):
    async def story(stage):
        record = await stage.run("Repeat { repeat 3; interval 5000; action extends Step; }")
        assert record.type == "normal"
        assert [int(at // 5) for at, _ in stage.times] == [0, 1, 2]

    play(story)


def test_repeat_ends_with_the_first_failure(play):
    async def story(stage):
        record = await stage.run(
            'Repeat { repeat -1; action extends Step { ends [|"normal", "normal", "abnormal"|]; } }'
        )
        assert record.type == "abnormal"
        assert stage.said == ["action"] * 3

    play(story)


def test_the_first_component_is_the_action_where_none_has_that_name(play):
    async def story(stage):
        await stage.run("Repeat { repeat 2; job extends Step; other extends Step; }")
        assert stage.said == ["job", "job"]

    play(story)


def test_while_asks_before_and_until_after_each_run(play):
    async def story(stage):
        await stage.run("While { condition false; action extends Step; }")
        assert stage.said == []
        await stage.start("Until { condition true; action extends Step; }", "second")
        assert (await stage.end("second")).type == "normal"
        assert stage.said == ["action"]
        await stage.start("While { condition true; max 3; action extends Step; }", "third")
        assert (await stage.end("third")).type == "normal"
        assert stage.said == ["action"] * 3

    play(story)


def test_for_each_runs_its_action_for_every_item_so_many_at_a_time(play):
    async def story(stage):
        record = await stage.run(
            'ForEach { items [|"x", "y", "z"|]; parallel 2; action extends Step { takes 4; } }'
        )
        assert record.type == "normal"
        assert sorted(stage.said) == ["action0=x", "action1=y", "action2=z"]
        assert [int(at // 4) for at, _ in stage.times] == [0, 0, 1]

    play(story)


def test_retry_runs_a_fresh_copy_after_each_failure_and_counts_attempts(play):
    async def story(stage):
        await stage.start(
            "Retry { retry 5; delay 1000; backoff 2.0; action extends Step { takes 0.5;"
            ' ends [|"abnormal", "abnormal", "normal"|]; } }'
        )
        retry = stage.find("app")
        record = await stage.end()
        assert record.type == "normal"
        assert retry.value("count") == 3
        times = [at for at, _ in stage.times]
        assert 1.4 < times[1] - times[0] < 2
        assert 2.4 < times[2] - times[1] < 3.2

    play(story)


def test_retry_gives_up_after_so_many_further_runs(play):
    async def story(stage):
        record = await stage.run("Retry { retry 2; action extends Step { unborn true; } }")
        assert record.type == "abnormal"
        assert stage.said.count("action unborn") == 3

    play(story)


def test_retry_passes_on_an_end_it_is_not_for(play):
    async def story(stage):
        record = await stage.run('Retry { retry 2; action extends Step { ends [|"odd"|]; } }')
        assert record.type == "odd"
        assert stage.said == ["action"]

    play(story)


@pytest.mark.parametrize(
    ("ends", "handlers", "said", "type_"),
    [
        ("normal", "normal abnormal", ["action", "normal"], "normal"),
        ("abnormal", "normal abnormal", ["action", "abnormal"], "normal"),
        ("odd", "odd otherwise", ["action", "odd"], "normal"),
        ("odd", "normal otherwise", ["action", "otherwise"], "normal"),
        ("odd", "normal", ["action"], "odd"),
    ],
)
def test_try_runs_the_child_named_by_the_type_of_the_end(play, ends, handlers, said, type_):
    async def story(stage):
        others = " ".join(f"{name} extends LAZY Step;" for name in handlers.split())
        record = await stage.run(f'Try {{ action extends Step {{ ends [|"{ends}"|]; }} {others} }}')
        assert stage.said == said
        assert record.type == type_

    play(story)


def test_attempt_ends_normally_whatever_happens_and_keeps_the_record(play):
    async def story(stage):
        await stage.start(
            'Attempt { action extends Step { takes 1; ends [|"odd"|]; } default extends Step; }'
        )
        attempt = stage.find("app")
        assert (await stage.end()).type == "normal"
        assert attempt.value("result").get("type") == "odd"
        assert stage.said == ["action", "default"]

    play(story)


@pytest.mark.parametrize(
    ("kind", "time", "takes", "type_", "until_s"),
    [
        ("Timeout", '"5s"', 9, "abnormal", 5),
        ("Timeout", "5000", 2, "normal", 2),
        ("Timeout", "0", 9, "normal", 9),
        ("During", "5000", 9, "normal", 5),
        ("During", "-1", 9, "normal", 9),
        ("Delay", "5000", 2, "normal", 7),
    ],
)
def test_time_around_an_action(play, kind, time, takes, type_, until_s):
    async def story(stage):
        await stage.start(f"{kind} {{ time {time}; action extends Step {{ takes {takes}; }} }}")
        live = stage.find("app")
        record = await stage.end()
        assert record.type == type_
        assert until_s <= round(live.since_s - stage.began_s, 3) < until_s + 1
        assert stage.left == []

    play(story)


def test_during_for_no_time_and_a_delay_without_action_just_end(play):
    async def story(stage):
        assert (await stage.run("During { action extends Step; }")).type == "normal"
        await stage.start("Delay { time 3000; }", "second")
        assert (await stage.end("second")).type == "normal"
        assert stage.said == []

    play(story)


def test_a_limit_holds_while_the_action_is_still_starting(play):
    async def story(stage):
        record = await stage.run(
            "Timeout { time 5000; action extends Sequence { inner extends Group {"
            " s extends Step { takes -1; } sfDependsOn LAZY never; }"
            " never extends ReadyGate { condition false; } } }"
        )
        assert record.type == "abnormal"
        assert stage.left == []

    play(story)


def test_a_container_only_removes_a_child_that_ends(play):
    async def story(stage):
        await stage.start(
            'Container { a extends Step { takes 1; ends [|"abnormal"|]; } b extends Step { takes 2; }'
            " c extends Step { unborn true; } }"
        )
        await stage.until(lambda: sum("ended: " in text for text in stage.notes()) == 3)
        assert stage.left == ["app"]
        assert not stage.find("app").children

    play(story)


def test_a_fire_break_keeps_an_end_from_its_parent(play):
    async def story(stage):
        await stage.start(
            "Group { other extends Step { takes -1; }"
            ' brk extends FireBreak { a extends Step { takes 1; ends [|"abnormal"|]; } } }'
        )
        await stage.until(lambda: not stage.has("brk") and not stage.has("a"))
        assert stage.has("other")
        assert "brk" not in stage.find("app").children

    play(story)


def test_collect_makes_so_many_and_scales_newest_first(play, place):
    async def story(stage):
        await stage.start("Collect { count 3; template extends Step { takes -1; } }")
        collect = stage.find("app")
        await stage.until(lambda: len(collect.children) == 3)
        assert list(collect.children) == ["element0", "element1", "element2"]
        await stage.set("app", "count", 1)
        await stage.until(lambda: len(collect.children) == 1)
        gone = [text for text in stage.all_said if text[0] == "-"]
        if place == "elsewhere":  # begun newest first, but two messages to a host may overtake
            gone.sort(reverse=True)
        assert gone == ["-element2", "-element1"]
        await stage.set("app", "count", 2)
        await stage.until(lambda: list(collect.children) == ["element0", "element1"])
        await stage.one.terminate("app")
        assert stage.left == []

    play(story)


def test_slow_start_bears_being_unwell_for_a_while(play):
    async def story(stage):
        await stage.start(
            "SlowStart { delay 60000; sfLivenessDelay 5; action extends Prim {"
            ' sfClass "engine.testing.components.Signaller"; sfReadyWhen "started"; wellAfter 5; } }'
        )
        action = await stage.until(lambda: stage.has("action") and stage.find("action"))
        await stage.until(
            lambda: action.value("checks") and action.value("checks") >= 7, timeout_s=90
        )
        assert stage.has("action")

    play(story)


def test_finally_starts_its_action_when_it_is_ended_and_waits_for_it(play):
    async def story(stage):
        await stage.start("Group { f extends Finally { action extends Step { takes 4; } } }")
        assert stage.said == []
        await stage.one.terminate("app")
        assert stage.all_said == ["action", "-action"]
        assert stage.left == []

    play(story)


def test_a_rollback_starts_no_final_action(play):
    async def story(stage):
        with pytest.raises(Exception, match="told not to start"):
            await stage.start(
                "Group { f extends Finally { action extends Step; } bad extends Step { unborn true; } }"
            )
        assert "action" not in stage.said
        assert stage.left == []

    play(story)


def test_on_termination_chooses_by_the_type_of_the_end(play):
    async def story(stage):
        text = (
            "Group { f extends OnTermination { normal extends Step; abnormal extends Step;"
            ' otherwise extends Step; } s extends Step { takes 1; ends [|"%s"|]; } }'
        )
        for type_, said in (("normal", "normal"), ("abnormal", "abnormal"), ("odd", "otherwise")):
            await stage.start(text % type_, type_)
            await stage.end(type_)
            assert stage.said == ["s", said]

    play(story)


def test_a_counter_action_runs_when_its_component_is_ended(play):
    async def story(stage):
        await stage.start(
            "CounterAction { action extends Step { takes 1; } counterAction extends Step { takes 1; } }"
        )
        await stage.until(lambda: "-action" in stage.all_said)
        assert stage.said == ["action"]
        await stage.one.terminate("app")
        assert stage.said == ["action", "counterAction"]

    play(story)


def test_retract_ends_its_children_one_by_one_the_last_first(play):
    async def story(stage):
        body = " ".join(f"s{n} extends Step {{ takes -1; }}" for n in range(4))
        await stage.start(f"Retract {{ {body} }}")
        await stage.one.terminate("app")
        assert stage.all_said[4:] == ["-s3", "-s2", "-s1", "-s0"]

    play(story)


def test_a_detaching_compound_frees_its_children_and_ends(play):
    async def story(stage):
        await stage.start(
            "Group { other extends Step { takes -1; } d extends DetachingCompound {"
            ' a extends Step { takes -1; sfProcessComponentName "freed"; } } }'
        )
        await stage.until(lambda: sorted(stage.left) == ["app", "app:other", "freed"])

    play(story)


def test_run_creates_an_application_that_lives_on(play):
    async def story(stage):
        record = await stage.run('Run { asName "free"; action extends Step { takes -1; } }')
        assert record.type == "normal"
        assert stage.left == ["free"]

    play(story)


@pytest.mark.parametrize("type_", ["Group", "Container", "Supervisor"])
def test_run_creates_a_child_of_any_compound(play, type_):
    async def story(stage):
        await stage.start(
            f"Group {{ house extends {type_} {{ there extends Step {{ takes -1; }} }} r extends Sequence {{"
            " sfShouldTerminate false;"
            ' r2 extends Run { asName "guest"; parent LAZY house; action extends Step { takes -1; } } } }'
        )
        await stage.until(lambda: stage.has("guest") and not stage.has("r2"))
        assert "guest" in stage.find("house").children
        assert sorted(stage.said) == ["guest", "there"]

    play(story)


def test_run_creates_an_application_where_its_deployer_is(stage_here):
    async def story(stage):
        await stage.start(
            'Group { far extends Group { sfProcessHost "host2"; } r extends Sequence { sfShouldTerminate false;'
            ' r2 extends Run { deployer LAZY far; asName "free"; action extends Step { takes -1; } } } }'
        )
        await stage.until(lambda: "free" in stage.left and not stage.has("r2"))
        assert stage.two.process.application("free")

    stage_here(story)


def test_run_fails_when_what_it_creates_elsewhere_cannot_start(stage_here):
    async def story(stage):
        record = await stage.run(
            "Sequence { x extends Run { deployer LAZY PARENT; action extends Step { unborn true; } } }"
        )
        assert record.type == "abnormal"
        assert stage.left == []

    stage_here(story)


def starting(engine):
    return [live.state.value for live in engine.process.lives.values() if live.name[0] == "c"]


async def test_children_of_an_asynchronous_parallel_come_up_at_the_same_time(tmp_path, make_stage):
    slow = 'sfClass "engine.testing.components.Sleeper"; threadSeconds 1.0;'
    async with engines(tmp_path / "state", 2, threads=True) as (network, (one, two)):
        stage = make_stage(network, one, two, tmp_path)
        for limit, up in ((0, 4), (2, 2)):
            body = " ".join(f"c{n} extends Prim {{ {slow} }}" for n in range(4))
            await stage.start(f"Parallel {{ asynchCreateChild true; concurrency {limit}; {body} }}")
            await stage.until(lambda: starting(one) == ["starting"] * up)  # noqa: B023 - used at once
            await one.terminate("app")


def test_run_creates_a_child_of_a_container(play):
    async def story(stage):
        await stage.start(
            "Parallel { asynchCreateChild true; house extends Container { }"
            ' r extends Run { asName "guest"; parent LAZY house; action extends Step { takes -1; } } }'
        )
        await stage.until(lambda: stage.has("guest") and not stage.has("r"))
        assert "guest" in stage.find("house").children

    play(story)


def test_a_deployer_makes_what_it_is_led_to(play):
    async def story(stage):
        record = await stage.run(
            "Sequence { what extends DATA Step { takes -1; }"
            ' d extends Deployer { description LAZY PARENT:what; asName "free"; } }'
        )
        assert record.type == "normal", record
        assert stage.left == ["free"]

    play(story)


def test_a_schedulee_spreads_its_children_and_gives_places_back(play):
    async def story(stage):
        await stage.start(
            'Group { s extends Scheduler { hosts [|"host1", "host2"|]; }'
            " many extends Schedulee { scheduler LAZY s; a extends Group; b extends Group; } }"
        )
        assert stage.find("many").value("placements") == "a=host1 b=host2"
        assert stage.find("s").value("reserved_places") == 2
        assert stage.find("b").process is stage.two.process

    play(story)


def test_a_full_scheduler_fails_the_deployment_and_says_why(play):
    async def story(stage):
        with pytest.raises(Exception, match="host1: full with 1"):
            await stage.start(
                'Group { s extends Scheduler { hosts [|"host1"|]; limit 1; }'
                " many extends Schedulee { scheduler LAZY s; a extends Group; b extends Group; } }"
            )
        assert stage.left == []

    play(story)


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        ("", []),
        ("sfShouldTerminate false;", ["app", "app:other", "app:w"]),
        ("sfShouldTerminateQuietly true;", ["app", "app:other"]),
        ("sfShouldDetach true;", ["app", "app:other"]),
        (
            'sfShouldDetach true; sfShouldTerminate false; sfProcessComponentName "w2";',
            ["app", "app:other", "w2"],
        ),
    ],
    ids=["default", "stay", "quietly", "detach and end", "detach"],
)
def test_what_follows_a_job_done(play, flags, left):
    async def story(stage):
        await stage.start(
            f"Group {{ other extends Step {{ takes -1; }} w extends Delay {{ time 1000; {flags} }} }}"
        )
        await stage.sleep(5)
        assert sorted(stage.left) == left

    play(story)


def test_the_older_block_of_actions_is_taken_apart(play):
    async def story(stage):
        record = await stage.run("Sequence { actions extends { a extends Step; b extends Step; } }")
        assert record.type == "normal"
        assert [text.partition(":")[2] or text for text in stage.said] == ["a", "b"]

    play(story)


def test_a_quick_workflow_does_not_fail_the_start_of_what_it_is_part_of(play):
    async def story(stage):
        await stage.start(
            "Container { inner extends Group { quick extends Sequence { }"
            " slow extends Signaller2; } }".replace(
                "Signaller2", 'Prim { sfClass "engine.testing.components.Sleeper"; }'
            )
        )
        said = await stage.until(lambda: [n for n in stage.notes() if "inner ended" in n])
        assert said[0].startswith("inner ended: normal")

    play(story)


def test_a_terminator_ends_another_and_then_itself(play):
    async def story(stage):
        await stage.start(
            "Container { victim extends Step { takes -1; }"
            " t extends Delay { time 1000; action extends Terminator"
            ' { kill LAZY victim; type "odd"; } } }'
        )
        await stage.until(lambda: any("t ended: normal" in text for text in stage.notes()))
        await stage.until(lambda: any("victim ended: odd" in text for text in stage.notes()))

    play(story)


def test_a_terminator_whose_target_is_not_there_ends_abnormally(play):
    async def story(stage):
        record = await stage.run("Terminator { kill LAZY nobody; }")
        assert record.type == "abnormal"
        assert "nobody" in record.description

    play(story)


def test_an_attribute_is_set_and_removed(play):
    async def story(stage):
        await stage.start(
            "Container { x 1; y 2; keep extends Group; a extends Attribute { ofComponent LAZY ROOT;"
            ' attributeName "x"; value 5; } b extends Attribute { ofComponent LAZY ROOT;'
            ' attributeName "y"; } }'
        )
        root = stage.find("app")
        await stage.until(lambda: not root.has("y"))
        assert root.value("x") == 5

    play(story)


@pytest.mark.parametrize("type_", ["normal", "abnormal", "odd"])
def test_do_nothing_ends_as_it_is_told(play, type_):
    async def story(stage):
        text = f'DoNothing {{ time 2000; terminationType "{type_}"; message "so it is"; }}'
        record = await stage.run(text)
        assert (record.type, record.description) == (type_, "so it is")

    play(story)


def test_do_nothing_may_stay(play):
    async def story(stage):
        await stage.start('DoNothing { terminationType "none"; }')
        await stage.sleep(60)
        assert stage.left == ["app"]

    play(story)
