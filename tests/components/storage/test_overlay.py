"""Overlays: instant, independent, and refused on a base that has changed."""

from __future__ import annotations

import json
import subprocess

import pytest

from engine.core.faults import EngineError

POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    root extends OverlayStorageBackend {{
        domainName "d"; baseImage "{image}"; volumeSize "16m"; swapSize 0; spaceReserve 0; {more}
    }}
}}
"""


@pytest.fixture(params=["raw", "qcow2"])
def image(tmp_path, request):
    path = tmp_path / f"base.{request.param}"
    subprocess.run(["qemu-img", "create", "-q", "-f", request.param, str(path), "8M"], check=True)
    return path


async def test_an_overlay_names_its_base_and_its_format(bench, image):
    await bench.deploy(POOL.format(image=image, more=""))

    path = bench.work / "volumes" / "d-volume1"
    done = subprocess.run(
        ["qemu-img", "info", "--output=json", str(path)], capture_output=True, check=True
    )
    facts = json.loads(done.stdout)
    assert facts["format"] == "qcow2"
    assert facts["virtual-size"] == 16 * 2**20
    assert facts["backing-filename"] == str(image)
    assert facts["backing-filename-format"] == image.suffix[1:]
    await bench.one.terminate("app")
    assert list((bench.work / "volumes").iterdir()) == []
    assert image.exists()


async def test_an_overlay_on_a_changed_base_is_refused(bench, image):
    await bench.deploy(POOL.format(image=image, more="keepVolumes true;"))
    await bench.one.terminate("app")
    with image.open("r+b") as file:
        file.seek(4096)
        file.write(b"changed")

    with pytest.raises(EngineError, match="StaleBase"):
        await bench.deploy(POOL.format(image=image, more="usingExistingVolumes true;"))


async def test_a_folder_is_no_base(bench, tmp_path):
    with pytest.raises(EngineError, match="raw or qcow2"):
        await bench.deploy(POOL.format(image="/usr/share/common-licenses", more=""))

    assert not (bench.work / "volumes").exists()
