"""Images made from archives: what is in them, what is lifted out, made once, refused, undone."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from components.images.debian import furnish, sources_for
from components.images.store import Store, remove_tree
from engine.core.faults import EngineError, Refused
from engine.testing.kit import until
from engine.testing.sabotage import Plan, Saboteur
from sfdl.errors import SmartDomainsError

TREE = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate true; sfConcurrency 0;
    {parts}
}}
"""
STORE = 'images extends ImageStore {{ folder "{folder}"; {more} }}'
IMAGE = 'image extends TarImage {{ archive "{archive}"; store LAZY ATTRIB images; {more} }}'
FILES = {
    "etc/hostname": b"x\n", "boot/vmlinuz-6": b"KERNEL" * 100, "boot/initrd": b"RAMDISK" * 100,
    "srv/data": b"data" * 5000,
}  # fmt: skip


def packed(path, files=FILES, *links):
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid, entry.mode = len(data), 1234, 0o640
            tar.addfile(entry, io.BytesIO(data))
        for name, target, kind in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            tar.addfile(entry)
    return path


@pytest.fixture
def archive(tmp_path):
    return packed(tmp_path / "system.tgz", FILES, ("vmlinuz", "boot/vmlinuz-6", tarfile.SYMTYPE))


def text(tmp_path, archive, more="", store="", beside=""):
    parts = STORE.format(folder=tmp_path / "images", more=store)
    parts += IMAGE.format(archive=archive, more=more) + beside
    return TREE.format(parts=parts)


def debugged(image, command):
    done = subprocess.run(["debugfs", "-R", command, image], capture_output=True, check=True)
    return done.stdout


async def test_an_archive_becomes_a_filesystem_with_its_kernel_lifted_out(bench, tmp_path, archive):
    more = 'kernel "vmlinuz"; ramdisk "/boot/initrd"; bootable "direct"; size "40m";'
    await bench.deploy(text(tmp_path, archive, more))

    image = bench.find("image")
    disk = Path(image.value("path"))
    assert disk.stat().st_size == 40 * 2**20
    assert debugged(disk, "cat /srv/data") == FILES["srv/data"]
    assert b"User:  1234" in debugged(disk, "stat /srv/data")
    assert Path(image.value("kernelPath")).read_bytes() == FILES["boot/vmlinuz-6"]
    assert Path(image.value("ramdiskPath")).read_bytes() == FILES["boot/initrd"]
    digest = hashlib.sha256(disk.read_bytes()).hexdigest()
    assert image.value("imageDigest") == f"sha256:{digest}"
    assert disk == tmp_path / "images/sha256" / digest[:2] / digest
    assert subprocess.run(["e2fsck", "-fn", disk], capture_output=True, check=False).returncode == 0
    await bench.one.terminate("app")
    assert Store(tmp_path / "images").users(f"sha256:{digest}") == 0


@pytest.mark.parametrize("more", ['bootable "direct"', 'bootable "grub"; extra "quiet"'])
async def test_one_archive_is_the_same_image_whenever_and_wherever_it_is_made(
    bench, tmp_path, archive, more
):
    made = []
    for number in range(2):
        began_s = int(time.time())
        more_ = f'kernel "vmlinuz"; size "40m"; {more};'
        await bench.deploy(text(tmp_path / str(number), archive, more_))
        made.append(Path(bench.find("image").value("path")).read_bytes())
        await bench.one.terminate("app")
        await until(lambda began_s=began_s: int(time.time()) > began_s)

    assert made[0] == made[1]


async def test_many_that_need_one_image_have_it_made_once(bench, tmp_path, archive, monkeypatch):
    built = []
    kept = Store.keep
    monkeypatch.setattr(Store, "keep", lambda *data: built.append(data[1].path) or kept(*data))
    other = packed(tmp_path / "same.tgz", FILES, ("vmlinuz", "boot/vmlinuz-6", tarfile.SYMTYPE))
    other.write_bytes(archive.read_bytes())
    beside = "".join(
        IMAGE.format(archive=path, more="").replace("image ", f"image{number} ")
        for number, path in enumerate([archive, other] * 4)
    )
    await bench.deploy(text(tmp_path, archive, beside=beside))

    assert len(built) == 1
    assert len({bench.find(f"image{n}").value("path") for n in range(8)}) == 1
    assert Store(tmp_path / "images").users(bench.find("image").value("imageDigest")) == 9
    await bench.one.terminate("app")
    await bench.deploy(text(tmp_path, archive))
    assert len(built) == 1
    await bench.one.terminate("app")


