"""What becomes of volumes and images at the end: every cell of the table, on real files."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import time

import pytest

from components.storage.keeping import Ending, image_saved, volumes_stay
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.testing.kit import until
from engine.testing.sabotage import Plan, Saboteur

POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate true;
    loop extends LoopbackStorageBackend {{
        domainName "d"; baseImage "/usr/share/common-licenses"; volumeSize "8m"; swapSize "1m";
        spaceReserve 0; keepVolumes {keep}; usingExistingVolumes {found};
        saveImage {save}; saveImageOn "{on}"; saveImagePath "{path}"; {more}
    }}
    {beside}
}}
"""
MAKER = 'FileMaker extends Prim { sfClass "engine.testing.components.FileMaker"; }\n'


def text(
    tmp_path, *, keep='"statuquo"', found="false", save="false", on="normal", more="", beside=""
):
    path = tmp_path / "images"
    body = POOL.format(
        keep=keep, found=found, save=save, on=on, path=path, more=more, beside=beside
    )
    head, _, rest = body.partition("sfConfig")
    return f"{head}{MAKER}sfConfig{rest}"


def volumes(bench):
    folder = bench.work / "volumes"
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    return sorted(name for name in names if not name.endswith(".json"))


BOTH = ["d-volume1", "d-volume1-swap"]


async def make_existing(bench, tmp_path):
    await bench.deploy(text(tmp_path, keep="true"))
    await bench.one.terminate("app")
    assert volumes(bench) == BOTH


@pytest.mark.parametrize("ending", list(Ending))
@pytest.mark.parametrize("found", [False, True], ids=["made", "found"])
@pytest.mark.parametrize("keep", ["true", "false", '"statuquo"'])
async def test_volumes_stay_or_go_as_the_table_says(bench, tmp_path, keep, found, ending):
    if found:
        await make_existing(bench, tmp_path)
    description = text(tmp_path, keep=keep, found=str(found).lower())
    if ending is Ending.ROLLBACK:
        failing = 'x extends FileMaker { file "/nowhere/x"; }'
        with pytest.raises(EngineError):
            await bench.deploy(text(tmp_path, keep=keep, found=str(found).lower(), beside=failing))
    else:
        await bench.deploy(description)
        kind = "normal" if ending is Ending.NORMAL else "abnormal"
        await bench.one.terminate("app", Record(kind, "test over"))

    said = {"true": True, "false": False, '"statuquo"': "statuquo"}[keep]
    stay = volumes_stay(said, found=found, ending=ending)
    assert volumes(bench) == ([] if stay == "never" else BOTH)
    pending = bench.holder.process.reaper.lines()
    assert len(pending) == (2 if stay == "later" else 0)


async def test_volumes_kept_after_a_failure_go_when_their_time_is_over(bench, tmp_path):
    await bench.deploy(text(tmp_path, more='keepOnFailure "300ms";'))
    await bench.one.terminate("app", Record.abnormal("test over"))
    assert volumes(bench) == BOTH

    await until(lambda: volumes(bench) == [])
    await until(lambda: not bench.holder.process.reaper.lines())


async def test_a_redeployment_does_not_wait_for_kept_volumes(bench, tmp_path):
    await bench.deploy(text(tmp_path))
    await bench.one.terminate("app", Record.abnormal("test over"))

    await bench.deploy(text(tmp_path))
    await bench.one.terminate("app")

    assert volumes(bench) == []


@pytest.mark.parametrize("on", ["normal", "always", "abnormal", "never"])
@pytest.mark.parametrize("kind", ["normal", "abnormal"])
async def test_the_image_is_saved_after_the_ends_that_are_named(bench, tmp_path, on, kind):
    await bench.deploy(text(tmp_path, save="true", on=on))
    await bench.one.terminate("app", Record(kind, "test over"))

    images = list((tmp_path / "images").glob("d-*.tar")) if (tmp_path / "images").exists() else []
    ending = Ending.NORMAL if kind == "normal" else Ending.ABNORMAL
    assert len(images) == int(image_saved(wanted=True, on=on, ending=ending))


async def test_a_machine_may_be_saved_again_within_one_second(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "gmtime", lambda: (2026, 1, 2, 3, 4, 5, 4, 2, 0))
    for _ in range(3):
        await bench.deploy(text(tmp_path, save="true", more='saveImageExtension "raw";'))
        await bench.one.terminate("app")

    images = sorted(path.name for path in (tmp_path / "images").glob("*.raw"))
    stem = "d-20260102T030405Z"
    assert images == [f"{stem}-2.raw", f"{stem}-3.raw", f"{stem}.raw"]
    assert volumes(bench) == []


