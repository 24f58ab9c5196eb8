"""Real QEMU guests: the pool boots, dies by shared fate, is restarted, adopted, or undone."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sfdl
from engine.core.faults import EngineError, Refused
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until
from engine.testing.sabotage import Plan
from engine.wire.codec import decode

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(240)]

OUTSIDE = Path(__file__).parents[1] / "outside" / "leftovers.py"
EFFECTS = ["VolumeFile", "ConsoleLog", "DefinedDomain", "RunningDomain"]
POOL = """
#include "components/vm.sf"
Guest extends KvmDomain {
    memory 96; kernel guestKernel; ramdisk guestRamdisk; extra "quiet panic=1 sd.beat=2 sd.name=g";
    startMode mode; bootTimeout 100; stopTimeout 20; storageBackend LAZY ATTRIB loop;
    sfStartTimeout 110;
}
Computer extends PhysicalHost {
    sfSyncTerminate true; hypervisorUri uri;
    myShell extends BashShell;
    loop extends LoopbackStorageBackend {
        shell LAZY ATTRIB myShell; baseImage guestDisk;
        volumeSize "32m"; swapSize "1m"; spaceReserve 0; keepOnFailure 0;
    }
}
sfConfig extends Compound {
    sfSyncTerminate true; sfConcurrency 0; sfLivenessDelay 2;
    mode "running"; uri TBD; guestKernel TBD; guestRamdisk TBD; guestDisk TBD;
    near extends Computer {
        sfProcessHost "one";
        loop extends OverlayStorageBackend {
            baseImage guestDisk; volumeSize "32m"; swapSize "1m"; spaceReserve 0; keepOnFailure 0;
            ioLimits extends DATA { writeBytes "8m"; iops 4000; }
        }
        group extends GROUP { vm extends Guest; }
    }
    far extends Computer { sfProcessHost "two"; group extends Compound { vm extends Guest; } }
}
"""


def compiled(host, image, *, group="Compound", mode="running"):
    values = {
        "uri": host.uri,
        "guestKernel": str(image.kernel),
        "guestRamdisk": str(image.initrd),
        "guestDisk": str(image.disk),
        "mode": mode,
    }
    overrides = [(f"sfConfig:{name}", value) for name, value in values.items()]
    return sfdl.compile(POOL.replace("GROUP", group), overrides=overrides).root


def left(folder):
    done = subprocess.run(
        [sys.executable, str(OUTSIDE), str(folder)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def known_domains(host):
    done = subprocess.run(
        ["virsh", "-c", host.uri, "list", "--all", "--name"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split()


def limits_of(host, domain):
    """What QEMU holds the first disk to."""
    done = subprocess.run(
        ["virsh", "-c", host.uri, "blkdeviotune", domain, "vda", "--live"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    pairs = (line.split(":") for line in done.stdout.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def nothing_left(host, folder):
    return not host.qemu_pids() and not known_domains(host) and left(folder) == ""


def why_gone(client):
    try:
        list(client.whole_tree("pool"))
    except EngineError as error:
        return str(error)
    return ""


def frozen_and_gone_on(client, host, domain):
    """A guest that is off has its volume frozen, and writes above it from then on."""
    row = next(iter(client.tree("pool:near:group:vm", depth=0).rows))

    def act(action, *words):
        done = client.call(row.ident, action, words, budget_s=150.0).result()
        return decode(done.value, object)

    act("destroy")
    (frozen,) = act("freeze", 1)
    content, top = Path(frozen["content"]), Path(frozen["top"])
    assert top.name == f"{domain}-volume1-g1-1.qcow2"
    before, size = hashlib.sha256(content.read_bytes()).digest(), top.stat().st_size
    act("start")

    def agent_answers():
        try:
            return act("exec", "exit 0")["status"] == 0
        except Refused:  # its console said that it is ready before its agent did
            return False

    wait_until(agent_answers, timeout_s=60)
    words = "dd if=/dev/urandom of=/dev/vda bs=64k seek=20 count=16 conv=fsync 2>&1; echo $?"
    done = act("exec", words)["out"]
    assert done.split()[-1] == "0", done
    assert top.stat().st_size >= size + 2**20
    assert hashlib.sha256(content.read_bytes()).digest() == before


def test_two_guests_boot_and_one_killed_by_hand_brings_the_pool_down(tmp_path, host, image):
    with daemons(tmp_path, "one", "two") as (one, _two):
        client = one.client()
        grown = client.start("pool", compiled(host, image, mode="booted")).result()
        assert len(grown.hosts) == 2
        consoles = list(tmp_path.glob("*/port-*/work/console/*.log"))
        assert len(consoles) == 2
        for console in consoles:  # an agent may have answered a moment before
            wait_until(lambda console=console: "SD-READY" in console.read_text(errors="replace"))
        pids = host.qemu_pids()
        assert sorted(pids) == ["pool-far-group-vm", "pool-near-group-vm"]
        limits = limits_of(host, "pool-near-group-vm")
        assert (limits["write_bytes_sec"], limits["total_iops_sec"]) == ("8388608", "4000")
        assert limits_of(host, "pool-far-group-vm")["write_bytes_sec"] == "0"

        frozen_and_gone_on(client, host, "pool-near-group-vm")

        began = time.monotonic()
        os.kill(pids["pool-far-group-vm"], signal.SIGKILL)
        wait_until(lambda: "terminating" in states(client) or why_gone(client), timeout_s=7)
        noticed_s = time.monotonic() - began

        reason = wait_until(lambda: why_gone(client), timeout_s=40)
        assert "pool-far-group-vm" in reason
        assert "abnormal" in reason
        assert noticed_s < 7
        wait_until(lambda: nothing_left(host, tmp_path), timeout_s=20)
        client.close()


def states(client):
    try:
        return {row.state for row in client.whole_tree("pool")}
    except EngineError:
        return set()


def test_under_a_supervisor_a_killed_guest_is_started_again(tmp_path, host, image):
    with daemons(tmp_path, "one", "two") as (one, _two):
        client = one.client()
        client.start("pool", compiled(host, image, group="Supervisor")).result()
        before = host.qemu_pids()

        os.kill(before["pool-near-group-vm"], signal.SIGKILL)

        def again():
            now = host.qemu_pids()
            return (
                now
                if now.get("pool-near-group-vm") not in {None, before["pool-near-group-vm"]}
                else None
            )

        after = wait_until(again, timeout_s=30)
        assert after["pool-far-group-vm"] == before["pool-far-group-vm"]
        wait_until(lambda: states(client) == {"started"}, timeout_s=30)
        row = next(row for row in client.whole_tree("pool") if row.path == "pool:near:group:vm")
        assert row.restarts == 1
        assert client.terminate("pool", Record.abnormal("test over")).result().leftovers == ()
        assert nothing_left(host, tmp_path)
        client.close()


def test_the_running_pool_is_adopted_after_both_daemons_were_killed(tmp_path, host, image):
    with daemons(tmp_path, "one", "two") as (one, two):
        client = one.client()
        client.start("pool", compiled(host, image, mode="booted")).result()
        pids = host.qemu_pids()
        before = {row.path: row.ident for row in client.whole_tree("pool")}

        for daemon in (one, two):
            daemon.kill()
        for daemon in (two, one):
            daemon.start()

        rows = wait_until(
            lambda: [row for row in client.whole_tree("pool") if states(client) == {"started"}]
        )
        assert {row.path: row.ident for row in rows} == before
        assert host.qemu_pids() == pids
        assert client.ping("pool:far:group:vm").good
        os.kill(pids["pool-near-group-vm"], signal.SIGKILL)
        wait_until(lambda: "pool-near-group-vm" in why_gone(client), timeout_s=40)
        wait_until(lambda: nothing_left(host, tmp_path), timeout_s=20)
        client.close()


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("when", ["making", "made"])
def test_a_daemon_killed_inside_an_effect_undoes_the_half_made_pool(
    tmp_path, host, image, effect, when
):
    with daemons(tmp_path, "one", "two") as (one, two):
        two.stop()
        two.start(sabotage=[Plan(effect, when, "kill")])
        client = one.client()
        operation = client.start("pool", compiled(host, image))
        operation._poll(0.05)
        two.reap()
        two.start()

        with pytest.raises(EngineError):
            operation.result()

        wait_until(lambda: nothing_left(host, tmp_path), timeout_s=40)
        client.start("pool", compiled(host, image)).result()
        client.terminate("pool", Record.abnormal("test over")).result()
        assert nothing_left(host, tmp_path)
        client.close()


@pytest.mark.parametrize(
    ("effect", "when", "mode"),
    [
        ("DefinedDomain", "made", "raise"),
        ("RunningDomain", "made", "raise"),
        ("RunningDomain", "making", "raise"),
    ],
)
def test_a_failing_effect_of_a_real_guest_leaves_nothing(tmp_path, host, image, effect, when, mode):
    with daemons(tmp_path, "one", "two") as (one, two):
        two.stop()
        two.start(sabotage=[Plan(effect, when, mode)])
        client = one.client()
        with pytest.raises(EngineError, match="sabotage") as failure:
            client.start("pool", compiled(host, image)).result()
        assert failure.value.fault.leftovers == ()
        assert failure.value.fault.where == "pool:far:group:vm"
        assert nothing_left(host, tmp_path)
        client.close()
