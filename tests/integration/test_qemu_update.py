"""A real QEMU guest takes more memory and processors while it runs, and the rest by a power cycle."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import sfdl
from components.testbed.guest_image import GuestImage, default_cache
from components.testbed.private_libvirtd import PrivateLibvirtd
from engine.core.records import Record
from engine.testing.daemons import daemons, wait_until

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(240)]

GUEST = """
#include "components/vm.sf"
sfConfig extends PhysicalHost {
    sfSyncTerminate true; sfUpdatable true; hypervisorUri "URI";
    vm extends KvmDomain {
        MORE kernel "KERNEL"; ramdisk "RAMDISK"; extra "quiet panic=1 sd.beat=0.2 sd.name=g";
        startMode "booted"; bootTimeout 100; stopTimeout 20; stopMode "destroy";
        storageBackend LAZY ATTRIB loop; sfStartTimeout 110;
    }
    loop extends LoopbackStorageBackend {
        baseImage "DISK"; volumeSize "32m"; swapSize 0; spaceReserve 0;
    }
}
"""


@pytest.fixture(scope="module")
def host():
    folder = Path(tempfile.mkdtemp(prefix="sdq", dir="/tmp"))
    try:
        with PrivateLibvirtd(folder / "h") as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def image():
    return GuestImage.build(default_cache())


def described(host, image, more):
    text = GUEST.replace("MORE", more)
    for word, value in {
        "URI": host.uri, "KERNEL": image.kernel, "RAMDISK": image.initrd, "DISK": image.disk,
    }.items():  # fmt: skip
        text = text.replace(f'"{word}"', f'"{value}"')
    return sfdl.compile(text).root


def virsh(host, *words):
    done = subprocess.run(
        ["virsh", "-c", host.uri, *words], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_guest_is_altered_as_it_runs_and_rebooted_only_where_that_is_said(tmp_path, host, image):
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start(
            "pool", described(host, image, "memory 96; maxMemory 192; vcpus 1; maxVcpus 2;")
        ).result()
        (emulator,) = host.qemu_pids().values()

        client.update(
            "pool",
            described(
                host,
                image,
                "memory 160; maxMemory 192; vcpus 2; maxVcpus 2; cpuPin [|0|];",
            ),
        ).result()

        assert list(host.qemu_pids().values()) == [emulator]
        name = virsh(host, "list", "--name").split()[0]
        wait_until(lambda: f"actual {160 * 1024}" in virsh(host, "dommemstat", name), timeout_s=30)
        assert virsh(host, "vcpucount", name, "--live", "--active").strip() == "2"
        assert client.value("pool:vm:pendingChanges") == ""

        more = "memory 160; maxMemory 192; vcpus 2; maxVcpus 2; cpuPin [|0|];"
        deferred = f'{more} cpuModel "qemu32";'
        client.update("pool", described(host, image, deferred)).result()
        assert list(host.qemu_pids().values()) == [emulator]
        assert client.value("pool:vm:pendingChanges") == "cpuModel"

        client.update(
            "pool", described(host, image, f'{more} cpuModel "qemu64"; updateMode "reboot";')
        ).result()
        assert list(host.qemu_pids().values()) != [emulator]
        assert client.value("pool:vm:pendingChanges") == ""
        client.terminate("pool", Record.normal()).result()
        assert not host.qemu_pids()
        client.close()
