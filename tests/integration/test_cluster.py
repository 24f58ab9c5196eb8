"""A cluster over two daemons: scaled from the command line, adopted after a crash, replaced, ended."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

import sfdl
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

BIN = Path(sys.executable).parent
POOL = """
#include "components/vm.sf"
sfConfig extends Compound {
    hypervisorUri "test:///default"; sfLivenessDelay 2;
    pool extends VirtualCluster {
        count 2; hosts [|"one", "two"|]; onMemberFailure "replace"; replaceDelay "200ms";
        template extends KvmDomain { diskless true; memory 64; domainLivenessDelay 300; }
    }
}
"""


def machines(daemon):
    """What libvirt itself has in a daemon, by name."""
    with contextlib.closing(daemon.client()) as client:
        rows = [dict(row) for _, row in client.diagnosis(services=True).found]
    return sorted(row["name"] for row in rows if row["name"] not in {"", "test"})


def names(*numbers):
    return [f"app-pool-wn{number:03}" for number in numbers]


def scale(daemon, count):
    words = ["sfset", "localhost", "app:pool:count", str(count), "-p", str(daemon.port)]
    subprocess.run([BIN / words[0], *words[1:]], check=True, capture_output=True, timeout=60)


def ready(client):
    """Names of the members that are ready."""
    rows = list(client.whole_tree("app:pool", depth=1))
    return sorted(row.name for row in rows[1:] if row.ready and row.state == "started")


def test_it_is_scaled_over_both_and_what_a_crash_took_is_replaced(tmp_path):
    with daemons(tmp_path, "one", "two") as (one, two):
        client = one.client()
        client.start("app", sfdl.compile(POOL).root).result()
        assert (machines(one), machines(two)) == (names(1), names(2))

        scale(one, 5)
        wait_until(lambda: len(ready(client)) == 5, timeout_s=60)
        assert sorted(machines(one) + machines(two)) == names(1, 2, 3, 4, 5)
        assert {len(machines(one)), len(machines(two))} == {2, 3}

        two.kill()  # the guests of the test driver are gone with their daemon
        two.start()
        wait_until(
            lambda: sorted(machines(one) + machines(two)) == names(1, 2, 3, 4, 5), timeout_s=90
        )
        wait_until(lambda: len(ready(client)) == 5, timeout_s=60)

        scale(one, 1)
        wait_until(lambda: machines(one) == names(1), timeout_s=60)
        client.terminate("app", Record.normal("test over")).result()
        assert machines(one) == []
        client.close()
