"""Networks of a real libvirtd: made, adopted after a crash of the daemon, gone at the end."""

from __future__ import annotations

import subprocess

import pytest

import sfdl
from engine.client.client import DaemonUnreachable
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until
from engine.testing.sabotage import Plan

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(240)]

POOL = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    uri TBD; hypervisorUri uri; sfSyncTerminate true; sfLivenessDelay 1;
    lan extends Network {
        networkName "sdlan"; forward FORWARD; subnet "10.91.0.1/24"; domain "lab.example";
    }
    vm extends KvmDomain {
        network LAZY ATTRIB lan; diskless true; memory 64; startMode "defined"; ip "10.91.0.5";
    }
}
"""


USER = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    uri TBD; bootKernel TBD; bootDisk TBD; hypervisorUri uri; sfSyncTerminate true;
    lan extends Network { userNetwork true; forwards [|"2222:22", "5353:53/udp"|]; }
    vm extends KvmDomain {
        network LAZY ATTRIB lan; diskless true; memory 64; kernel bootKernel;
        ramdisk bootDisk; stopMode "destroy"; accelerator "tcg";
    }
}
"""


def compiled(host, forward="isolated"):
    text = POOL.replace("FORWARD", f'"{forward}"')
    return sfdl.compile(text, overrides=[("sfConfig:uri", host.uri)]).root


def virsh(host, *words):
    done = subprocess.run(
        ["virsh", "-c", host.uri, *words], capture_output=True, text=True, check=True
    )
    return done.stdout


def known(host):
    return virsh(host, "net-list", "--all", "--name").split()


def domains(host):
    return virsh(host, "list", "--all", "--name").split()


def components(client):
    try:
        return {row.path: (row.ident, row.state) for row in client.whole_tree("pool")}
    except EngineError:
        return {}


@pytest.mark.parametrize("forward", ["isolated", "nat", "route", "open"])
def test_a_network_serves_addresses_and_is_gone_at_the_end(tmp_path, host, forward):
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", compiled(host, forward)).result()

        assert "yes" in virsh(host, "net-info", "sdlan").partition("Active:")[2].splitlines()[0]
        document = virsh(host, "net-dumpxml", "sdlan")
        assert "<host mac='52:54:0a:5b:00:05' name='pool-vm' ip='10.91.0.5'/>" in document
        assert client.terminate("pool", Record.normal()).result().leftovers == ()
        assert (known(host), domains(host)) == ([], [])
        client.close()


def test_a_network_is_adopted_after_a_crash_of_the_daemon(tmp_path, host):
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", compiled(host)).result()
        before = components(client)

        one.kill()
        one.start()

        assert components(client) == before
        assert {state for _, state in before.values()} == {"started"}
        assert client.terminate("pool", Record.normal()).result().leftovers == ()
        assert (known(host), domains(host)) == ([], [])
        client.close()


def test_a_network_stopped_by_hand_ends_the_application(tmp_path, host):
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", compiled(host)).result()

        virsh(host, "net-destroy", "sdlan")

        wait_until(lambda: not components(client), timeout_s=60)
        wait_until(lambda: (known(host), domains(host)) == ([], []), timeout_s=30)
        client.close()


@pytest.mark.parametrize("effect", ["DefinedNetwork", "ActiveNetwork", "KeptAddress"])
@pytest.mark.parametrize("when", ["making", "made"])
def test_a_crash_around_an_effect_leaves_nothing_after_the_restart(tmp_path, host, effect, when):
    with daemons(tmp_path, "one") as (one,):
        one.stop()
        one.start(sabotage=[Plan(effect, when, "kill")])
        client = one.client()
        with pytest.raises(DaemonUnreachable):
            client.start("pool", compiled(host)).result()
        one.reap()
        one.start()

        wait_until(lambda: (known(host), domains(host)) == ([], []), timeout_s=30)
        client.start("pool", compiled(host)).result()
        assert client.terminate("pool", Record.normal()).result().leftovers == ()
        assert (known(host), domains(host)) == ([], [])
        client.close()


def test_ports_of_the_host_lead_to_a_guest_on_a_user_network_after_each_start(
    tmp_path, host, image
):
    given = {"uri": host.uri, "bootKernel": str(image.kernel), "bootDisk": str(image.initrd)}
    overrides = [(f"sfConfig:{name}", value) for name, value in given.items()]

    def forwarded():
        said = virsh(host, "qemu-monitor-command", "pool-vm", "--hmp", "info usernet")
        rows = [line.split() for line in said.splitlines() if "HOST_FORWARD" in line]
        return {(row[0], row[2], row[3], row[5]) for row in rows}

    wanted = {
        ("TCP[HOST_FORWARD]", "127.0.0.1", "2222", "22"),
        ("UDP[HOST_FORWARD]", "127.0.0.1", "5353", "53"),
    }
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", sfdl.compile(USER, overrides=overrides).root).result()

        assert "<interface type='user'>" in virsh(host, "dumpxml", "pool-vm")
        assert forwarded() == wanted
        vm, _ = components(client)["pool:vm"]
        for action in ("destroy", "start"):
            client.call(vm, action, (), budget_s=60.0).result()
        assert forwarded() == wanted
        assert client.terminate("pool", Record.normal()).result().leftovers == ()
        assert (known(host), domains(host)) == ([], [])
        client.close()
