"""All workflow types: ended at any moment, nothing is left; described badly, nothing starts."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import components.workflow
from engine.core.faults import EngineError
from engine.prim import Prim
from engine.runtime.types import GROUP
from engine.testing.components import Step
from engine.testing.kit import engines, virtual_time
from sfdl.errors import SmartDomainsError

from .conftest import Stage

PROTOTYPES = {"BooleanValue", "True", "False", "Equals"}
"""Conditions that are prototypes of `Condition`, tried all the same."""
SLOW = "extends Step { takes 3; }"
FOLDER = Path(components.workflow.__file__).parent
GOOD = {
    "Sequence": f"a {SLOW} b {SLOW}",
    "RandomSequence": f"a {SLOW} b {SLOW}",
    "Repeat": f"repeat 3; interval 2000; action {SLOW}",
    "While": f"condition true; max 3; action {SLOW}",
    "Until": f"condition extends RunningFor {{ seconds 8; }} action {SLOW}",
    "Parallel": f"a {SLOW} b {SLOW} c {SLOW}",
    "ForEach": f'items [|"x", "y", "z"|]; parallel 2; action {SLOW}',
    "Collect": "count 3; template extends Step { takes -1; }",
    "Container": f"a {SLOW} b extends Step {{ takes -1; }}",
    "FireBreak": f"a {SLOW}",
    "Retract": "a extends Step { takes -1; } b extends Step { takes -1; }",
    "DetachingCompound": f"detachDownwards false; detachUpwards false; autoDestruct false; a {SLOW}",
    "Retry": 'retry 3; delay 1000; action extends Step { takes 2; ends [|"abnormal"|]; }',
    "Try": f"action {SLOW} normal extends LAZY Step {{ takes 4; }}",
    "Attempt": f'action extends Step {{ takes 2; ends [|"odd"|]; }} default {SLOW}',
    "Timeout": "time 8000; action extends Step { takes -1; }",
    "During": "time 8000; action extends Step { takes -1; }",
    "Delay": f"time 3000; action {SLOW}",
    "SlowStart": f"action {SLOW}",
    "DoNothing": "time 5000;",
    "If": "condition true; then extends LAZY Step { takes 4; }",
    "WaitFor": "condition false; interval 500; timeout 6000; else extends LAZY Step { takes 3; }",
    "FailingWaitFor": "condition false; interval 500; timeout 6000;",
    "PostCondition": f"condition true; action {SLOW} then extends LAZY Step {{ takes 3; }}",
    "AssertPostConditionMet": f"condition false; action {SLOW}",
    "AssertPostConditionFailed": f"condition false; action {SLOW}",
    "EvaluateCondition": "condition extends BooleanValue { value true; }",
    "Finally": f"action {SLOW}",
    "OnTermination": f"normal {SLOW} otherwise {SLOW}",
    "CounterAction": f"action {SLOW} counterAction {SLOW}",
    "Run": f"parent LAZY PARENT:house; asName \"guest\"; action {SLOW}",
    "Deployer": "parent LAZY PARENT:house; asName \"guest\"; description LAZY PARENT:what;",
    "Schedulee": f'scheduler LAZY PARENT:sched; a {SLOW} b {SLOW}',
    "Terminator": "kill LAZY PARENT:other;",
    "Attribute": 'ofComponent LAZY PARENT:other; attributeName "x"; value 1;',
    "ReadyGate": "condition extends RunningFor { seconds 2; }",
    "LivenessTest": "condition extends BooleanValue { value true; }",
    "Supervisor": f"backoff 1; a {SLOW} b extends Step {{ takes 2; ends [|\"abnormal\"|]; }}",
    "EventPrim": "registerWith extends { a LAZY bus; }",
    "EventCompound": f"sendTo extends {{ a LAZY bus; }} a {SLOW}",
    "EventSend": 'event "go"; sendTo extends { a LAZY bus; }',
    "OnEvent": f"registerWith extends {{ a LAZY bus; }} go extends LAZY {SLOW[8:]}",
    "EventCounter": "registerWith extends { a LAZY bus; }",
    "EventQueue": "registerWith extends { a LAZY bus; }",
    "EventLog": "registerWith extends { a LAZY bus; }",
    "Scheduler": 'hosts [|"host1"|];',
    "Condition": "test true;", "BooleanValue": "value true;", "True": "", "False": "", "Not": "condition false;",
    "And": "", "Or": "", "Xor": "", "Equals": "left 1; right 1;", "Compare": "left 1; right 1;",
    "StringEquals": 'left "a"; right "a";', "StringLength": 'string "a"; length 1;',
    "Matches": 'string "a"; pattern "a";', "Resolves": "reference LAZY PARENT:x;",
    "IsAlive": "target LAZY PARENT:bus;", "IsReady": "target LAZY PARENT:bus;", "RunningFor": "",
}  # fmt: skip
BAD = [
    *[(name, GOOD[name].replace("condition true", "condition 3").replace("condition false", "condition 3"),
       "condition") for name in ("While", "If", "WaitFor", "FailingWaitFor", "PostCondition",
       "AssertPostConditionMet", "AssertPostConditionFailed", "Not")],
    ("Until", "action extends Step;", "condition"),
    *[(name, "", "action") for name in ("Repeat", "Retry", "Try", "Attempt", "Timeout", "During",
       "SlowStart", "Finally", "Run", "CounterAction")],
    ("ForEach", "items 3; action extends Step;", "items"),
    ("ForEach", 'items [|"x"|]; parallel 0; action extends Step;', "parallel"),
    ("Repeat", "repeat -2; action extends Step;", "repeat"),
    ("Repeat", 'interval "soon"; action extends Step;', "interval"),
    ("Retry", "retry -1; action extends Step;", "retry"),
    ("Retry", "backoff 0.5; action extends Step;", "backoff"),
    ("Timeout", "time -1; action extends Step;", "time"),
    ("During", 'time "x"; action extends Step;', "time"),
    ("Delay", "time -1;", "time"),
    ("SlowStart", "delay -1; action extends Step;", "delay"),
    ("Parallel", "concurrency -1;", "concurrency"),
    ("RandomSequence", 'seed "x";', "seed"),
    ("Collect", "template extends Step;", "count"),
    ("Collect", "count 1;", "template"),
    ("Retract", 'sfTerminateOrder "declared";', "reverse"),
    ("DetachingCompound", "autoDestruct 1;", "autoDestruct"),
    ("CounterAction", "action extends Step;", "counterAction"),
    ("Run", "parent LAZY x; action extends Step;", "asName"),
    ("Deployer", "", "description"),
    ("Scheduler", "hosts 3;", "hosts"), ("Scheduler", "hosts [||];", "hosts"),
    ("Schedulee", "", "scheduler"),
    ("Terminator", 'type "two words";', "type"), ("Terminator", "kill 3;", "kill"),
    ("Attribute", 'attributeName "x";', "ofComponent"),
    ("DoNothing", "terminationType 3;", "terminationType"),
    ("EvaluateCondition", "", "condition"), ("ReadyGate", "", "condition"),
    ("LivenessTest", "", "condition"),
    ("EventPrim", "registerWith 3;", "registerWith"), ("EventCompound", "sendTo 3;", "sendTo"),
    ("EventSend", "", "event"), ("EventCounter", "count -1;", "count"),
    ("OnEvent", "singleEvent 3;", "singleEvent"), ("EventQueue", "keep -1;", "keep"),
    ("EventLog", "file 3;", "file"), ("Supervisor", "intensity -1;", "intensity"),
    ("Sequence", "a extends Sequence { x 1; sfClass 3; }", "sfClass"),
    ("Sequence", "a extends Step; b extends Repeat { action extends Step { takes true; } }", "b:action.takes"),
    ("If", 'condition true; then extends LAZY Timeout { time "soon"; action extends Step; }', "then.time"),
    ("FireBreak", "sfClass 3;", "sfClass"), ("Container", "sfClass 3;", "sfClass"),
    ("OnTermination", "normal extends Step { takes true; }", "takes"),
    ("Condition", "test 3;", "test"), ("BooleanValue", "", "value"), ("True", "value 3;", "value"), ("False", "value 3;", "value"), ("And", "a 1; b extends Step { takes true; }", "takes"),
    ("Or", "b extends Step { takes true; }", "takes"), ("Xor", "b extends Step { takes true; }", "takes"),
    ("Equals", "left 1;", "right"), ("Compare", 'left 1; right 1; op "~";', "op"),
    ("StringEquals", 'left 1; right "";', "left"), ("StringLength", 'string ""; length -1;', "length"),
    ("Matches", 'string ""; pattern "(";', "pattern"), ("Resolves", "reference 3;", "reference"),
    ("IsAlive", "target 3;", "target"), ("IsReady", "", "target"), ("RunningFor", "days -1;", "days"),
]  # fmt: skip


def surrounded(name):
    return (
        f"Group {{ x 1; what extends DATA {SLOW[8:]} house extends Container;"
        ' bus extends EventPrim; sched extends Scheduler { hosts [|"host1", "host2"|]; }'
        f" other extends Container; w extends {name} {{ {GOOD[name]} }} }}"
    )


@pytest.mark.timeout(300)
@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(at_s=st.floats(0, 12), away=st.booleans())
@pytest.mark.parametrize("name", sorted(GOOD))
def test_ended_at_any_moment_nothing_is_left(tmp_path_factory, name, at_s, away):
    async def story():
        folder = tmp_path_factory.mktemp("any")
        async with engines(folder, 2) as (network, (one, two)):
            stage = Stage(network, one, two, "elsewhere" if away else "here", folder)
            await stage.start(surrounded(name))
            await stage.sleep(at_s)
            if stage.one.process.ended_application("app") is None:
                await stage.one.terminate("app")
            await stage.until(lambda: stage.left == [])
            for engine in (one, two):
                assert not engine.process.segments
                assert not engine.process.ledger.effects()
            began = sum(text[0] != "-" and "unborn" not in text for _, text in Step.diary)
            assert began == sum(text[0] == "-" for _, text in Step.diary)

    virtual_time(story())


async def outcome(folder, name, restart_s):
    """How the application ended or what is left of it in the end, and how often each step began."""
    async with engines(folder, 2) as (network, (one, two)):
        stage = Stage(network, one, two, "here", folder)
        await stage.start(surrounded(name))
        if restart_s:
            await stage.sleep(restart_s)
            await stage.again()
        try:
            await stage.sleep(60)
            record = stage.one.process.ended_application("app")
            return (record.type if record else "goes on", sorted(stage.left), sorted(stage.said))
        finally:
            if stage.one is not one:
                network.verbs.pop(stage.one.process.address, None)
                await stage.one.process.stop()


COUNT_FROM_A_RESTART = {"Supervisor", "Until"}
"""A supervisor's budget and the age that `RunningFor` asks for begin anew."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(set(GOOD) - COUNT_FROM_A_RESTART))
def test_a_restart_of_the_daemon_changes_nothing_about_how_it_goes(tmp_path, name):
    async def story():
        as_ever = await outcome(tmp_path / "one", name, 0)
        for number, restart_s in enumerate((0.5, 4.5)):
            Step.diary.clear()
            restarted = await outcome(tmp_path / f"again{number}", name, restart_s)
            assert restarted == as_ever, f"killed after {restart_s} s"

    virtual_time(story())