@pytest.mark.parametrize("extension", ["tar", "tar.gz", "tar.xz", "raw", "qcow2"])
async def test_save_then_base_then_save_keeps_the_file_tree(bench, tmp_path, extension):
    tree = tmp_path / "tree"
    (tree / "etc" / "deep").mkdir(parents=True)
    (tree / "etc" / "deep" / "hello").write_text("hello\n")
    (tree / "etc" / "script").write_text("#!/bin/sh\n")
    (tree / "etc" / "script").chmod(0o755)
    (tree / "etc" / "link").symlink_to("deep/hello")
    description = text(
        tmp_path, save="true", more=f'saveImageName "first"; saveImageExtension "{extension}";'
    )
    await bench.deploy(description.replace("/usr/share/common-licenses", str(tree)))
    await bench.one.terminate("app")
    first = tmp_path / "images" / f"first.{extension}"
    facts = json.loads(first.with_name(f"{first.name}.json").read_bytes())
    assert facts["digest"].startswith("sha256:")

    second = text(tmp_path, save="true", more='saveImageName "second";')
    await bench.deploy(second.replace("/usr/share/common-licenses", str(first)))
    await bench.one.terminate("app")

    with tarfile.open(tmp_path / "images" / "second.tar") as archive:
        members = {member.name.removeprefix("./"): member for member in archive}
        assert archive.extractfile(members["etc/deep/hello"]).read() == b"hello\n"
    assert members["etc/script"].mode & 0o777 == 0o755
    assert members["etc/link"].linkname == "deep/hello"
    assert {name for name in members if name not in {"", "."}} == {
        "etc", "etc/deep", "etc/deep/hello", "etc/script", "etc/link",
    }  # fmt: skip


CUT_OFF = """
mkdir mnt && mount -o loop "$1" mnt && echo late > mnt/late && sync && cp "$1" cut && umount mnt && mv cut "$1"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem")
async def test_what_a_guest_wrote_before_it_was_cut_off_is_in_the_image(bench, tmp_path):
    await make_existing(bench, tmp_path)
    volume = bench.work / "volumes" / "d-volume1"
    ids = volume.stat()
    subprocess.run(
        ["unshare", "--mount", "sh", "-ec", CUT_OFF, "sh", volume], cwd=tmp_path, check=True
    )
    os.chown(volume, ids.st_uid, ids.st_gid)
    seen = subprocess.run(["dumpe2fs", "-h", volume], capture_output=True, text=True, check=True)
    assert "needs_recovery" in seen.stdout

    await bench.deploy(text(tmp_path, found="true", save="true"))
    await bench.one.terminate("app")

    (image,) = (tmp_path / "images").glob("*.tar")
    with tarfile.open(image) as archive:
        assert archive.extractfile("./late").read() == b"late\n"


async def test_a_failed_save_never_removes_the_volumes(bench, tmp_path):
    (tmp_path / "images").write_text("a file where a folder should be")
    await bench.deploy(text(tmp_path, save="true"))

    gone = await bench.one.terminate("app")

    assert volumes(bench) == BOTH
    assert any("could not be saved" in error for error in gone.errors)


async def test_a_save_that_hangs_past_the_limit_says_that_the_volumes_stay(bench, tmp_path):
    release = tmp_path / "release"
    bench.holder.process.keeper.saboteur = Saboteur(
        [Plan("SavedImage", "making", "hang", release=str(release))]
    )
    await bench.deploy(text(tmp_path, save="true", more="sfTerminateTimeout 1;"))

    gone = await bench.one.terminate("app")
    release.touch()

    assert volumes(bench) == BOTH
    assert any("the volumes stay: it took longer" in error for error in gone.errors)
    await until(lambda: not bench.holder.process.reaper.items)
    assert not list((tmp_path / "images").glob("*"))


async def test_only_the_newest_images_stay(bench, tmp_path):
    for _ in range(3):
        await bench.deploy(
            text(tmp_path, save="true", more="saveImageKeep 2;").replace(
                'domainName "d"', 'domainName "d"'
            )
        )
        await bench.one.terminate("app")
        for image in (tmp_path / "images").glob("d-*.tar"):
            image.rename(
                image.with_name(f"d-{image.stat().st_mtime_ns}.tar")
            ) if "Z" in image.name else None

    assert len(list((tmp_path / "images").glob("*.tar"))) == 2


async def test_found_volumes_that_are_not_there_are_named_before_anything_is_made(bench, tmp_path):
    with pytest.raises(EngineError, match=r"there is no .*d-volume1"):
        await bench.deploy(text(tmp_path, found="true"))
