"""`workDir` and `imageStore` of a host hold for what is below it, wherever its process is."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.surroundings.workplace import expanded, writable
from engine.core.faults import EngineError
from sfdl.errors import SmartDomainsError

ONE = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate true;
    host extends {kind} {{
        hypervisorUri "test:///default"; {said}
        {more}
        loop extends LoopbackStorageBackend {{
            baseImage {image}; volumeSize "8m"; swapSize 0; spaceReserve 0; {backend}
        }}
        vm extends KvmDomain {{ memory 64; storageBackend LAZY ATTRIB loop; {machine} }}
    }}
}}
"""
FOLDER = '"/usr/share/common-licenses"'


def text(said, kind="PhysicalHost", image=FOLDER, **more):
    words = {"more": "", "backend": "", "machine": ""} | more
    return ONE.format(said=said, kind=kind, image=image, **words)


@pytest.mark.parametrize("kind", ["PhysicalHost", "Compound"])
async def test_volumes_and_console_logs_are_in_the_folder_the_host_says(bench, tmp_path, kind):
    work = tmp_path / "large" / "work"
    await bench.deploy(text(f'workDir "{work}";', kind))

    assert Path(bench.find("vm").value("consolePath")).parent == work / "console"
    assert (work / "volumes" / "app-host-vm-volume1").exists()
    assert not (bench.work / "volumes").exists()

    await bench.one.terminate("app")
    assert [path for path in work.rglob("*") if path.is_file()] == []


async def test_relative_paths_are_below_it(bench, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "more.img").write_bytes(bytes(2**20))
    await bench.deploy(
        text(
            f'workDir "{work}";', backend='directory "disks";',
            machine='consoleLog "log"; disks [|"more.img"|];',
        )
    )  # fmt: skip

    assert (work / "disks" / "app-host-vm-volume1").exists()
    assert bench.find("vm").value("consolePath") == str(work / "log")
    assert str(work / "more.img") in bench.find("vm").value("xml")


async def test_the_nearest_one_counts_and_variables_are_the_hosts(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("LARGE", str(tmp_path))
    outer = f'sfSyncTerminate true; workDir "{tmp_path}/a";'
    inner = text('workDir "${LARGE}/b";')
    await bench.deploy(inner.replace("sfSyncTerminate true;", outer, 1))

    assert (tmp_path / "b" / "volumes").is_dir()
    assert not (tmp_path / "a").exists()
    assert expanded("~root/x").is_absolute()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('workDir "work";', "must be an absolute path"),
        ('workDir "/etc/hostname/below";', "is no folder that can be written to, or made"),
        ('workDir "/etc/hostname";', "is no folder that can be written to, or made"),
    ],
)
async def test_a_folder_that_cannot_be_one_is_refused_before_anything_is_made(bench, said, why):
    with pytest.raises(SmartDomainsError, match=why):
        await bench.deploy(text(said))

    assert not (bench.work / "volumes").exists()


def test_a_folder_can_be_written_to_if_it_can_be_made(tmp_path):
    assert writable(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    assert not writable(tmp_path / "file" / "b")


def image(more=""):
    return f'licenses extends BaseImage {{ source "SOURCE"; {more} }}'


@pytest.mark.parametrize("by", ["component", "folder"])
async def test_images_are_kept_in_the_store_the_host_says(bench, tmp_path, by):
    source, store = tmp_path / "disk.img", tmp_path / "images"
    source.write_bytes(b"x" * 2**20)
    said = "imageStore LAZY ATTRIB images;" if by == "component" else f'imageStore "{store}";'
    keeper = f'images extends ImageStore {{ folder "{store}"; }}' if by == "component" else ""
    more = keeper + image().replace("SOURCE", str(source))
    await bench.deploy(text(said, image="LAZY ATTRIB licenses", more=more))

    path = Path(bench.find("licenses").value("path"))
    assert path.is_relative_to(store / "sha256")
    assert path.read_bytes() == source.read_bytes()


async def test_an_image_with_a_store_of_its_own_is_kept_there(bench, tmp_path):
    source = tmp_path / "disk.img"
    source.write_bytes(b"x" * 2**20)
    more = f'own extends ImageStore {{ folder "{tmp_path / "own"}"; }}' + image(
        "store LAZY ATTRIB own;"
    ).replace("SOURCE", str(source))
    await bench.deploy(
        text(f'imageStore "{tmp_path / "theirs"}";', image="LAZY ATTRIB licenses", more=more)
    )

    assert Path(bench.find("licenses").value("path")).is_relative_to(tmp_path / "own")
    assert not (tmp_path / "theirs").exists()


async def test_a_folder_as_image_stays_where_it_is(bench, tmp_path):
    more = image().replace("SOURCE", "/usr/share/common-licenses")
    said = f'imageStore "{tmp_path / "images"}";'
    await bench.deploy(text(said, image="LAZY ATTRIB licenses", more=more))

    assert bench.find("licenses").value("path") == "/usr/share/common-licenses"


async def test_a_store_that_is_no_folder_is_refused(bench, tmp_path):
    source = tmp_path / "disk.img"
    source.write_bytes(b"x" * 2**20)
    with pytest.raises(
        EngineError, match="imageStore above it must be a component or an absolute path"
    ):
        await bench.deploy(
            text(
                'imageStore "images";', image="LAZY ATTRIB licenses",
                more=image().replace("SOURCE", str(source)),
            )
        )  # fmt: skip
