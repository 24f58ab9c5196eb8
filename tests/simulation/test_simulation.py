"""The engine keeps its rules in whatever order things happen and fail."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import engine.core.flows
import engine.core.leases
import engine.core.supervision
import engine.runtime.keeper
import engine.runtime.liveness
import engine.runtime.phases
import engine.runtime.process
import engine.runtime.recovery
from engine.runtime.keeper import Keeper
from engine.testing.simulation import components, machines, network, world
from engine.testing.simulation import schedule as steps
from engine.testing.simulation.generate import broken_rule, schedule, shrink
from engine.testing.simulation.loop import SimLoop
from engine.testing.simulation.run import failure, run
from engine.testing.simulation.schedule import (
    Crash,
    Cut,
    Deploy,
    Finish,
    Freeze,
    Heal,
    Node,
    Noise,
    Ping,
    Quit,
    Repeat,
    Restart,
    Schedule,
    Shift,
    Terminate,
    Thaw,
    Trouble,
    script,
)

# -- schedules as Hypothesis draws them; every strategy shrinks towards what is plain

pauses = st.sampled_from((0.0, 0.003, 0.01, 0.03, 0.1, 0.5, 2.0, 5.0, 9.0))
hosts = st.integers(0, 3)
hooks = st.sampled_from(("", "", "", "", "", "", "", "deploy", "start", "terminate"))
common = {
    "host": st.one_of(st.just(-1), hosts),
    "things": st.integers(0, 2),
    "keep": st.sampled_from(("never", "never", "never", "normal", "always", "5")),
    "slow_s": st.sampled_from((0.0, 0.0, 0.005, 0.05, 1.0)),
    "fail": hooks,
    "hang": hooks,
    "ends_s": st.sampled_from((-1.0, -1.0, -1.0, 0.0, 0.02, 1.0, 4.0)),
    "normal": st.booleans(),
    "options": st.sampled_from(((), (), (), (("sfOrphanPolicy", "keep"),))),
}
leaves = st.one_of(
    st.builds(Node, st.just("leaf"), calls=st.sampled_from(("", "c0", "c0:c0")), **common),
    st.builds(Node, st.just("checked"), unwell_s=st.sampled_from((-1.0, -1.0, 3.0)), **common),
)
nodes = st.recursive(
    leaves,
    lambda below: st.builds(
        Node,
        st.sampled_from(("group", "guard")),
        children=st.lists(below, max_size=3).map(tuple),
        **common
        | {
            "options": st.sampled_from(
                (
                    (),
                    (("sfConcurrency", 0),),
                    (("sfSyncTerminate", True),),
                    (("sfRecovery", "clean"),),
                )
            )
        },
    ),
    max_leaves=5,
)
apps = st.integers(0, 1)
twice = st.sampled_from((-1.0, -1.0, -1.0, 0.0, 0.05))
deploys = st.builds(Deploy, app=apps, tree=nodes, twice_s=twice, pause_s=pauses)
delays = st.sampled_from((0.01, 0.2, 3.0, 20.0))
verbs = st.sampled_from(("", "submit", "beat", "hello", "read"))
disturbed = {"verb": verbs, "to": hosts, "times": st.integers(1, 5), "pause_s": pauses}
anything = st.one_of(
    deploys,
    st.builds(
        Terminate, app=apps, path=st.sampled_from(("", "", "c0")), twice_s=twice, pause_s=pauses
    ),
    st.builds(Ping, app=apps, pause_s=pauses),
    st.builds(Finish, pick=st.integers(0, 7), normal=st.booleans(), pause_s=pauses),
    st.builds(Repeat, pick=st.integers(0, 7), pause_s=pauses),
    st.builds(Noise, mode=st.sampled_from(("drop", "lose", "twice")), **disturbed),
    st.builds(Noise, mode=st.just("delay"), delay_s=delays, **disturbed),
    st.builds(Crash, host=hosts, written=st.integers(0, 3), pause_s=pauses),
    st.builds(Quit, host=hosts, pause_s=pauses),
    st.builds(Restart, host=hosts, pause_s=pauses),
    st.builds(Freeze, host=hosts, pause_s=pauses),
    st.builds(Thaw, host=hosts, pause_s=pauses),
    st.builds(Cut, source=hosts, to=hosts, both=st.booleans(), pause_s=pauses),
    st.builds(Heal, pause_s=pauses),
    st.builds(Shift, host=hosts, by_s=st.sampled_from((1.0, -1.0, 120.0, -120.0)), pause_s=pauses),
    st.builds(
        Trouble,
        host=hosts,
        when=st.sampled_from(("make", "undo", "look")),
        mode=st.sampled_from(("raise", "lose", "hang", "stall", "crash", "die")),
        times=st.integers(1, 2),
        pause_s=pauses,
    ),
)
schedules = st.builds(
    lambda seed, count, first, rest: Schedule(seed, count, (first, *rest)),
    st.integers(0, 2**16),
    st.integers(1, 4),
    deploys,
    st.lists(anything, max_size=8),
)


@pytest.mark.timeout(900)
@settings(
    max_examples=500, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(schedules)
def test_no_schedule_that_hypothesis_draws_breaks_a_rule(drawn):
    broken = run(drawn).broken
    assert broken is None, failure(drawn, broken)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, 1500, 250))
def test_no_schedule_drawn_at_random_breaks_a_rule(first):
    for seed in range(first, first + 250):
        broken = run(schedule(seed)).broken
        assert broken is None, failure(shrink(schedule(seed)), broken)


def test_the_same_schedule_always_goes_the_same_way():
    for seed in (3, 8, 85):
        assert run(schedule(seed)).trace == run(schedule(seed)).trace


def test_a_schedule_goes_the_same_way_in_another_process():
    program = (
        "from engine.testing.simulation.generate import schedule\n"
        "from engine.testing.simulation.run import run\n"
        "print('\\n'.join(run(schedule(8)).trace))\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert printed.stdout.splitlines() == list(run(schedule(8)).trace)


def test_what_runs_is_the_shipped_engine_and_not_a_copy(monkeypatch):
    used = set()

    def spy(owner, name):
        shipped = getattr(owner, name)

        def through(*args, **kwargs):
            used.add(
                f"{owner.__module__ if hasattr(owner, '__module__') else owner.__name__}.{name}"
            )
            return shipped(*args, **kwargs)

        monkeypatch.setattr(owner, name, through)

    assert machines.Process is engine.runtime.process.Process
    spy(engine.core.supervision.Supervise, "on")
    spy(engine.core.flows.SharedFate, "on")
    spy(engine.core.leases.Lease, "renewed")
    spy(engine.runtime.liveness, "heard")
    spy(engine.runtime.phases, "may_enter")
    spy(engine.runtime.recovery.Recovery, "run")
    spy(engine.runtime.keeper.Keeper, "make")
    for seed in range(40):
        assert run(schedule(seed)).broken is None
    assert used == {
        "engine.core.supervision.on",
        "engine.core.flows.on",
        "engine.core.leases.renewed",
        "engine.runtime.liveness.heard",
        "engine.runtime.phases.may_enter",
        "engine.runtime.recovery.run",
        "engine.runtime.keeper.make",
    }
    for module in (components, machines, steps, world, network):
        assert not {"Supervise", "Keeper", "Phases", "Recovery", "FlowRun"} & {
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", "") == module.__name__
        }


# -- replaying

SMALL = Schedule(7, 1, (Deploy(tree=Node("leaf", things=1), pause_s=1.0), Terminate(pause_s=1.0)))
PLANT = """
from engine.runtime.keeper import Keeper
from engine.runtime.ledger import drop_effect

