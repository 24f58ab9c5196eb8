"""A real QEMU guest that is saved, suspended or left goes on from where it was, on its own volume."""

from __future__ import annotations

import pytest

import sfdl
from components.testbed.guest_image import BEAT, READY
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(240)]

GUEST = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    sfSyncTerminate true; hypervisorUri "URI";
    vm extends KvmDomain {
        memory 96; kernel "KERNEL"; ramdisk "RAMDISK"; extra "quiet panic=1 sd.beat=0.2 sd.name=g";
        startMode "booted"; bootTimeout 100; stopTimeout 20; stopMode "MODE";
        storageBackend LAZY ATTRIB loop; sfStartTimeout 110;
    }
    loop extends LoopbackStorageBackend {
        baseImage "DISK"; volumeSize "32m"; swapSize 0; spaceReserve 0;
    }
}
"""


def described(host, image, mode):
    text = GUEST
    for word, value in {
        "URI": host.uri, "KERNEL": image.kernel, "RAMDISK": image.initrd, "DISK": image.disk,
        "MODE": mode,
    }.items():  # fmt: skip
        text = text.replace(f'"{word}"', f'"{value}"')
    return sfdl.compile(text).root


@pytest.mark.parametrize("mode", ["save", "suspend", "leave"])
def test_a_guest_set_aside_goes_on_without_booting_again(tmp_path, host, image, mode):
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("pool", described(host, image, mode)).result()
        (console,) = tmp_path.glob("*/port-*/work/console/*.log")
        said = lambda: console.read_text(errors="replace")  # noqa: E731
        wait_until(lambda: BEAT in said())

        client.terminate("pool", Record.normal()).result()

        runs = bool(host.qemu_pids())
        assert runs == (mode != "save")
        (volume,) = tmp_path.glob("*/port-*/work/volumes/*-volume1")
        before = len(said())

        client.start("pool", described(host, image, "destroy")).result()

        wait_until(lambda: BEAT in said()[before:], timeout_s=30)
        assert said().count(READY) == 1
        client.terminate("pool", Record.normal()).result()
        assert not host.qemu_pids()
        assert not volume.exists()
        client.close()
