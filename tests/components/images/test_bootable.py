"""Disks that boot by themselves: how they are laid out, what can be done with what is in them."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from components.images import grub
from components.images.partitions import START, begins_at, first_sector
from engine.core.faults import EngineError

pytestmark = pytest.mark.skipif(
    shutil.which("grub-mkimage") is None or not grub.FOLDER.is_dir(),
    reason="needs grub-common and grub-pc-bin",
)

TREE = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate true;
    host extends PhysicalHost {{
        hypervisorUri "test:///default";
        images extends ImageStore {{ folder "{folder}/images"; }}
        image extends TarImage {{
            store LAZY ATTRIB images; archive "{folder}/system.tar"; size "16m";
            bootable "grub"; kernel "vmlinuz"; {more}
        }}
        {beside}
    }}
}}
"""
FILES = {
    "etc/hostname": b"old\n", "etc/passwd": b"root:x:0:0::/root:/bin/sh\n",
    "boot/vmlinuz-6": b"KERNEL" * 100, "boot/initrd": b"RAMDISK" * 100,
}  # fmt: skip


@pytest.fixture
def system(tmp_path):
    with tarfile.open(tmp_path / "system.tar", "w") as tar:
        for name, data in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("vmlinuz")
        link.type, link.linkname = tarfile.SYMTYPE, "boot/vmlinuz-6"
        tar.addfile(link)
    return tmp_path


def text(system, more="", beside=""):
    return TREE.format(folder=system, more=more, beside=beside)


def inside(disk, path):
    words = ["debugfs", "-R", f"cat {path}", f"{disk}?offset={START}"]
    return subprocess.run(words, capture_output=True, check=True).stdout


async def test_the_disk_has_grub_before_one_partition_with_the_system_and_a_menu(bench, system):
    await bench.deploy(text(system, 'ramdisk "boot/initrd"; extra "quiet panic=1";'))

    image = bench.find("image")
    disk = Path(image.value("path"))
    data = disk.read_bytes()
    assert len(data) == 16 * 2**20
    assert data[:440] == (grub.FOLDER / "boot.img").read_bytes()[:440]
    assert data[512:513] != b"\0"
    assert begins_at(data[:512]) == START
    assert inside(disk, "/boot/vmlinuz-6") == FILES["boot/vmlinuz-6"]
    menu = inside(disk, "/boot/grub/smartdomains.cfg").decode()
    assert "linux '/vmlinuz' 'root=LABEL=root' 'ro' 'console=ttyS0' 'quiet' 'panic=1'" in menu
    assert "initrd '/boot/initrd'" in menu
    checked = subprocess.run(
        ["e2fsck", "-fn", f"{disk}?offset={START}"], capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    assert (image.value("kernelPath"), image.value("ramdiskPath")) == ("", "")
    assert "boots" in (await bench.holder.call(image.path, "facts"))["holds"]
    await bench.one.terminate("app")


def _head(path):
    """Return what a disk boots with, and the UUID of its file system."""
    with path.open("rb") as disk:
        loader = disk.read(START)
        disk.seek(START + 1024 + 0x68)
        return loader, disk.read(16)


async def test_the_same_recipe_makes_a_disk_with_the_same_loader_number_and_uuid(bench, system):
    heads = []
    for _ in range(2):
        await bench.deploy(text(system))
        heads.append(_head(Path(bench.find("image").value("path"))))
        await bench.one.terminate("app")
        shutil.rmtree(system / "images")

    assert heads[0] == heads[1]
    assert heads[0][1] != bytes(16)


async def test_without_a_ram_disk_the_kernel_finds_its_root_by_the_partitions_number(bench, system):
    await bench.deploy(text(system))

    disk = Path(bench.find("image").value("path"))
    number = disk.read_bytes()[440:444][::-1].hex()
    assert f"'root=PARTUUID={number}-01'" in inside(disk, "/boot/grub/smartdomains.cfg").decode()
    await bench.one.terminate("app")


VM = """
loop extends LoopbackStorageBackend {{
    baseImage LAZY ATTRIB image; volumeSize "20m"; swapSize 0; spaceReserve 0; {more}
}}
vm extends KvmDomain {{
    storageBackend LAZY ATTRIB loop; memory 64; hostname "web"; {vm}
    context extends Context {{ mode "inject"; }}
}}
"""


async def test_files_are_written_into_the_partition_and_the_machine_boots_its_disk(
    bench, system, caplog
):
    kernel = "kernel LAZY PARENT:image:kernelPath; ramdisk LAZY PARENT:image:ramdiskPath;"
    await bench.deploy(text(system, beside=VM.format(more="", vm=f'{kernel} extra "quiet";')))

    (volume,) = [path for path in (bench.work / "volumes").iterdir() if not path.suffix]
    assert inside(volume, "/etc/hostname") == b"web\n"
    described = bench.find("vm").value("xml")
    assert "<kernel>" not in described
    assert "<cmdline>" not in described
    assert caplog.text.count("extra is not used: it boots from its disk") == 1
    await bench.one.terminate("app")


@pytest.mark.parametrize("user", [0, 1000])
async def test_the_partition_is_packed_at_the_end(bench, system, monkeypatch, user):
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    monkeypatch.setattr("components.storage.saving.os.geteuid", lambda: user)
    more = f'saveImage true; saveImagePath "{system}/saved"; saveImageName "one";'
    await bench.deploy(text(system, beside=VM.format(more=more, vm="")))
    await bench.one.terminate("app")

    with tarfile.open(system / "saved/one.tar") as saved:
        assert saved.extractfile("./etc/hostname").read() == b"web\n"
        assert saved.extractfile("./boot/vmlinuz-6").read() == FILES["boot/vmlinuz-6"]


@pytest.mark.parametrize(
    ("missing", "package"),
    [("FOLDER", "grub-pc-bin"), ("search_path", "grub-common")],
)
async def test_a_missing_package_is_named(bench, system, monkeypatch, missing, package):
    nowhere = Path("/no/such")
    monkeypatch.setattr(grub, missing, nowhere if missing == "FOLDER" else lambda: "/no/such")
    with pytest.raises(EngineError, match=f"needs packages {package}"):
        await bench.deploy(text(system))

    assert not list((system / "images").glob("sha256/*/*"))


async def test_another_architecture_is_refused_by_name(bench, system, monkeypatch):
    monkeypatch.setattr(grub.platform, "machine", lambda: "riscv64")
    with pytest.raises(EngineError, match="which riscv64 has not"):
        await bench.deploy(text(system))


def test_a_disk_with_several_partitions_or_a_foreign_one_has_no_known_filesystem():
    one = bytearray(first_sector(b"", disk_id=7, size_bytes=2**24))
    two, foreign = bytearray(one), bytearray(one)
    two[462:478] = one[446:462]
    foreign[450] = 0x07

    assert [begins_at(bytes(head)) for head in (one, two, foreign, bytes(512))] == [START, 0, 0, 0]