async def skipping(self, live, record):
    while live.effects:
        self._process.ledger.lazy(drop_effect(live.effects.pop().row.id))

Keeper.undo_all = skipping
"""


def test_a_printed_script_is_the_schedule():
    for seed in range(50):
        drawn = schedule(seed)
        expression = script(drawn).partition("replay(")[2].rstrip()[:-1]
        assert eval(expression, vars(steps)) == drawn


def test_a_printed_script_shows_the_failure_again(monkeypatch):
    with monkeypatch.context() as planted:
        planted.setattr(Keeper, "undo_all", Keeper.undo_all)  # and back again afterwards
        exec(PLANT, {})
        found = next(schedule(seed) for seed in range(2000) if broken_rule(schedule(seed)) == 1)
        small = shrink(found)
        broken = run(small).broken
    assert len(small.steps) <= 2
    text = failure(small, broken)
    program = PLANT + text.partition("To see it again:\n\n")[2]
    again = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert again.returncode == 1
    assert again.stderr.strip() == str(broken)
    kept = subprocess.run(
        [sys.executable, "-c", script(small)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert kept.returncode == 0
    assert "all rules kept" in kept.stdout


def test_a_schedule_prints_short():
    assert script(SMALL) == (
        "from engine.testing.simulation.run import replay\n"
        "from engine.testing.simulation.schedule import *\n\n"
        "replay(Schedule(7, 1, (\n"
        "    Deploy(tree=Node(things=1), pause_s=1.0),\n"
        "    Terminate(pause_s=1.0),\n"
        ")))\n"
    )


def test_the_long_runner_prints_progress_and_figures():
    ran = subprocess.run(
        [sys.executable, "-m", "engine.testing.simulation", "--schedules", "4", "--jobs", "1"],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert ran.stdout.startswith("4 schedules, 0 failing")
    assert "virtual hours" in ran.stdout


def test_nothing_in_the_loop_waits_for_the_outside():
    assert SimLoop.alone
