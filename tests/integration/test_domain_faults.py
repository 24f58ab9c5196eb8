"""Every effect of a domain's start fails in every way, and nothing is left (libvirt's test driver)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sfdl
from engine.client.client import DaemonUnreachable
from engine.core.faults import EngineError, Kind
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until
from engine.testing.sabotage import Plan

pytestmark = pytest.mark.integration

OUTSIDE = Path(__file__).parents[1] / "outside" / "leftovers.py"
EFFECTS = [
    "ShellProcess", "volume1", "volume1-swap", "ConsoleLog", "DefinedDomain", "RunningDomain",
]  # fmt: skip
POOL = """
#include "components/vm.sf"
sfConfig extends Compound {
    sfSyncTerminate true;
    sfLivenessDelay 2;
    near extends Compound { myShell extends BashShell; }
    far extends PhysicalHost {
        sfProcessHost "two";
        hypervisorUri "test:///default";
        myShell extends BashShell { sfStartTimeout 1; sfTerminateTimeout 1; }
        loop extends LoopbackStorageBackend {
            shell LAZY ATTRIB myShell;
            baseImage "/usr/share/common-licenses";
            volumeSize "8m"; swapSize "1m"; spaceReserve 0; keepOnFailure 0;
            sfStartTimeout 5; sfTerminateTimeout 1;
        }
        vm extends KvmDomain {
            storageBackend LAZY ATTRIB loop;
            memory 64;
            sfStartTimeout 5; sfTerminateTimeout 1;
        }
    }
}
"""


@pytest.fixture(scope="module")
def pool():
    return sfdl.compile(POOL).root


def left(tmp_path):
    done = subprocess.run(
        [sys.executable, str(OUTSIDE), str(tmp_path)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def domains(daemon):
    client = daemon.client()
    try:
        rows = [dict(row) for _, row in client.diagnosis(services=True).found]
        return [row["name"] for row in rows if row["name"] != "test"]
    finally:
        client.close()


def works_again(client, pool):
    client.start("pool", pool).result()
    assert client.terminate("pool", Record.normal()).result().leftovers == ()


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("when", ["making", "made"])
def test_a_failing_effect_or_a_lost_answer_leaves_nothing(tmp_path, pool, effect, when):
    with daemons(tmp_path, "one", "two") as (one, two):
        two.stop()
        two.start(sabotage=[Plan(effect, when, "raise")])
        client = one.client()
        with pytest.raises(EngineError) as failure:
            client.start("pool", pool).result()
        fault = failure.value.fault
        assert fault.where.startswith("pool:far:")
        assert fault.phase == "start"
        assert "sabotage" in fault.message
        assert fault.leftovers == ()
        assert left(tmp_path) == ""
        assert domains(two) == []
        works_again(client, pool)
        assert left(tmp_path) == ""
        client.close()


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("when", ["making", "made"])
def test_a_hanging_effect_is_named_and_gone_soon_after_its_release(tmp_path, pool, effect, when):
    release = tmp_path / "release.log"
    with daemons(tmp_path, "one", "two") as (one, two):
        two.stop()
        two.start(sabotage=[Plan(effect, when, "hang", release=str(release))])
        client = one.client()
        with pytest.raises(EngineError) as failure:
            client.start("pool", pool, budget_s=60).result()
        fault = failure.value.fault
        assert "within" in fault.message
        assert any("in doubt" in line for line in fault.leftovers), fault

        release.touch()

        wait_until(lambda: left(tmp_path) == "" and domains(two) == [], timeout_s=5)
        wait_until(lambda: not pending(two), timeout_s=5)
        works_again(client, pool)
        client.close()


def pending(daemon):
    client = daemon.client()
    try:
        return [text for name, text in client.diagnosis().facts if name.startswith("reaper_")]
    finally:
        client.close()


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("when", ["making", "made"])
def test_a_crash_around_an_effect_leaves_nothing_after_the_restart(tmp_path, pool, effect, when):
    with daemons(tmp_path, "one", "two") as (one, two):
        two.stop()
        two.start(sabotage=[Plan(effect, when, "kill")])
        client = one.client()
        operation = client.start("pool", pool)
        operation._poll(0.05)
        two.reap()
        two.start()

        with pytest.raises(EngineError) as failure:
            operation.result()

        assert failure.value.fault.kind is not Kind.INTERNAL
        wait_until(lambda: left(tmp_path) == "", timeout_s=20)
        assert domains(two) == []
        works_again(client, pool)
        client.close()


def test_a_pool_whose_guests_died_with_the_daemon_ends_cleanly_with_a_report(tmp_path, pool):
    with daemons(tmp_path, "one", "two") as (one, two):
        client = one.client()
        client.start("pool", pool).result()

        two.kill()
        two.start()

        wait_until(lambda: left(tmp_path) == "", timeout_s=30)
        wait_until(lambda: "running domain pool-far-vm was gone" in why_gone(client), timeout_s=10)
        client.close()


def why_gone(client):
    try:
        list(client.whole_tree("pool"))
    except EngineError as error:
        return str(error)
    return ""


def test_the_root_daemon_killed_with_the_pool_running_takes_everything_up_again(tmp_path, pool):
    with daemons(tmp_path, "one", "two") as (one, two):
        client = one.client()
        client.start("pool", pool).result()
        one.kill()
        with pytest.raises(DaemonUnreachable):
            client.hello()
        one.start()

        rows = list(client.whole_tree("pool"))

        assert {row.state for row in rows} == {"started"}
        assert domains(two) == ["pool-far-vm"]
        assert client.terminate("pool", Record.normal()).result().leftovers == ()
        assert left(tmp_path) == ""
        client.close()