@pytest.mark.parametrize(("name", "body", "names"), BAD, ids=[f"{n}-{w}" for n, _, w in BAD])
def test_a_bad_attribute_is_refused_before_anything_starts(stage_here, name, body, names):
    async def story(stage):
        with pytest.raises((EngineError, SmartDomainsError)) as caught:
            await stage.start(
                f"Group {{ first extends Step {{ takes -1; }} w extends {name} {{ {body} }} }}"
            )
        assert names in str(caught.value)
        assert stage.said == []
        assert stage.left == []

    stage_here(story)


def registered():
    """Names of all types of workflow in the registry of types; a new one cannot be forgotten."""
    points = entry_points(group=GROUP)
    found = {
        point.value.partition(":")[2]
        for point in points
        if point.value.startswith("components.workflow")
    }
    assert len(found) > 50
    return found


def test_every_registered_type_is_among_those_tried():
    assert set(GOOD) - PROTOTYPES == registered()
    assert {name for name, *_ in BAD} - PROTOTYPES == registered()


def test_what_the_package_offers_is_registered():
    assert set(components.workflow.__all__) == registered()


def _loops_and_waits(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.While | ast.AsyncFor):
            yield node.lineno
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.rpartition(".")[2] in {
                "sleep",
                "spawn",
                "create_task",
                "ensure_future",
                "call_later",
                "call_at",
            }:
                yield node.lineno


def test_nothing_in_workflow_loops_or_sleeps_outside_the_runner():
    found = [
        f"{file.name}:{line}"
        for file in sorted(FOLDER.glob("*.py"))
        for line in _loops_and_waits(ast.parse(file.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize("bad", ["while True: pass", "async def f(self): await self.sleep(1)",
                                 "def f(self): self.spawn(x())", "import asyncio\nasyncio.create_task(x)"])  # fmt: skip
def test_the_search_for_loops_finds_one(bad):
    assert list(_loops_and_waits(ast.parse(bad)))


def test_flows_are_pure_and_types_leave_children_to_them():
    for module in pkgutil.iter_modules([str(FOLDER)]):
        found = importlib.import_module(f"components.workflow.{module.name}")
        for cls in vars(found).values():
            if isinstance(cls, type) and hasattr(cls, "next") and not issubclass(cls, Prim):
                assert not any(hasattr(cls, name) for name in ("live", "process"))
