"""What a description may say of volumes: how they are filled, their space, when they are made."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

import sfdl
from components.storage.filling import overwrite
from components.storage.logical_volumes import GivenUpLogicalVolume, LogicalVolume, tag_of
from components.storage.saving import LEFT_OUT, OF_ONE_MACHINE, SavedImage
from components.storage.volume_file import VolumeFile
from engine.core.faults import EngineError, Refused
from engine.runtime.commands import Output
from engine.runtime.effects import Owner, Site
from engine.runtime.services import Services
from engine.runtime.workers import InlineWorkers
from engine.testing.kit import engines
from sfdl.errors import SmartDomainsError

OWNER = Owner("c", "pool", "pool:lvm", 7)
POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    b extends {kind} {{
        domainName "d"; baseImage "{image}"; volumeSize "8m"; swapSize "1m"; spaceReserve 0; {more}
    }}
}}
"""


@pytest.fixture
async def engine(tmp_path):
    async with engines(tmp_path / "state", 1, threads=True, lvm="recorded") as (_network, (one,)):
        yield one


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc" / "hello").write_text("hello\n")
    return folder


async def deploy(engine, image, more="", kind="LoopbackStorageBackend"):
    await engine.deploy("app", sfdl.compile(POOL.format(kind=kind, image=image, more=more)).root)
    return engine.process.work_folder / "volumes"


def mounted():
    return Path("/proc/self/mounts").read_text()


def hello(volume):
    words = ["/sbin/debugfs", "-R", "cat /etc/hello", str(volume)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
async def test_a_volume_is_filled_mounted_where_nobody_else_sees_it(engine, tree, tmp_path):
    parent = tmp_path / "mnt"
    mounts = mounted()

    folder = await deploy(engine, tree, f'populateMode "mount"; tempMountPoint "{parent}";')

    assert hello(folder / "d-volume1") == "hello\n"
    assert list(parent.iterdir()) == []
    assert mounted() == mounts


@pytest.mark.parametrize(("how", "whole"), [("sparse", False), ("falloc", True), ("full", True)])
async def test_volumes_take_their_space_as_preallocate_says(engine, tree, how, whole):
    folder = await deploy(engine, tree, f'preallocate "{how}";')

    assert hello(folder / "d-volume1") == "hello\n"
    for name, size in (("d-volume1", 8 * 2**20), ("d-volume1-swap", 2**20)):
        found = (folder / name).stat()
        assert found.st_size == size
        assert (found.st_blocks * 512 >= size) is whole


async def test_data_volumes_have_their_file_systems(engine, tree):
    rows = '[|[|"db", "2m", "ext4"|], [|"log", 3|], [|"raw", "1m", "none"|]|]'
    folder = await deploy(engine, tree, f"dataVolumes {rows};")

    assert (folder / "d-volume1-db").read_bytes()[0x438:0x43A] == b"\x53\xef"
    assert (folder / "d-volume1-log").stat().st_size == 3 * 2**20
    assert not any((folder / "d-volume1-raw").read_bytes())
    await engine.terminate("app")
    assert list(folder.iterdir()) == []


async def test_with_provision_on_attach_volumes_are_made_when_their_disks_are_asked_for(
    engine, tree
):
    folder = await deploy(engine, tree, 'provisionOn "attach";')
    assert not folder.exists()
    backend = next(live for live in engine.process.lives.values() if live.name == "b").prim

    assert [disk.role for disk in await backend.disks()] == ["root", "swap"]
    assert await backend.disks() == await backend.disks()

    assert hello(folder / "d-volume1") == "hello\n"
    await engine.terminate("app")
    assert list(folder.iterdir()) == []


def test_what_is_overwritten_holds_nothing_any_more(tmp_path):
    file = tmp_path / "volume"
    with file.open("wb") as volume:
        volume.write(b"secret" * 1000)
        volume.seek(2**20)
        volume.write(b"secret")

    overwrite(file)

    assert not any(file.read_bytes())
    overwrite(tmp_path / "missing")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('populateMode "copy";', "the image is a directory, which is not copied"),
        ('populateMode "offline"; makeFs "mkfs.xfs";', "cannot fill a filesystem without mounting"),
        ('populateMode "by hand";', "must be one of auto, offline, mount, copy"),
        (
            'dataVolumes [|[|"db", "2m", "mkfs.nothing"|]|];',
            "makeFs mkfs.nothing: there is no such",
        ),
        ('dataVolumes [|[|"db"|]|];', "must be a list of [name, size, filesystem]"),
        ('dataVolumes [|[|"db", 1|], [|"db", 1|]|];', "two volumes cannot both be called db"),
        ('dataVolumes [|[|"swap", 1|]|];', "two volumes cannot both be called swap"),
        ('dataVolumes [|[|"db", 0|]|];', "must have at least 1 MiB"),
        ('volumeNames [|"a", "b", "c"|];', "volumeNames has 3 names, for 2 volumes"),
        ('volumeSize "8k";', "at least 1 MiB"),
        ('preallocate "maybe";', "must be one of sparse, falloc, full"),
        ('spaceReserve "900t";', "NoSpace: "),
        ("ioLimits 7;", "ioLimits: must be a component of data"),
        ("ioLimits extends DATA { speed 7; }", "ioLimits: has no speed; it has bytes, readBytes"),
        ("ioLimits extends DATA { iops 0; }", "iops must be at least 1"),
        (
            'ioLimits extends DATA { bytes "1m"; readBytes "1m"; }',
            "has both bytes, for all together",
        ),
        ('ioLimits extends DATA { readIops "few"; }', "must be a whole number"),
    ],
)
async def test_what_does_not_fit_is_refused_before_anything_is_made(engine, tree, more, words):
    with pytest.raises(SmartDomainsError) as failure:
        await deploy(engine, tree, more)

    assert words in str(failure.value)
    assert not (engine.process.work_folder / "volumes").exists()


