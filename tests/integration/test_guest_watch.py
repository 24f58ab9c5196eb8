"""Real guests looked at by agent, console, ping and port; started again after a crash."""

from __future__ import annotations

import os
import signal

import pytest

import sfdl
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(240)]

ONE = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    uri TBD; guestKernel TBD; guestRamdisk TBD;
    hypervisorUri uri; sfSyncTerminate true; sfLivenessDelay 2;
    lan extends Network { networkName "sdwatch"; forward "isolated"; subnet "10.92.0.1/24"; }
    vm extends KvmDomain {
        network LAZY ATTRIB lan; ip "10.92.0.7"; netmask "255.255.255.0"; diskless true; memory 96;
        kernel guestKernel; ramdisk guestRamdisk; extra "quiet panic=1 sd.beat=1 sd.name=w";
        startMode "booted"; bootTimeout 100; sfStartTimeout 110; stopTimeout 5;
        domainLivenessDelay 2000; MORE
    }
}
"""


def compiled(host, image, more):
    values = {
        "uri": host.uri, "guestKernel": str(image.kernel), "guestRamdisk": str(image.initrd),
    }  # fmt: skip
    overrides = [(f"sfConfig:{name}", value) for name, value in values.items()]
    return sfdl.compile(ONE.replace("MORE", more), overrides=overrides).root


def why_gone(client):
    try:
        list(client.whole_tree("pool"))
    except EngineError as error:
        return str(error)
    return ""


def vm(client):
    return next(row for row in client.whole_tree("pool") if row.path == "pool:vm")


def test_a_frozen_guest_that_the_hypervisor_finds_running_is_noticed_by_looking(
    tmp_path, host, image
):
    more = (
        'readyMarker ""; agentChannel true; readyChecks [|"tcp:80","ping"|]; '
        'domainLivenessMethods [|"state","agent","console","ping","tcp:80"|]; consoleQuiet 5;'
    )
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", compiled(host, image, more)).result()
        assert vm(client).ready
        (pid,) = host.qemu_pids().values()

        os.kill(pid, signal.SIGSTOP)
        try:
            reason = wait_until(lambda: why_gone(client), timeout_s=90)
        finally:
            for left in host.qemu_pids().values():
                os.kill(left, signal.SIGCONT)

        assert any(way in reason for way in ("agent:", "ping:", "tcp:80:"))
        wait_until(lambda: not host.qemu_pids(), timeout_s=30)
        client.close()


def test_a_guest_whose_emulator_is_killed_is_started_again_and_boots(tmp_path, host, image):
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", compiled(host, image, 'onGuestCrash "restart";')).result()
        (before,) = host.qemu_pids().values()

        os.kill(before, signal.SIGKILL)

        wait_until(
            lambda: host.qemu_pids() and before not in host.qemu_pids().values(), timeout_s=30
        )
        wait_until(lambda: vm(client).ready, timeout_s=110)
        assert vm(client).restarts == 0
        assert client.terminate("pool", Record.normal("test over")).result().leftovers == ()
        assert host.qemu_pids() == {}
        client.close()