@pytest.mark.parametrize("when", ["making", "made"])
async def test_a_failure_leaves_no_part_of_it_and_nobody_who_uses_it(
    bench, tmp_path, archive, when
):
    bench.holder.process.keeper.saboteur = Saboteur([Plan("image of", when, "raise")])

    with pytest.raises(EngineError, match="sabotage"):
        await bench.deploy(text(tmp_path, archive))

    making = tmp_path / "images/making"
    await until(lambda: not list(making.glob("*")))
    assert not list((tmp_path / "images").glob("refs/*/*"))


async def test_what_does_not_fit_is_refused_and_the_partial_tree_is_gone(bench, tmp_path, archive):
    big = packed(tmp_path / "big.tar", {"blob": bytes(range(256)) * 32768})
    with pytest.raises(EngineError, match=r"could not be made: .*Could not allocate"):
        await bench.deploy(text(tmp_path, big, 'size "4m";'))

    assert list((tmp_path / "images/making").iterdir()) == []
    assert not list((tmp_path / "images").glob("sha256/*/*"))


LINK = tarfile.SYMTYPE
WRONG = [
    ({"../x": b"1"}, (), "", "would leave its folder"),
    ({"/etc/x": b"1"}, (), "", "would leave its folder"),
    ({}, (("a", "../../etc", LINK),), "", "would leave its folder"),
    ({}, (("a", "/etc/shadow", tarfile.LNKTYPE),), "", "would leave its folder"),
    (FILES, (), 'kernel "boot/none"; bootable "direct";', "there is no file boot/none"),
    (FILES, (("loop", "loop", LINK),), 'kernel "loop"; bootable "direct";', "in a circle"),
    (FILES, (), 'bootable "direct";', "needs a kernel"),
    (FILES, (), 'kernel "boot/vmlinuz-6";', "takes no kernel"),
    (FILES, (), 'bootable "grub";', "bootable grub needs a kernel"),
    (FILES, (), 'bootable "lilo";', "must be one of none, direct, grub"),
    (FILES, (), 'bootable "grub"; kernel "boot/none";', "there is no file boot/none"),
    (FILES, (), 'bootable "grub"; kernel "boot/vmlinuz-6"; extra "a\'b";', "is no word"),
    (
        FILES,
        (("boot/grub", "/tmp", LINK),),
        'bootable "grub"; kernel "boot/vmlinuz-6";',
        "boot/grub is no folder in the image",
    ),
    (FILES, (), 'bootable "direct"; kernel "boot/vmlinuz-6"; extra "quiet";', "bootable is direct"),
    (FILES, (), 'fs "ntfs";', "must be one of ext4"),
    (FILES, (), f'digest "sha256:{"0" * 64}";', "has digest"),
    (FILES, (), 'digest "md5:1";', "64 hexadecimal digits"),
    (FILES, (), 'archive "/nowhere.tar";', "there is no image /nowhere.tar"),
    (FILES, (), 'archive "/usr/share";', "not an archive"),
]


@pytest.mark.parametrize(("files", "links", "more", "words"), WRONG)
async def test_a_wrong_archive_is_refused_in_words(bench, tmp_path, files, links, more, words):
    path = packed(tmp_path / "system.tar", files, *links)
    with pytest.raises(SmartDomainsError) as failure:
        await bench.deploy(text(tmp_path, path, more))

    assert words in str(failure.value)
    assert not list((tmp_path / "images").glob("sha256/*/*"))
    assert not list((tmp_path / "images").glob("making/*/tree"))


async def test_a_truncated_archive_is_refused(bench, tmp_path, archive):
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(EngineError, match="cannot be read"):
        await bench.deploy(text(tmp_path, archive))


async def test_images_nobody_uses_go_when_there_is_no_room(bench, tmp_path):
    paths = [packed(tmp_path / f"{n}.tar", {"f": bytes([n]) * 9000}) for n in range(3)]
    digests = []
    for path in paths:
        await bench.deploy(text(tmp_path, path, 'size "8m";', 'maxSize "17m";'))
        digests.append(bench.find("image").value("imageDigest"))
        await bench.one.terminate("app")

    assert [Store(tmp_path / "images").find(each) is not None for each in digests] == [
        False, True, True,
    ]  # fmt: skip


async def test_an_image_with_a_layer_on_it_stays_while_the_layer_does(bench, tmp_path, archive):
    layer = f"""layer extends OverlayStorageBackend {{ baseImage LAZY ATTRIB image; domainName "d";
        volumeSize "128m"; swapSize 0; spaceReserve 0; keepVolumes true; directory "{tmp_path}/v"; }}"""
    await bench.deploy(text(tmp_path, archive, 'size "64m";', beside=layer))
    digest = bench.find("image").value("imageDigest")
    await bench.one.terminate("app")

    store = Store(tmp_path / "images")
    assert store.users(digest) == 1
    assert store.trim(0) == []
    assert store.find(digest) is not None


