"""Guests of a libvirtd as Debian has it: QEMU runs as a user of its own, and gets at what it is to open."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

import sfdl
from components.testbed.guest_image import GuestImage, default_cache
from components.testbed.private_libvirtd import PrivateLibvirtd
from engine.core.records import Record
from engine.testing.daemons import daemons

QEMU = "libvirt-qemu"
pytestmark = [pytest.mark.qemu, pytest.mark.timeout(300)]

POOL = """
#include "components/vm.sf"
Guest extends KvmDomain {
    memory 96; kernel guestKernel; ramdisk guestRamdisk; extra "quiet panic=1 sd.beat=5";
    startMode "booted"; bootTimeout 200; sfStartTimeout 250; stopMode "destroy";
}
sfConfig extends PhysicalHost {
    sfSyncTerminate true; sfConcurrency 2; hypervisorUri uri;
    uri TBD; guestKernel TBD; guestRamdisk TBD; archive TBD; cache TBD; saved TBD;
    images extends ImageStore { folder cache; }
    base extends BaseImage { source archive; store LAZY ATTRIB images; }
    layer extends OverlayStorageBackend {
        baseImage LAZY ATTRIB base; volumeSize "16m"; swapSize "8m"; spaceReserve 0;
        saveImage true; saveImagePath saved; saveImageName "layer"; saveImageExtension "qcow2";
    }
    layered extends Guest { storageBackend LAZY ATTRIB layer; }
    file extends LoopbackStorageBackend { baseImage archive; volumeSize "16m"; swapSize 0; spaceReserve 0; }
    filed extends Guest {
        storageBackend LAZY ATTRIB file; bridge "br0"; ip "10.77.0.31"; netmask 24; gateway "10.77.0.1";
        context extends Context { mode "script-iso"; }
    }
}
"""


@pytest.fixture
def place():
    """A folder that others may pass through, unlike those of tests."""
    folder = Path("/tmp") / f"sd-stock-{os.getpid()}"
    folder.mkdir(mode=0o755)
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def runs_as(pid):
    return pwd.getpwuid(Path(f"/proc/{pid}").stat().st_uid).pw_name


def readable_to_others(folder):
    """Return what a user who has nothing to do with it can read of files below a folder."""
    files = [str(path) for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    words = 'for file; do if test -r "$file"; then echo "$file"; fi; done'
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    done = subprocess.run(
        [*nobody, "bash", "-c", words, "bash", *files], capture_output=True, text=True, check=True
    )
    return files, [Path(line).name for line in done.stdout.splitlines()]


def test_its_guests_boot_from_what_is_below_a_daemons_folder_and_nobody_else_reads_that(place):
    image = GuestImage.build(default_cache())
    for file in (image.kernel, image.initrd):
        (place / file.name).write_bytes(file.read_bytes())
    archive = place / "disk.raw"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", archive, "8M"], check=True)
    values = {
        "guestKernel": str(place / image.kernel.name), "guestRamdisk": str(place / image.initrd.name),
        "archive": str(archive), "cache": str(place / "images"), "saved": str(place / "saved"),
    }  # fmt: skip
    with (
        PrivateLibvirtd(place / "h", as_root=False) as host,
        daemons(place / "state", "one") as (one,),
        closing(one.client()) as client,
    ):
        overrides = [
            (f"sfConfig:{name}", text) for name, text in (values | {"uri": host.uri}).items()
        ]
        client.start("pool", sfdl.compile(POOL, overrides=overrides).root, budget_s=280).result()
        pids = host.qemu_pids()
        assert {runs_as(pid) for pid in pids.values()} == {QEMU}
        assert len(pids) == 2

        (port,) = (place / "state" / "one").glob("port-*")
        files, seen = readable_to_others(port)
        assert any(name.endswith("-volume1") for name in files)
        assert any(name.endswith(".iso") for name in files)
        assert [name for name in seen if not name.endswith(".owner.json")] == []

        row = next(iter(client.tree("pool:layered", depth=0).rows))
        for act, words in (("destroy", ()), ("freeze", (1,)), ("start", ())):
            client.call(row.ident, act, words, budget_s=250.0).result()
        frozen = next(port.glob("work/volumes/pool-layered-volume1"))
        assert stat.S_IMODE(frozen.stat().st_mode) == 0o400

        one.stop()
        one.start()
        client.terminate("pool", Record.normal("test over"), budget_s=100).result()
        assert host.qemu_pids() == {}
        assert (place / "saved" / "layer.qcow2").is_file()
        left = [path.name for path in port.glob("work/*/*")]
        assert left == []
