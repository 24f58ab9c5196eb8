"""Volumes as raw files: made from every kind of image, owned, handed over, removed."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from components.images.kinds import refuse_escape
from components.storage.volume_file import VolumeFile
from engine.core.faults import EngineError, Refused

POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    loop extends LoopbackStorageBackend {{
        domainName "d"; baseImage "{image}"; volumeSize "{size}"; swapSize "1m"; spaceReserve 0;
        {more}
    }}
}}
"""


def text(image, size="8m", more=""):
    return POOL.format(image=image, size=size, more=more)


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc" / "hello").write_text("hello\n")
    return folder


def read(volume, path):
    done = subprocess.run(
        ["/sbin/debugfs", "-R", f"cat {path}", str(volume)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("kind", ["directory", "tar", "tar.gz", "raw", "qcow2"])
async def test_every_kind_of_image_fills_the_root_volume(bench, tmp_path, tree, kind):
    image = tree
    if kind.startswith("tar"):
        image = tmp_path / "image.bin"
        with tarfile.open(image, "w:gz" if kind == "tar.gz" else "w") as archive:
            archive.add(tree, arcname=".")
    elif kind in {"raw", "qcow2"}:
        image = tmp_path / "image.bin"
        subprocess.run(
            ["/sbin/mke2fs", "-q", "-t", "ext3", "-d", str(tree), str(image), "4M"], check=True
        )
        if kind == "qcow2":
            qcow2 = tmp_path / "image.qcow2"
            subprocess.run(
                ["qemu-img", "convert", "-O", "qcow2", str(image), str(qcow2)], check=True
            )
            image = qcow2

    await bench.deploy(text(image))

    volume = bench.work / "volumes" / "d-volume1"
    assert read(volume, "/etc/hello") == "hello\n"
    assert volume.stat().st_size == 8 * 2**20
    assert (bench.work / "volumes" / "d-volume1-swap").stat().st_size == 2**20
    await bench.one.terminate("app")
    assert list((bench.work / "volumes").iterdir()) == []


async def test_kept_volumes_stay_and_are_taken_over_by_the_next_deployment(bench, tree):
    await bench.deploy(text(tree, more="keepVolumes true;"))
    await bench.one.terminate("app")
    volume = bench.work / "volumes" / "d-volume1"
    assert volume.exists()

    await bench.deploy(text(tree))
    await bench.one.terminate("app")

    assert list((bench.work / "volumes").iterdir()) == []


async def test_a_volume_of_somebody_else_is_never_touched(bench, tree):
    folder = bench.work / "volumes"
    folder.mkdir(parents=True)
    (folder / "d-volume1").write_text("precious")

    with pytest.raises(EngineError, match="not ours"):
        await bench.deploy(text(tree))

    assert (folder / "d-volume1").read_text() == "precious"
    assert [path.name for path in folder.iterdir()] == ["d-volume1"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p / "missing", "there is no image"),
        (lambda p: (p / "odd").write_bytes(b"x" * 700) and p / "odd", "is not an image"),
        (
            lambda p: (p / "cut.tgz").write_bytes(b"\x1f\x8b\x08cut") and p / "cut.tgz",
            "cannot be read",
        ),
        (lambda p: (p / "big").write_bytes(b"\0" * (9 * 2**20)) and p / "big", "volumeSize"),
    ],
    ids=["missing", "odd size", "truncated", "larger than the volume"],
)
async def test_an_image_that_does_not_fit_is_refused_before_anything_is_made(
    bench, tmp_path, make, words
):
    with pytest.raises(EngineError, match=words):
        await bench.deploy(text(make(tmp_path)))

    assert not (bench.work / "volumes").exists()


async def test_too_little_space_is_refused_with_numbers(bench, tree):
    with pytest.raises(EngineError, match="bytes free"):
        await bench.deploy(text(tree, more='spaceReserve "900t";'))


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up"])
def test_an_archive_entry_that_leaves_its_folder_is_refused(name):
    with pytest.raises(Refused, match="leave its folder"):
        refuse_escape(Path("a.tar"), tarfile.TarInfo(name))


@pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")
def test_a_loop_device_that_somebody_left_over_a_volume_goes_with_it(tmp_path):
    """Xen's script that detaches a guest's disk is cut short on a slow host."""
    path, other = tmp_path / "volume", tmp_path / "other"
    for each in (path, other):
        each.write_bytes(bytes(2**20))
        subprocess.run(["/sbin/losetup", "--find", str(each)], check=True)
    try:
        VolumeFile(str(path), 2**20, "swap")._remove()

        left = [
            backing.read_text()
            for backing in Path("/sys/block").glob("loop*/loop/backing_file")
            if str(tmp_path) in backing.read_text()
        ]
        assert left == [f"{other}\n"]
        assert not path.exists()
    finally:
        for line in subprocess.run(
            ["/sbin/losetup", "-j", str(other)], capture_output=True, text=True, check=True
        ).stdout.splitlines():
            subprocess.run(["/sbin/losetup", "-d", line.partition(":")[0]], check=True)