# -- Debian


ONE_LINE = (
    "deb [signed-by=/k] http://a.example/debian bookworm main contrib\ndeb-src http://a x y\n"
)
DEB822 = """Types: deb deb-src
# a comment
URIs: http://b.example/debian
Suites: bookworm bookworm-updates trixie
Components: main

Enabled: no
Types: deb
URIs: http://c.example
Suites: bookworm
Components: main
"""


def test_only_the_hosts_sources_of_that_release_are_used():
    assert sources_for([ONE_LINE, DEB822], "bookworm") == [
        "deb http://a.example/debian bookworm main contrib",
        "deb http://b.example/debian bookworm main",
        "deb http://b.example/debian bookworm-updates main",
    ]
    assert sources_for([ONE_LINE], "trixie") == []


def test_a_system_is_furnished_the_same_way_twice(tmp_path):
    for _ in range(2):
        (tmp_path / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
        furnish(tmp_path, context_script=True)
    assert (tmp_path / "etc/fstab").read_text() == "LABEL=root / ext4 defaults 0 1\n"
    assert (tmp_path / "usr/local/sbin/sd-context").stat().st_mode & 0o111
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    names = {"sd-context.service", "sd-ready.service", "sd-host-keys.service"}
    assert {path.name for path in wants.iterdir()} == names


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('suite "Book worm";', "must be a release"),
        ('include [|"a;b"|];', "no name of a package"),
        ('include [|"--hook"|];', "no name of a package"),
        ('variant "huge";', "must be one of minbase"),
        ('kernelPackage "x y";', "no name of a package"),
        ('size "1m";', "at least 64 MiB"),
        ('bootable "grub"; arch "arm64";', "which arm64 has not"),
        ('bootable "grub"; kernelPackage "";', "kernelPackage is empty"),
        ('extra "quiet";', "bootable is direct"),
        ('builder "apt";', "must be one of auto, mmdebstrap, debootstrap"),
        ('builder "debootstrap"; variant "standard";', "debootstrap makes no variant standard"),
        ('builder "debootstrap"; suite "sid";', "needs a source of sid itself"),
        ('rootPassword "hunter\\n2";', "rootPassword: does not fit"),
        ("rootPassword 2;", "it has to be String"),
        ('reproducible "yes";', "it has to be Boolean"),
    ],
)
async def test_a_wrong_recipe_is_refused_before_anything_is_made(bench, tmp_path, more, words):
    parts = STORE.format(folder=tmp_path / "images", more="")
    parts += f"image extends DebianImage {{ store LAZY ATTRIB images; {more} }}"
    with pytest.raises(SmartDomainsError) as failure:
        await bench.deploy(TREE.format(parts=parts))

    assert words in str(failure.value)
    assert not (tmp_path / "images/sha256").exists()


async def test_a_build_that_fails_leaves_no_partial_tree(bench, tmp_path):
    sources = tmp_path / "none.list"
    sources.write_text(f"deb [trusted=yes] file://{tmp_path}/nothing bookworm main\n")
    parts = STORE.format(folder=tmp_path / "images", more="")
    parts += f'image extends DebianImage {{ store LAZY ATTRIB images; mirror "{sources}"; }}'
    with pytest.raises(EngineError, match="failed with status"):
        await bench.deploy(TREE.format(parts=parts))

    assert list((tmp_path / "images/making").iterdir()) == []


async def test_a_build_that_takes_too_long_is_ended_with_its_mounts(bench, tmp_path, monkeypatch):
    aside = tmp_path / "aside"  # where programs have what is theirs for a while
    aside.mkdir()
    monkeypatch.setenv("TMPDIR", str(aside))
    parts = STORE.format(folder=tmp_path / "images", more="")
    parts += "image extends DebianImage { store LAZY ATTRIB images; buildTimeout 3; }"
    with pytest.raises(EngineError):
        await bench.deploy(TREE.format(parts=parts))

    assert list((tmp_path / "images/making").iterdir()) == []
    assert list(aside.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_a_tree_with_something_mounted_in_it_is_not_removed(tmp_path, monkeypatch):
    (tmp_path / "tree").mkdir()
    mounts = f"36 35 98:0 / {tmp_path}/tree/dev rw - devtmpfs x rw\n"
    monkeypatch.setattr(Path, "read_text", lambda *_data, **_more: mounts)
    with pytest.raises(Refused, match="is mounted"):
        remove_tree(tmp_path / "tree")

    assert (tmp_path / "tree").is_dir()
