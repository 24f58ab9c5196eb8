"""Supervisors: whom they restart, in which order, how often, where, and when they give up."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.flows import (
    ChildEnded,
    ChildGone,
    ChildStarted,
    Drop,
    EndChild,
    Finish,
    StartChild,
    StartFailed,
    TimeUp,
    WakeAt,
)
from engine.core.lifecycle import State
from engine.core.records import Record
from engine.core.supervision import (
    AutoShutdown,
    Backoff,
    Budget,
    Policy,
    Restart,
    Strategy,
    Supervise,
)
from engine.testing.kit import Rule, engines, lazy, tree, until, virtual_time

BAD, GOOD = Record.abnormal("broken"), Record.normal("done")
UP = dict.fromkeys("abc", State.STARTED)


class Run:
    """A flow driven by hand: what it says to do, in order, without the words."""

    def __init__(self, **policy):
        policy.setdefault("backoff", Backoff(first_s=1, jitter=0))
        self.flow = Supervise(Policy(children=("a", "b", "c"), **policy))
        self.state, _ = self.flow.begin(UP)

    def tell(self, what, now_s=0.0):
        self.state, dos = self.flow.on(self.state, what, now_s)
        said = []
        for do in dos:
            match do:
                case StartChild(child):
                    said.append(f"start {child}")
                case EndChild(child, again=True):
                    said.append(f"end {child}")
                case Drop(child):
                    said.append(f"drop {child}")
                case Finish(record):
                    said.append(f"finish {record.type}")
                case WakeAt(at_s):
                    said.append(f"wake {at_s:g}")
        return said


def test_one_for_one_restarts_just_the_one_after_its_wait():
    run = Run()
    assert run.tell(ChildEnded("b", BAD)) == ["wake 1"]
    assert run.tell(TimeUp(), 1) == ["start b"]
    assert run.tell(ChildStarted("b"), 1) == []


def test_one_for_all_ends_the_others_first_then_starts_all_in_order():
    run = Run(strategy=Strategy.ONE_FOR_ALL)
    assert run.tell(ChildEnded("b", BAD)) == ["end c", "end a"]
    assert run.tell(ChildGone("c"), 0.5) == []
    assert run.tell(TimeUp(), 1) == []
    assert run.tell(ChildGone("a"), 2) == ["start a"]
    assert run.tell(ChildStarted("a"), 2) == ["start b"]
    assert run.tell(ChildStarted("b"), 2) == ["start c"]
    assert run.tell(ChildStarted("c"), 2) == []
    assert run.state.up == {"a", "b", "c"}


def test_rest_for_one_takes_those_declared_after_and_those_that_depend():
    run = Run(strategy=Strategy.REST_FOR_ONE)
    assert run.tell(ChildEnded("b", BAD)) == ["end c"]
    run = Run(strategy=Strategy.REST_FOR_ONE, dependents={"c": frozenset("a")})
    assert run.tell(ChildEnded("c", BAD)) == ["end a"]


def test_companions_are_restarted_too():
    run = Run(companions={"a": frozenset("c"), "c": frozenset("b")})
    assert run.tell(ChildEnded("a", BAD)) == ["end c", "end b"]


def test_an_end_while_others_are_being_restarted_joins_that_round():
    run = Run(strategy=Strategy.ONE_FOR_ALL)
    run.tell(ChildEnded("a", BAD))
    run.tell(ChildGone("b"))
    run.tell(ChildGone("c"))
    assert run.tell(TimeUp(), 1) == ["start a"]
    assert run.tell(ChildStarted("a"), 1) == ["start b"]
    assert run.tell(ChildEnded("a", BAD), 2) == []  # b is on its way: it is ended once it is up
    assert run.tell(ChildStarted("b"), 3) == ["end b"]
    assert run.tell(ChildGone("b"), 3) == ["wake 4"]
    assert run.tell(TimeUp(), 4) == ["start a"]
    assert run.tell(ChildStarted("a"), 4) == ["start b"]


def test_a_failed_start_counts_like_an_end():
    run = Run(budget=Budget(1, 60))
    run.tell(ChildEnded("a", BAD))
    run.tell(TimeUp(), 1)
    assert run.tell(StartFailed("a", BAD), 1) == ["finish abnormal"]


def test_three_in_the_period_are_borne_and_the_fourth_is_not():
    run = Run()
    for n in range(3):
        assert run.tell(ChildEnded("a", BAD), n * 10) != ["finish abnormal"]
        assert run.tell(TimeUp(), n * 10 + 9) == ["start a"]
        run.tell(ChildStarted("a"), n * 10 + 9)
    assert run.tell(ChildEnded("a", BAD), 40) == ["finish abnormal"]


def test_the_wait_grows_and_starts_small_again_after_a_healthy_time():
    run = Run(budget=Budget(100, 60))
    waits = []
    now = 0.0
    for pause in (1, 1, 1, 400):
        now += pause
        said = run.tell(ChildEnded("a", BAD), now)
        waits.append(float(said[-1].split()[1]) - now)
        now += 100
        run.tell(TimeUp(), now)
        run.tell(ChildStarted("a"), now)
    assert waits == [1, 2, 4, 1]


def test_chance_adds_at_most_its_share_and_the_same_each_time():
    backoff = Backoff(first_s=10, jitter=0.5, seed="x")
    waits = {backoff.wait_s(0, child) for child in "abcdefgh"}
    assert len(waits) > 1
    assert all(10 <= wait <= 15 for wait in waits)
    assert backoff.wait_s(3, "a") == backoff.wait_s(3, "a")


@pytest.mark.parametrize(
    ("rule", "record", "restarted"),
    [
        (Restart.PERMANENT, GOOD, True),
        (Restart.TRANSIENT, GOOD, False),
        (Restart.TRANSIENT, BAD, True),
        (Restart.TEMPORARY, BAD, False),
    ],
)
def test_which_ends_lead_to_a_restart(rule, record, restarted):
    run = Run(restart={"a": rule})
    assert run.tell(ChildEnded("a", record)) == (["wake 1"] if restarted else ["drop a"])


def test_significant_children_that_did_their_job_end_the_supervisor():
    run = Run(significant=frozenset("ab"), auto_shutdown=AutoShutdown.ALL)
    assert run.tell(ChildEnded("a", GOOD)) == ["drop a"]
    assert run.tell(ChildEnded("c", GOOD)) == ["drop c"]
    assert run.tell(ChildEnded("b", GOOD)) == ["drop b", "finish normal"]
    run = Run(significant=frozenset("ab"), auto_shutdown=AutoShutdown.ANY)
    assert run.tell(ChildEnded("a", GOOD)) == ["drop a", "finish normal"]


def test_too_few_children_for_too_long_end_the_supervisor():
    run = Run(min_healthy=2, grace_s=10, backoff=Backoff(first_s=60, jitter=0))
    run.tell(ChildEnded("a", BAD), 0)
    assert run.tell(ChildEnded("b", BAD), 1) == ["wake 11"]
    assert run.tell(TimeUp(), 11) == ["finish abnormal"]


def test_keep_failed_leaves_the_child_ended_and_goes_on():
    run = Run(budget=Budget(0, 60), keep_failed=True, strategy=Strategy.ONE_FOR_ALL)
    assert run.tell(ChildEnded("a", BAD)) == []
    assert run.state.failed == {"a"}


# -- in a tree

GROUP = "engine.compound.Compound"
FILE = "engine.testing.components.FileMaker"
SUPERVISOR = "components.workflow.Supervisor"
PLACING = "engine.testing.components.Placing"


def live(engine, path):
    return next((each for each in engine.process.lives.values() if each.path == path), None)


async def virtually(condition, bound_s=300):
    loop = asyncio.get_running_loop()
    end = loop.time() + bound_s
    while not condition():
        assert loop.time() < end, f"not within {bound_s} virtual seconds"
        await asyncio.sleep(0.05)


def test_rest_for_one_in_a_tree_keeps_order_and_counts_restarts(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            children = {
                name: {"sfClass": FILE, "file": str(tmp_path / name)} for name in ("a", "b", "c")
            }
            await one.deploy(
                "app",
                {"sfClass": SUPERVISOR, "strategy": "rest_for_one", "jitter": 0.0, **children},
            )
            first = {name: live(one, f"app:{name}").id for name in "abc"}
            one.process.finish(live(one, "app:b"), Record.abnormal("broken"))
            await virtually(
                lambda: (
                    live(one, "app:c") is not None
                    and live(one, "app:c").id != first["c"]
                    and live(one, "app").ready
                )
            )
            assert list(live(one, "app").children) == ["a", "b", "c"]
            assert live(one, "app:a").id == first["a"]
            assert [live(one, f"app:{name}").restarts for name in "abc"] == [0, 1, 1]
            await one.terminate("app")
            assert not any((tmp_path / name).exists() for name in "abc")

    virtual_time(story())


def test_a_child_given_up_leaves_the_supervisor_running_and_unready(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            child = {"sfClass": FILE, "file": str(tmp_path / "a")}
            await one.deploy(
                "app",
                {"sfClass": SUPERVISOR, "intensity": 0, "onGiveUp": "keepFailed", "a": child},
            )
            one.process.finish(live(one, "app:a"), Record.abnormal("broken"))
            await asyncio.sleep(10)
            assert live(one, "app").state.value == "started"
            assert not live(one, "app").ready
            await one.terminate("app")

    virtual_time(story())


def test_a_child_whose_host_is_lost_goes_elsewhere_once_its_lease_has_surely_run_out(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 3) as (network, (one, two, three)):
            description = {
                "sfClass": GROUP,
                "sfLivenessDelay": 2,
                "scheduler": {
                    "sfClass": PLACING,
                    "hosts": ["host2", "host3"],
                },
                "watch": {
                    "sfClass": SUPERVISOR,
                    "relocate": lazy("scheduler"),
                    "worker": {
                        "sfClass": FILE,
                        "file": str(tmp_path / "w"),
                        "sfProcessHost": "host2",
                    },
                },
            }
            await one.deploy("app", description)
            network.rules.append(Rule("cut", to="host2:3800", times=-1))
            network.sever("host2:3800", "host1:3800")
            await virtually(lambda: live(three, "app:watch:worker") is not None)
            assert live(two, "app:watch:worker") is None, "two copies ran at the same time"
            await virtually(lambda: live(one, "app").ready)
            assert (tmp_path / "w").exists()
            await one.terminate("app")

    virtual_time(story())


def test_a_restart_under_way_at_a_crash_goes_on_afterwards(tmp_path):
    from engine.testing.kit import begin

    async def story():
        async with engines(tmp_path / "state", 1) as (network, made):
            one = made[0]
            child = {"sfClass": FILE, "file": str(tmp_path / "a")}
            other = {"sfClass": FILE, "file": str(tmp_path / "b")}
            await one.deploy(
                "app",
                {
                    "sfClass": SUPERVISOR,
                    "strategy": "one_for_all",
                    "backoff": 30,
                    "a": child,
                    "b": other,
                },
            )
            one.process.finish(live(one, "app:a"), Record.abnormal("broken"))
            await virtually(lambda: not (tmp_path / "b").exists())
            network.verbs.pop("host1:3800")
            await one.process.stop()
            folder = tmp_path / "state" / "host1"
            made[0] = one = await begin(network, folder, "host1", "host1:3800", {})
            await virtually(lambda: live(one, "app").ready and len(live(one, "app").children) == 2)
            await one.terminate("app")

    virtual_time(story())


@pytest.mark.parametrize("planned", [False, True], ids=["killed", "stopped"])
def test_a_start_that_a_crash_cut_short_is_a_failed_start_with_a_record_of_its_own(
    tmp_path, monkeypatch, planned
):
    from engine.core import supervision
    from engine.testing.kit import begin

    told = []
    on = supervision.Supervise.on
    monkeypatch.setattr(
        supervision.Supervise, "on",
        lambda self, state, what, now_s: told.append(what) or on(self, state, what, now_s),
    )  # fmt: skip

    async def story():
        async with engines(tmp_path / "state", 1) as (network, made):
            one = made[0]
            stuck = {"sfClass": FILE, "file": str(tmp_path / "a")}
            await one.deploy("app", {"sfClass": SUPERVISOR, "backoff": 1, "a": stuck})
            live(one, "app").prim.live.changes["a"] = tree({**stuck, "block": "start"})
            one.process.finish(live(one, "app:a"), Record.abnormal("broken"))
            await virtually(lambda: (found := live(one, "app:a")) and found.state is State.STARTING)
            network.verbs.pop("host1:3800")
            told.clear()
            if planned:
                await one.process.stop()
            else:
                network.kill(one.process)
            folder = tmp_path / "state" / "host1"
            made[0] = one = await begin(network, folder, "host1", "host1:3800", {})
            failed = [what for what in told if isinstance(what, StartFailed)]
            assert [(what.child, what.record.type) for what in failed] == [
                ("a", "deploymentFailure")
            ]
            assert "while it was being started" in failed[0].record.description
            assert failed[0].record.component == "app:a"
            assert not [what for what in told if isinstance(what, ChildEnded)]
            await virtually(lambda: live(one, "app").ready)
            await one.terminate("app")

    virtual_time(story())


async def test_a_type_that_cannot_place_a_child_has_failed_to_start_it(tmp_path):
    """Whatever an author's code raises on the way, the flow is told."""
    async with engines(tmp_path / "state", 1) as (_, (one,)):
        child = {"sfClass": FILE, "file": str(tmp_path / "a")}
        await one.deploy(
            "app", {"sfClass": SUPERVISOR, "backoff": 0.01, "intensity": 1, "a": child}
        )

        async def broken(name, description):
            raise KeyError("no such rack")

        live(one, "app").prim.place_child = broken
        one.process.finish(live(one, "app:a"), Record.abnormal("broken"))
        await until(lambda: "app" not in one.process.apps)
        record = one.process.ended_application("app")
        assert "no such rack" in record.sentence() + str(record.cause)


