"""Sub-processes as real programs over mutual TLS: isolation, killed, frozen, adopted, ended."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until
from engine.testing.kit import tree
from sfdl.values import Description

pytestmark = pytest.mark.integration

GROUP = "engine.compound.Compound"
FILE = "engine.testing.components.FileMaker"
SUPERVISOR = "components.workflow.Supervisor"


def maker(tmp_path, name, **more):
    return {"sfClass": FILE, "file": str(tmp_path / name), **more}


def start(daemon, description):
    with closing(daemon.client()) as client:
        client.start("app", tree(description)).result()


def end(daemon):
    with closing(daemon.client()) as client:
        client.terminate("app", Record.normal()).result()


def children_of(daemon):
    """Return the sub-processes of a daemon as the operating system knows them."""
    return [
        child
        for child in psutil.Process(daemon.pid).children(recursive=True)
        if "engine.spawning" in " ".join(child.cmdline())
    ]


def apps(daemon):
    with closing(daemon.client()) as client:
        return [row.path for row in client.whole_tree("")]


def rows(daemon):
    with closing(daemon.client()) as client:
        return {row.path: row for row in client.whole_tree("app")}


def test_a_tree_over_sub_processes_of_two_hosts_starts_and_ends_cleanly(tmp_path):
    with daemons(tmp_path / "state", "h1", "h2") as (one, two):
        description = {
            "sfClass": GROUP,
            "a": maker(tmp_path, "a", sfProcessName="p1"),
            "b": maker(tmp_path, "b", sfProcessHost="h2", sfProcessName="p1"),
            "c": maker(tmp_path, "c", sfProcessHost="h2", sfProcessName="p2"),
        }
        start(one, description)
        assert [len(children_of(one)), len(children_of(two))] == [1, 2]
        assert {row.state for row in rows(one).values()} == {"started"}
        assert len({row.address for row in rows(one).values()}) == 4
        end(one)
        assert not any((tmp_path / name).exists() for name in "abc")


def test_a_killed_sub_process_is_noticed_long_before_its_beats_and_cleaned_up(tmp_path):
    with daemons(tmp_path / "state", "h1") as (one,):
        description = {
            "sfClass": SUPERVISOR,
            "intensity": 0,
            "sfLivenessDelay": 600,
            "a": maker(tmp_path, "a", sfProcessName="p1"),
        }
        start(one, description)
        (child,) = children_of(one)
        began = time.monotonic()
        child.kill()
        wait_until(lambda: not apps(one), what="its application has ended")
        assert time.monotonic() - began < 60, "its next beat is due after ten minutes"
        wait_until(lambda: not (tmp_path / "a").exists(), what="what it made is undone")


def test_a_frozen_sub_process_is_noticed_and_its_siblings_are_not_touched(tmp_path):
    with daemons(tmp_path / "state", "h1") as (one,):
        description = {
            "sfClass": SUPERVISOR,
            "sfLivenessDelay": 1,
            "onGiveUp": "keepFailed",
            "intensity": 0,
            "frozen": maker(tmp_path, "a", sfProcessName="p1"),
            "healthy": maker(tmp_path, "b", sfProcessName="p2"),
        }
        start(one, description)
        before = rows(one)["app:healthy"].ident
        child = next(
            each for each in children_of(one) if each.environ().get("SMARTDOMAINS_PROCESS") == "p1"
        )
        os.kill(child.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: not rows(one)["app"].ready, timeout_s=30, what="noticed")
            assert rows(one)["app:healthy"].ident == before
            assert rows(one)["app:healthy"].state == "started"
        finally:
            os.kill(child.pid, signal.SIGCONT)
        wait_until(lambda: not (tmp_path / "a").exists(), what="after thawing it ends itself")
        end(one)


def test_after_kill_9_of_the_root_everything_is_taken_up_again(tmp_path):
    with daemons(tmp_path / "state", "h1") as (one,):
        start(one, {"sfClass": GROUP, "a": maker(tmp_path, "a", sfProcessName="p1")})
        before = {path: row.ident for path, row in rows(one).items()}
        children = children_of(one)
        one.kill()
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive, "sub-processes die with their root"
        one.start()
        wait_until(lambda: {path: row.ident for path, row in rows(one).items()} == before)
        end(one)
        assert not (tmp_path / "a").exists()


def test_environment_priority_and_memory_of_a_sub_process(tmp_path):
    with daemons(tmp_path / "state", "h1") as (one,):
        environment = Description((("COLOUR", "red"),), data=True)
        pairs = (("environment", environment), ("nice", 5), ("memoryMax", "4g"))
        config = Description(pairs, data=True)
        child = maker(tmp_path, "a", sfProcessName="p1", sfProcessConfig=config)
        start(one, {"sfClass": GROUP, "a": child})
        (process,) = children_of(one)
        assert process.environ()["COLOUR"] == "red"
        assert process.nice() == psutil.Process(one.pid).nice() + 5
        assert process.rlimit(psutil.RLIMIT_AS)[0] == 4 * 2**30
        end(one)


def test_sfstop_ends_the_sub_processes_and_what_they_hold(tmp_path):
    with daemons(tmp_path / "state", "h1") as (one,):
        start(one, {"sfClass": GROUP, "a": maker(tmp_path, "a", sfProcessName="p1")})
        children = children_of(one)
        with closing(one.client()) as client:
            client.stop().result()
        assert one.reap() == 0
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
        assert not Path(tmp_path / "a").exists()
