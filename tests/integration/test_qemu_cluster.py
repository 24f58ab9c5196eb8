"""Two real guests of one cluster: their consoles, one fewer, and nothing left."""

from __future__ import annotations

import subprocess

import pytest

import sfdl
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until
from engine.wire.messages import Change, as_tree
from tests.commands.terminal import BIN, terminal

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(240)]

POOL = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    hypervisorUri uri; uri TBD; guestKernel TBD; guestRamdisk TBD; sfLivenessDelay 2;
    memoryOvercommit 1.0; lookPeriod 1;
    pool extends Pool {
        count 2; namePattern "g{i}";
        template extends KvmDomain {
            diskless true; memory 96; kernel guestKernel; ramdisk guestRamdisk;
            extra "quiet panic=1 sd.beat=2 sd.name=g"; startMode "booted"; bootTimeout 150;
            stopTimeout 20;
        }
    }
}
"""


def test_two_guests_can_be_typed_to_and_one_fewer_is_left(tmp_path, host, image):
    values = {"uri": host.uri, "guestKernel": str(image.kernel), "guestRamdisk": str(image.initrd)}
    overrides = [(f"sfConfig:{name}", value) for name, value in values.items()]
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("app", sfdl.compile(POOL, overrides=overrides).root).result()
        assert sorted(host.qemu_pids()) == ["app-pool-g1", "app-pool-g2"]
        reserved = client.value("app:reserved")
        assert reserved.get("memory").value == 2 * 96 * 2**20

        with terminal("sfconsole", "localhost", "app:pool:g1", "-p", one.port) as seen:
            seen.until_raw()
            seen.expect(b"SD-BEAT", 60)
            seen.type(b"who is there?\r")
            seen.expect(b"who is there?", 60)  # the guest's own terminal echoes what is typed
            refused = subprocess.run(
                [BIN / "sfconsole", "localhost", "app:pool:g1", "-p", str(one.port)],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert refused.returncode == 1, refused.stdout
            assert "its console:" in refused.stderr
            seen.type(b"\x1d")
            assert seen.ended() == 0
        kept = subprocess.run(
            [BIN / "sfconsole", "localhost", "app:pool:g1", "--log", "-p", str(one.port)],
            capture_output=True, timeout=60, check=True,
        )  # fmt: skip
        assert b"SD-READY" in kept.stdout
        assert b"who is there?" in kept.stdout

        with terminal("sfconsole", "localhost", "app:pool:g2", "-p", one.port) as seen:
            seen.until_raw()
            client.change("app:pool", [Change("count", "replace", as_tree(1))]).result()
            seen.expect(b"console of app:pool:g2 has ended", 90)
            assert seen.ended() == 0
        wait_until(lambda: list(host.qemu_pids()) == ["app-pool-g1"], timeout_s=60)
        client.terminate("app", Record.normal("test over")).result()
        assert not host.qemu_pids()
        client.close()