@pytest.mark.parametrize("where", ["deploy", "start"])
def test_a_type_may_create_its_children_itself_and_they_are_taken_up_again(tmp_path, where):
    from engine.testing.kit import begin

    async def story():
        async with engines(tmp_path / "state", 1) as (network, made):
            one = made[0]
            child = {"sfClass": FILE, "file": str(tmp_path / "a")}
            await one.deploy(
                "app",
                {"sfClass": "engine.testing.components.Grower", "where": where, "a": child},
            )
            assert live(one, "app:a").value("extra") == "given"
            await live(one, "app").prim.more("late", str(tmp_path / "late"))
            assert list(live(one, "app").children) == ["a", "late"]
            network.verbs.pop("host1:3800")
            await one.process.stop()
            folder = tmp_path / "state" / "host1"
            made[0] = one = await begin(network, folder, "host1", "host1:3800", {})
            assert list(live(one, "app").children) == ["a", "late"]
            assert live(one, "app:a").value("extra") == "given"
            await one.terminate("app")
            assert one.process.ledger.counts()["changes"] == 0

    virtual_time(story())


def test_a_compound_says_where_its_children_belong(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (_, (one, two)):
            children = {
                name: {"sfClass": FILE, "file": str(tmp_path / name)} for name in ("a", "b")
            }
            await one.deploy("app", {"sfClass": PLACING, "hosts": ["host1", "host2"], **children})
            assert live(one, "app:a") is not None
            assert live(two, "app:b") is not None
            await one.terminate("app")

    virtual_time(story())


async def test_the_flow_is_told_when_a_restart_cannot_be_made(tmp_path):
    async with engines(tmp_path / "state", 1) as (_, (one,)):
        child = {"sfClass": FILE, "file": str(tmp_path / "a")}
        await one.deploy(
            "app",
            {"sfClass": SUPERVISOR, "intensity": 1, "backoff": 0.01, "jitter": 0.0, "a": child},
        )
        (tmp_path / "a").unlink()
        (tmp_path / "a").write_text("somebody else's")
        one.process.finish(live(one, "app:a"), Record.abnormal("broken"))
        await until(lambda: not one.process.apps)
        record = one.process.ended_application("app")
        assert "more than 1 restarts" in record.description
        assert (tmp_path / "a").read_text() == "somebody else's"
