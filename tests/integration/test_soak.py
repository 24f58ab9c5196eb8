"""Many rounds over two real daemons leave everything as it was."""

from __future__ import annotations

import psutil
import pytest

import sfdl
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

POOL = """
#include "components/vm.sf"
sfConfig extends Compound {
    sfSyncTerminate true;
    near extends Compound { sh extends BashShell; files extends BaseImage { source "/usr/share/common-licenses"; } }
    far extends PhysicalHost {
        sfProcessHost "two"; hypervisorUri "test:///default";
        vm extends KvmDomain { diskless true; memory 64; }
    }
}
"""


TWENTY = """
#include "org/smartfrog/components.sf"
Maker extends Prim { sfClass "engine.testing.components.FileMaker"; }
Idle extends Prim { sfClass "engine.testing.components.Sleeper"; }
sfConfig extends Compound {
    near extends Compound {
        a extends Idle; b extends Idle; c extends Idle; d extends Idle; e extends Idle; f extends Idle;
        g extends Maker { file "FOLDER/g"; } h extends Maker { file "FOLDER/h"; } i extends Compound;
    }
    far extends Compound { sfProcessHost "two";
        a extends Idle; b extends Idle; c extends Idle; d extends Idle; e extends Idle; f extends Idle;
        g extends Maker { file "FOLDER/k"; } h extends Compound;
    }
}
"""


KEPT = {"SMARTDOMAINS_REMEMBER_S": "1", "SMARTDOMAINS_MOST_EVENTS": "2000"}
"""What is kept on purpose, answers and events, is kept for so short that it is full from the start."""


def measured(daemon):
    client = daemon.client()
    try:
        facts = dict(client.diagnosis().facts)
    finally:
        client.close()
    names = ("components", "segments", "operations", "tasks", "ledger_segments", "ledger_effects",
             "ledger_births", "ledger_requests")  # fmt: skip
    counts = {name: int(facts[name]) for name in names}
    process = psutil.Process(daemon.pid)
    return {**counts, "threads": process.num_threads(), "descriptors": process.num_fds()}


def settled(daemon):
    """Measure once what was answered is forgotten; answers are kept a second here."""
    wait_until(lambda: measured(daemon)["ledger_requests"] == 0, timeout_s=20)
    return measured(daemon)


@pytest.mark.parametrize(
    ("text", "components", "rounds"),
    [(POOL, 6, 200), (TWENTY, 20, 1000)],
    ids=["kinds", "thousand"],
)
def test_rounds_of_start_and_terminate_leave_everything_as_before(
    tmp_path, text, components, rounds
):
    root = sfdl.compile(text.replace("FOLDER", str(tmp_path))).root
    with daemons(tmp_path, "one", "two", **KEPT) as both:
        client = both[0].client()

        def once():
            assert client.start("pool", root).result().components == components
            assert client.terminate("pool", Record.normal()).result().leftovers == ()

        for _ in range(40):
            once()
        before = [settled(daemon) for daemon in both]
        memory = [psutil.Process(daemon.pid).memory_info().rss for daemon in both]
        for _ in range(rounds):
            once()
        after = [settled(daemon) for daemon in both]
        grown = [
            psutil.Process(daemon.pid).memory_info().rss - rss
            for daemon, rss in zip(both, memory, strict=True)
        ]
        client.close()

    for was, now in zip(before, after, strict=True):
        threads, descriptors = now.pop("threads"), now.pop("descriptors")
        assert threads <= was.pop("threads") + 2
        assert descriptors <= was.pop("descriptors") + 2
        assert now == was
    assert max(grown) < 8 * 2**20, grown
