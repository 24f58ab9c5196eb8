"""Schedules that once broke a rule: each shows a defect that was mended, and must go on passing."""

import pytest

from engine.testing.simulation.run import run
from engine.testing.simulation.schedule import (
    Crash,
    Cut,
    Deploy,
    Freeze,
    Node,
    Noise,
    Quit,
    Repeat,
    Schedule,
    Terminate,
    Trouble,
)

FOUND = {
    "what a part that ended alone could not end is told to whoever ends it later": Schedule(
        506428, 2, (
            Deploy(tree=Node("group", children=(
                Node("group", host=1, children=(
                    Node("group", children=(Node(host=0, slow_s=1.0),)),
                )),
                Node("group", host=1),
            )), pause_s=0.1),
            Freeze(pause_s=9.0),
            Cut(pause_s=5.0),
        )),
    "a part being undone when its parent ends is not forgotten": Schedule(
        512114, 2, (
            Deploy(app=1, tree=Node("guard", children=(
                Node("checked", host=0, things=1, keep="5", slow_s=0.05, ends_s=4.0),
            ))),
            Deploy(app=1, tree=Node("group"), pause_s=0.003),
            Trouble(when="undo", mode="crash", pause_s=5.0),
        )),
    "a tree is not made anew while a part of an earlier one may still be there": Schedule(
        567981, 2, (
            Deploy(tree=Node("guard", children=(
                Node("guard", children=(Node(host=1),)),
            ), options=(
                ("sfRecovery", "clean"), ("sfConcurrency", 0), ("sfOrphanPolicy", "keep"),
            )), pause_s=2.0),
            Crash(host=1, pause_s=5.0),
            Repeat(pause_s=9.0),
            Deploy(tree=Node("guard", children=(
                Node("guard", host=1, children=(Node("group"),)),
            ))),
        )),
    "what has ended as an orphan is told once its parent is back": Schedule(
        1027339, 2, (
            Deploy(tree=Node("guard", children=(
                Node("guard", host=1, children=(
                    Node("checked", options=(("sfOrphanPolicy", "keep"),)), Node("guard"),
                )),
            ))),
            Deploy(tree=Node(), pause_s=5.0),
            Freeze(),
            Deploy(tree=Node(), pause_s=5.0),
        )),
    "a part that may be back as its daemon said is not replaced meanwhile": Schedule(
        1093299, 2, (
            Deploy(tree=Node("guard", children=(Node(host=1),))),
            Deploy(tree=Node("guard"), pause_s=0.1),
            Quit(host=1),
            Terminate(pause_s=2.0),
            Noise(verb="beat", pause_s=5.0),
            Deploy(tree=Node("group", children=(Node("guard"),))),
            Trouble(pause_s=9.0),
        )),
    "a daemon that goes down makes nothing anew": Schedule(
        1076962, 2, (
            Deploy(tree=Node("guard", children=(
                Node(host=1), Node("checked", unwell_s=3.0), Node(slow_s=1.0),
            )), pause_s=5.0),
            Cut(source=1),
            Quit(),
            Deploy(tree=Node("group"), pause_s=2.0),
        )),
}  # fmt: skip


@pytest.mark.parametrize("schedule", FOUND.values(), ids=FOUND)
def test_a_schedule_that_once_broke_a_rule_keeps_all(schedule):
    assert run(schedule).broken is None