async def test_an_archive_or_folder_needs_a_tenth_more_room(engine, tree):
    (tree / "big").write_bytes(b"x" * (8 * 2**20 - 1000))

    with pytest.raises(EngineError, match=r"ImageTooBig: .* volumeSize is 8388608"):
        await deploy(engine, tree)


def test_a_packed_image_leaves_out_what_is_one_machines_own_if_wished():
    image = SavedImage("v", "raw", "/x/i.tar", "tar", "i", "d")

    assert not set(OF_ONE_MACHINE) & set(image._tar("/t"))
    assert {*OF_ONE_MACHINE, *LEFT_OUT} <= set(
        msgspec.structs.replace(image, sysprep=True)._tar("/t")
    )


# -- layers


async def layer(engine, tmp_path, more=""):
    base = tmp_path / "base.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(base), "4M"], check=True)
    folder = await deploy(engine, base, more, "OverlayStorageBackend")
    done = subprocess.run(
        ["qemu-img", "info", "--output=json", str(folder / "d-volume1")],
        capture_output=True, check=True,
    )  # fmt: skip
    return msgspec.json.decode(done.stdout)


async def test_a_layer_is_made_with_the_options_of_its_description(engine, tmp_path):
    found = await layer(engine, tmp_path, "extendedL2 true; lazyRefcounts true;")

    assert found["cluster-size"] == 128 * 1024
    data = found["format-specific"]["data"]
    assert (data["extended-l2"], data["lazy-refcounts"], data["compat"]) == (True, True, "1.1")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("maxChain 1;", "a layer on it 2; maxChain is 1"),
        ("clusterSize 100;", "clusterSize must be a power of two"),
        ('extendedL2 true; compat "0.10";', 'need compat "1.1"'),
    ],
)
async def test_a_layer_that_cannot_be_is_refused(engine, tmp_path, more, words):
    with pytest.raises(EngineError) as failure:
        await layer(engine, tmp_path, more)

    assert words in str(failure.value)


# -- logical volumes


class Recorder:
    """Answers `lvs` with the volumes it has, and writes down what it was asked."""

    def __init__(self, volumes=()):
        self.asked, self.volumes = [], list(volumes)

    async def run(self, argv, *, input_, timeout_s):
        self.asked.append(" ".join(argv))
        listing = msgspec.json.encode({"report": [{"lv": self.volumes}]})
        return Output(0, listing if argv[0] == "lvs" else b"", b"")


def site(recorder):
    return Site(OWNER, services=Services(), workers=InlineWorkers(), executor=recorder)


FILL = VolumeFile("/dev/vg1/d", 8 * 2**20, "swap", uuid="u")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"stripes": 2}, "-L 8388608b -i 2"),
        ({"tags": ("blue",)}, f"--addtag {tag_of(OWNER)} --addtag blue"),
        ({"snapshot_of": "gold"}, "-L 8388608b -s --addtag"),
        ({"snapshot_of": "gold", "thin_pool": "p"}, "lvcreate -y -kn -s --addtag"),
    ],
)
async def test_a_logical_volume_is_made_as_described(more, words):
    recorder = Recorder()

    await LogicalVolume("vg1", "d", FILL, **more).make(site(recorder))

    assert words in recorder.asked[1]
    if "snapshot_of" in more:
        assert recorder.asked[1].endswith("-n d vg1/gold")
        assert recorder.asked[2:] == ["lvchange -y -ay -K vg1/d"]


async def test_a_found_logical_volume_is_removed_by_lvm_unless_it_is_anothers_or_open():
    free, open_, theirs = Recorder([{}]), Recorder([{"lv_device_open": "open"}]), Recorder(
        [{"lv_tags": "sd.c/other/other.b/3"}]
    )  # fmt: skip
    volume = GivenUpLogicalVolume("vg1", "d", FILL)

    await volume.undo(site(free))
    with pytest.raises(Refused, match="in use"):
        await volume.undo(site(open_))
    with pytest.raises(Refused, match="it stays"):
        await volume.undo(site(theirs))

    assert free.asked[-1] == "lvremove -y vg1/d"
    assert not any("lvremove" in line for line in (*open_.asked, *theirs.asked))


async def test_stripes_of_a_thin_volume_are_refused(engine, tree):
    with pytest.raises(EngineError, match="stripes are those of the thin pool"):
        await deploy(engine, tree, 'stripes 2; thinPool "p";', "LVMStorageBackend")
